"""Files in folders and in a bucket, which fsspec's in-memory file system stands for here; a real one is tested in
tests/integration/test_s3.py.
"""

import os
import subprocess
import sys
import uuid

import duckdb
import pytest
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage import paths as places
from advcluster_dagster.storage.paths import (
    is_local,
    open_whole,
    put_in_place,
    remove_abandoned_files,
    retry_if_replaced,
    staging_path,
)
from advcluster_dagster.storage.sql_models import bind, held_open
from advcluster_dagster.storage.table_files import (
    Stamp,
    read_stamp,
    read_table,
    scan_file,
    stage_table,
    table_path,
)
from advcluster_dagster.study.partition import Partition
from tests.storage.conftest import pairs

F_MATH = Partition("f", "math")


@pytest.fixture
def bucket(monkeypatch, tmp_path) -> UPath:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return UPath(f"memory://{uuid.uuid4().hex}/lake")


def dead_process() -> int:
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(process.stdout)


def test_folders_are_local_and_buckets_are_not(tmp_path, bucket):
    assert is_local(UPath(tmp_path))
    assert is_local(UPath("file:///lake"))
    assert not is_local(bucket)


def test_a_file_is_staged_beside_its_place_or_on_the_local_disk(tmp_path, bucket):
    folder = UPath(tmp_path) / "lake"
    assert staging_path(folder / "x.parquet").parent == folder
    assert str(staging_path(bucket / "x.parquet").parent) == str(tmp_path)


def test_an_object_is_replaced_in_one_move_and_nothing_stays_behind(bucket, tmp_path):
    path = bucket / "a" / "x.parquet"
    for content in (b"old", b"newer"):
        staged = staging_path(path)
        staged.write_bytes(content)
        put_in_place(staged, path)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == []


def test_an_open_object_stays_what_it_was(bucket, tmp_path):
    path = bucket / "x"
    path.write_bytes(b"old")
    with open_whole(path) as file:
        path.write_bytes(b"newer")
        assert file.read() == b"old"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_object_is_missing(bucket, tmp_path):
    with pytest.raises(FileNotFoundError):
        open_whole(bucket / "none")
    assert list(tmp_path.iterdir()) == []
    assert read_stamp(bucket / "none") is None


def test_an_object_replaced_while_it_is_fetched_is_fetched_again(bucket, monkeypatch):
    path = bucket / "x"
    path.write_bytes(b"old")
    fetch = path.fs.get_file
    replaced = []

    def fetch_and_replace(source, target):
        fetch(source, target)
        if not replaced:
            replaced.append(path.write_bytes(b"newer"))

    monkeypatch.setattr(path.fs, "get_file", fetch_and_replace)
    assert open_whole(path).read() == b"newer"


def test_reading_again_ends():
    tries = []

    def read():
        tries.append(None)
        raise OSError("replaced again")

    with pytest.raises(OSError, match="replaced again"):
        retry_if_replaced(read)
    assert len(tries) == 20


def test_tables_in_a_bucket_are_written_read_and_asked_as_in_a_folder(bucket, study):
    path = table_path(bucket, "sums", "trace_pairs", F_MATH)
    stage_table(TABLES["trace_pairs"], pairs(0, 1), F_MATH, path, Stamp(code="c")).publish()
    assert scan_file(path).collect()["pair_index"].to_list() == [0, 1]
    assert read_stamp(path).code == "c"
    assert read_table(bucket, study, TABLES["trace_pairs"]).height == 2
    with duckdb.connect() as connection, held_open({"trace_pairs": [path]}) as held:
        bind(connection, held)
        stage_table(TABLES["trace_pairs"], pairs(2), F_MATH, path, Stamp()).publish()
        assert connection.sql("select count(*) from trace_pairs").fetchall() == [(2,)]


@pytest.mark.parametrize("is_bucket", [False, True])
def test_only_files_of_dead_processes_are_removed(is_bucket, bucket, tmp_path):
    lake = bucket if is_bucket else UPath(tmp_path) / "lake"
    mine = staging_path(lake / "sums" / "x.parquet")
    assert f".{os.getpid()}-" in mine.name
    abandoned = mine.with_name(mine.name.replace(f".{os.getpid()}-", f".{dead_process()}-"))
    elsewhere = mine.with_name(mine.name.replace(f".{places._HOST}.{os.getpid()}-", f".another-host.{dead_process()}-"))
    long_ago = mine.with_name(mine.name.replace(f".{places._HOST}.", ".yet-another-host."))
    for path in (mine, abandoned, elsewhere, long_ago):
        path.write_bytes(b"half a file")
    os.utime(long_ago, (0, 0))
    assert remove_abandoned_files(lake) == 2
    assert (mine.exists(), abandoned.exists(), elsewhere.exists(), long_ago.exists()) == (True, False, True, False)


def test_a_lake_that_is_not_there_has_no_abandoned_files(tmp_path, bucket):
    assert remove_abandoned_files(UPath(tmp_path) / "none") == 0
    assert remove_abandoned_files(bucket) == 0

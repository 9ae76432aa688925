"""Readers beside a writer in another process: every read is one whole version of the file."""

import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.content_hash import frame_hash
from advcluster_dagster.storage.sql_models import bind, held_open
from advcluster_dagster.storage.table_files import read_stamp, scan_file, table_path
from advcluster_dagster.study.partition import Partition

N_VERSIONS = 60
WRITER = """
import sys
import polars as pl
from upath import UPath
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.storage.table_files import Stamp, stage_table

path, n_versions = UPath(sys.argv[1]), int(sys.argv[2])
for version in range(n_versions):
    n_rows = 50 + 400 * (version % 3)
    index = pl.Series(range(n_rows), dtype=pl.Int64)
    rows = pl.DataFrame({"pair_index": index, "larger_trial": index * 0 + version, "smaller_trial": index * 0})
    rows = rows.with_columns(pl.format("q:{}", "pair_index").alias("pair_id"), pl.lit("q" * 500).alias("question_id"),
                             smaller_verdict=pl.lit("wrong"))
    stage_table(TABLES["trace_pairs"], rows, Partition("f", "math"), path, Stamp(code=str(version))).publish()
    if version == 0:
        print("begun", flush=True)
        sys.stdin.readline()
"""


def read_with_polars(path: UPath) -> pl.DataFrame:
    return scan_file(path).collect()


def read_with_duckdb(path: UPath) -> pl.DataFrame:
    with duckdb.connect() as connection, held_open({"trace_pairs": [path]}) as held:
        bind(connection, held)
        return connection.sql("select * from trace_pairs order by pair_index").pl()


@pytest.mark.parametrize("read", [read_with_polars, read_with_duckdb])
def test_every_read_is_one_whole_version(tmp_path: Path, read):
    path = table_path(UPath(tmp_path), "sums", "trace_pairs", Partition("f", "math"))
    command = [sys.executable, "-c", WRITER, str(path), str(N_VERSIONS)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as writer:
        assert writer.stdout.readline() == "begun\n"
        versions = [check_whole(read(path))]
        writer.stdin.write("go\n")
        writer.stdin.flush()
        for _ in range(20 * N_VERSIONS):
            if writer.poll() is not None:
                break
            versions.append(check_whole(read(path)))
    assert writer.returncode == 0
    versions.append(check_whole(read(path)))
    assert versions == sorted(versions)
    assert (versions[0], versions[-1]) == (0, N_VERSIONS - 1)
    stamp = read_stamp(path)
    assert (stamp.code, stamp.content_hash) == (str(N_VERSIONS - 1), frame_hash(read_with_polars(path)))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def check_whole(rows: pl.DataFrame) -> int:
    """The version a read has seen; every row is there and belongs to it."""
    assert set(rows.columns) == set(TABLES["trace_pairs"].schema)
    (version,) = rows["larger_trial"].unique()
    assert rows["pair_index"].to_list() == list(range(50 + 400 * (version % 3)))
    return version

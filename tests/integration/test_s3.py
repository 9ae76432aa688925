"""Tables in the bucket of a real S3-compatible server."""

import threading

import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import Stamp, read_stamp, scan_file, stage_table, table_path
from advcluster_dagster.storage.views import query_study
from advcluster_dagster.study.partition import Partition
from tests.servers import s3_server
from tests.studies import SmallHome, given_study

boto3 = pytest.importorskip("boto3")

pytestmark = pytest.mark.integration
PAIRS, F_SUMS = TABLES["trace_pairs"], Partition("f", "sums")


@pytest.fixture(scope="module")
def environment():
    with s3_server("lake") as variables:
        yield variables


@pytest.fixture
def lake(environment, request, monkeypatch):
    """URL of a prefix for this test."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://lake/{request.node.name}"


def in_bucket(small, lake):
    (small.home.root / "platform.yaml").write_text(f"lake: {lake}\n", encoding="utf-8")
    return SmallHome(Home(small.home.root), small.name)


def keys_of(lake):
    bucket, _, prefix = lake.removeprefix("s3://").partition("/")
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def test_a_study_in_a_bucket_gives_the_tables_of_one_in_a_folder(lake, given_once, tmp_path):
    small = in_bucket(given_study(tmp_path / "home"), lake)
    outcome = small.run()
    assert outcome.failures == {}
    assert small.hashes() == given_once.hashes()
    assert small.run().n_runs == 0
    assert sum(digest is not None for digest in small.hashes().values()) == len(keys_of(lake))
    assert all(key.endswith(".parquet") for key in keys_of(lake))
    assert not (small.home.root / "lake").exists()
    sql = "select domain, count(*) as n from advantage_corpus group by all order by all"
    assert query_study(small.home, small.study, sql).equals(query_study(given_once.home, given_once.study, sql))


def rows(version):
    """Check that the number of rows matches the version and all rows are of it."""
    index = pl.Series(range(50 + 400 * (version % 3)), dtype=pl.Int64)
    frame = pl.DataFrame({"pair_index": index, "larger_trial": index * 0 + version, "smaller_trial": index * 0})
    return frame.with_columns(
        pl.format("q:{}", "pair_index").alias("pair_id"),
        pl.lit("q" * 500).alias("question_id"),
        pl.lit("wrong").alias("smaller_verdict"),
    )


def test_readers_see_whole_versions_while_an_object_is_replaced(lake, tmp_path):
    home = in_bucket(given_study(tmp_path / "home"), lake).home
    path = table_path(home.lake, "given", PAIRS.name, F_SUMS)
    n_versions = 20

    def publish(version):
        stage_table(PAIRS, rows(version), F_SUMS, path, Stamp(code=str(version))).publish()

    publish(0)
    writer = threading.Thread(target=lambda: [publish(version) for version in range(1, n_versions)])
    writer.start()
    seen = []
    while writer.is_alive():
        frame = scan_file(path).collect()
        (version,) = frame["larger_trial"].unique()
        assert frame["pair_index"].to_list() == list(range(50 + 400 * (version % 3)))
        seen += [version, int(read_stamp(path).code)]
    writer.join()
    assert seen == sorted(seen)
    assert read_stamp(path).code == str(n_versions - 1)


def test_a_broken_upload_leaves_the_old_object(lake, tmp_path, monkeypatch):
    home = in_bucket(given_study(tmp_path / "home"), lake).home
    path = table_path(home.lake, "given", PAIRS.name, F_SUMS)
    stage_table(PAIRS, rows(0), F_SUMS, path, Stamp(code="old")).publish()
    staged = stage_table(PAIRS, rows(1), F_SUMS, path, Stamp(code="new"))

    def fail(*_arguments, **_options):
        raise ConnectionError("cable pulled")

    monkeypatch.setattr(path.fs, "put_file", fail)
    with pytest.raises(ConnectionError):
        staged.publish()
    assert read_stamp(path).code == "old"
    staged.discard()
    assert len(keys_of(lake)) == 1

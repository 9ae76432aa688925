import dagster as dg
import polars as pl
import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.study.partition import Partition
from tests.studies import changed_recipe

SUMS = Partition("f", "sums")


def _too_deep(_step, tables):
    return tables | {"first_errors": tables["first_errors"].with_columns(depth=pl.lit(9, dtype=pl.Int64))}


def _without_depth(_step, tables):
    return tables | {"first_errors": tables["first_errors"].drop("depth")}


def _failed_checks(small, table):
    key = dg.AssetKey([small.name, table])
    with small.instance() as instance:
        infos = instance.event_log_storage.get_asset_check_partition_info([dg.AssetCheckKey(key, "contract")])
    return {info.partition_key for info in infos if info.latest_execution_status.value == "FAILED"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_too_deep, "first_errors: depth is above 5 in 8 rows"),
        (_without_depth, "first_errors: missing columns ['depth'], unknown columns []"),
    ],
)
def test_a_broken_table_replaces_nothing_and_fails_with_one_line(given, monkeypatch, change, fault):
    tables = RECIPES["extracted_advantages"].tables
    before = {table: given.path(table, SUMS).read_bytes() for table in tables}
    with monkeypatch.context() as patch:
        for name, recipe in changed_recipe("first_errors", change).items():
            patch.setitem(RECIPES, name, recipe)
        outcome = given.run(("first_errors",), domains=("sums",))
        assert outcome.failures == {SUMS: f"extracted_advantages: table {fault}"}
    assert {table: given.path(table, SUMS).read_bytes() for table in tables} == before
    assert not list((given.home.root / "lake").rglob("*.staged"))
    assert _failed_checks(given, "first_errors") == {str(SUMS.key)}
    assert _failed_checks(given, "advantage_corpus") == set()
    # The recipe is the right one again, and so is the file: the failed run is made good by another.
    assert given.status()["extracted_advantages", "f/sums"].state == "failed"
    assert given.run().failures == {}
    assert _failed_checks(given, "first_errors") == set()
    assert given.states() == {"fresh", "no sources"}

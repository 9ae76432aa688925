"""Checks that run alone, on tables as they are stored."""

import dagster as dg
import polars as pl
import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.orchestration.partition_definitions import partitions_definition
from advcluster_dagster.orchestration.run_definitions import run_definitions
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.study.partition import Partition
from tests.studies import SmallHome

SUMS = Partition("f", "sums")


def execute(small: SmallHome, partition: Partition | None, selection: dg.AssetSelection) -> dg.ExecuteInProcessResult:
    """Run a selection of a study's assets and checks as a Dagster job does."""
    platform = Platform(small.home)
    definitions = run_definitions(small.home, [small.study], platform)
    job = dg.define_asset_job("chosen", selection=selection)
    repository = dg.Definitions(
        assets=definitions.assets, jobs=[job], resources=definitions.resources, executor=definitions.executor
    )
    scheme = partitions_definition(small.name, "family_domain")
    with small.instance() as instance:
        return repository.resolve_job_def("chosen").execute_in_process(
            # By tags, as the UI does: Dagster knows the partitions of a job by its tables alone, and here may be none.
            instance=instance,
            tags=scheme.get_tags_for_partition_key(partition.key) if partition else {},
            raise_on_error=False,
        )


def key_of(small: SmallHome, table: str) -> dg.AssetKey:
    return dg.AssetKey([small.name, table])


def outcomes(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    return {
        (check.asset_key.path[-1], check.check_name): check.passed for check in result.get_asset_check_evaluations()
    }


def fault_of(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = (event for event in result.all_events if event.event_type_value == "STEP_FAILURE")
    return str(failure.step_failure_data.user_failure_data.description)


def test_all_checks_of_a_table_run_on_its_file_and_make_nothing(given):
    before = given.path("graded_trials", SUMS).read_bytes()
    checks = dg.AssetSelection.checks_for_assets(key_of(given, "graded_trials"))
    result = execute(given, SUMS, checks)
    assert result.success
    assert result.get_asset_materialization_events() == []
    passed = outcomes(result)
    assert {check for _, check in passed} >= {"contract", "trials_complete", "ungraded_share"}
    assert all(passed.values())
    assert given.path("graded_trials", SUMS).read_bytes() == before
    assert given.states() == {"fresh", "no sources"}


def test_one_check_sees_a_bound_that_was_changed_and_the_table_stays(given):
    given.change(checks={"max_dispersion_p": 1.0, "max_missing_trial_share": 0.5})
    key = dg.AssetCheckKey(key_of(given, "graded_trials"), "trials_complete")
    result = execute(given, SUMS, dg.AssetSelection.checks(key))
    assert outcomes(result) == {("graded_trials", "trials_complete"): True}
    assert given.status()["graded_trials", "f/sums"].state == "stale"  # the step depends on the bound


def test_checks_of_one_of_the_tables_that_a_step_makes_together(given):
    result = execute(given, SUMS, dg.AssetSelection.checks_for_assets(key_of(given, "first_errors")))
    assert result.success
    assert {table for table, _ in outcomes(result)} == {"first_errors"}


def test_a_table_that_is_missing_or_damaged_is_one_line(given):
    checks = dg.AssetSelection.checks_for_assets(key_of(given, "graded_trials"))
    path = given.path("graded_trials", SUMS)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert f"{path} " in fault_of(execute(given, SUMS, checks))
    path.unlink()
    line = "graded_trials of f/sums does not exist, so it cannot be checked; run the step"
    assert fault_of(execute(given, SUMS, checks)) == line


def test_the_contract_of_a_file_is_checked_again(given, monkeypatch):
    table = TABLES["graded_trials"]
    changed = pl.col("is_correct").is_null()
    monkeypatch.setattr(type(table), "_rules", lambda self: iter([("is_correct is known", ~changed)]))
    key = dg.AssetCheckKey(key_of(given, "graded_trials"), "contract")
    assert outcomes(execute(given, SUMS, dg.AssetSelection.checks(key))) == {("graded_trials", "contract"): False}


@pytest.mark.parametrize("without_checks", [False, True])
def test_a_step_is_not_run_for_some_of_its_tables_or_checks(given, without_checks):
    key = key_of(given, "first_errors")
    tables = RECIPES["extracted_advantages"].tables
    everything = dg.AssetSelection.assets(*(key_of(given, table) for table in tables))
    result = execute(given, SUMS, everything.without_checks() if without_checks else dg.AssetSelection.assets(key))
    missing = "contract of " if without_checks else "advantage_corpus"
    assert f"are made and checked together; select {missing}" in fault_of(result)
    assert given.run().n_asked == 0  # the run that was refused counts as a failed one, and another makes it good
    assert given.states() == {"fresh", "no sources"}


def test_without_a_partition_every_stored_one_is_checked(given):
    # The table of f/products is gone; f/sums, whose mean is 1, fails a bound that the study now sets.
    given.path("edi_summary", Partition("f", "products")).unlink()
    given.change(checks={"max_dispersion_p": 1.0, "max_mean_edi": 0.0})
    names = ("contract", "mean_edi_bounded")
    keys = [dg.AssetCheckKey(key_of(given, "edi_summary"), name) for name in names]
    result = execute(given, None, dg.AssetSelection.checks(*keys))
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks["contract"].passed
    assert not checks["mean_edi_bounded"].passed
    assert checks["mean_edi_bounded"].metadata["n_partitions"].value == 1
    assert checks["mean_edi_bounded"].metadata["failed_partitions"].value == "f/sums"
    with given.instance() as instance:
        infos = instance.event_log_storage.get_asset_check_partition_info(keys)
    latest = {(info.check_key.name, info.partition_key): info.latest_execution_status.value for info in infos}
    assert latest["contract", "sums|f"] == "SUCCEEDED"
    assert latest["mean_edi_bounded", "sums|f"] == "FAILED"


def test_nothing_stored_to_check_is_one_line(given):
    for domain in given.study.domains:
        given.path("graded_trials", Partition("f", domain)).unlink(missing_ok=True)
    key = dg.AssetCheckKey(key_of(given, "graded_trials"), "contract")
    assert fault_of(execute(given, None, dg.AssetSelection.checks(key))) == (
        "graded_trials, grading_panel, panel_votes, panel_agreements:"
        " no partition exists that could be checked; run the step"
    )

import re

import dagster as dg
import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.orchestration.definitions import build_defs
from advcluster_dagster.orchestration.failures import build_failure_hook
from tests.orchestration.conftest import drop
from tests.studies import changed_recipe


def _context(instance, run_id):
    (event,) = [
        record.event_log_entry.dagster_event
        for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    ]
    run = instance.get_run_by_id(run_id)
    return dg.build_run_status_sensor_context("made__failures", event, instance, run).for_run_failure()


def test_a_failed_run_is_one_readable_line(made, capfd):
    path = drop(made.home, "made", "math", "empty", 0)
    hook = build_failure_hook(made.home, made.study)
    with made.instance() as instance:
        job = build_defs(made.home, [made.study]).resolve_job_def("made__whole_study")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        assert not result.success
        hook(_context(instance, result.run_id))
    line = (made.home.logs / "failures.log").read_text(encoding="utf-8")
    assert line.count("\n") == 1
    assert capfd.readouterr().err.endswith(line)
    when, message = line.rstrip().split(" ", 1)
    assert when.endswith("+00:00")
    assert message == (
        f"study made: made__whole_study failed (run {result.run_id[:8]}): run: did not finish: math: "
        f"benchmark_questions: benchmark 'empty': {path} has no question of domain math"
    )


@pytest.mark.parametrize("reason", ["the process\nof this run is gone\x1b[31m", ""])
def test_a_run_that_died_is_a_line_too(given, reason):
    hook = build_failure_hook(given.home, given.study)
    with given.instance() as instance:
        run = dg.DagsterRun("given__whole_study", tags={"dagster/partition": "sums|f"})
        instance.add_run(run)
        instance.report_run_failed(run, reason)
        hook(_context(instance, run.run_id))
    (line,) = (given.home.logs / "failures.log").read_text(encoding="utf-8").splitlines()
    assert f"study given: given__whole_study of sums|f failed (run {run.run_id[:8]}): " in line
    assert "\x1b" not in line
    assert "of this run is gone" in line or not reason


@pytest.mark.parametrize(
    "run",
    [
        dg.DagsterRun("other__whole_study", tags={"advcluster/study": "other"}),
        dg.DagsterRun("other__whole_study"),
        dg.DagsterRun("__ASSET_JOB", asset_selection=frozenset({dg.AssetKey(["other", "graded_trials"])})),
    ],
)
def test_a_failure_of_another_study_is_not_written(given, run):
    hook = build_failure_hook(given.home, given.study)
    with given.instance() as instance:
        instance.add_run(run)
        instance.report_run_failed(run, "no matter")
        hook(_context(instance, run.run_id))
    assert not (given.home.logs / "failures.log").exists()


def test_a_failure_of_assets_started_in_the_ui_is_written(given):
    hook = build_failure_hook(given.home, given.study)
    run = dg.DagsterRun("__ASSET_JOB", asset_selection=frozenset({dg.AssetKey(["given", "graded_trials"])}))
    with given.instance() as instance:
        instance.add_run(run)
        instance.report_run_failed(run, "the disk is full")
        hook(_context(instance, run.run_id))
    assert "study given: __ASSET_JOB failed" in (given.home.logs / "failures.log").read_text(encoding="utf-8")


def _faulty(_step, _tables):
    return {}["domain"]


def test_a_fault_of_the_program_names_its_type_and_place_and_keeps_its_traceback(given, monkeypatch):
    for name, recipe in changed_recipe("trace_pairs", _faulty).items():
        monkeypatch.setitem(RECIPES, name, recipe)
    outcome = given.run(("trace_pairs",), domains=("sums",))
    (line,) = outcome.failures.values()
    assert re.fullmatch(
        r"trace_pairs: KeyError: 'domain' at advcluster_dagster/orchestration/asset_definitions\.py:\d+"
        r" \(a fault of the program: please report it\)",
        line,
    )
    (text,) = outcome.tracebacks
    assert 'return {}["domain"]' in text
    with given.instance() as instance:
        (run,) = instance.get_runs(limit=1)
        (event,) = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    error = event.event_log_entry.dagster_event.step_failure_data.error
    assert error.message.startswith("dagster._core.definitions.events.Failure: KeyError: 'domain' at ")
    assert error.cause.cls_name == "KeyError"

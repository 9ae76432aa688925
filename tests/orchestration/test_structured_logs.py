"""The JSON lines of a real run."""

import json
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import dagster as dg

from advcluster_dagster.orchestration.definitions import build_defs
from advcluster_dagster.orchestration.structured_logs import EventLines, event_fields, event_file, remove_old_lines
from tests.orchestration.conftest import drop
from tests.studies import bring_traces


def _lines(home):
    (path,) = home.logs.glob("events-*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_is_told_event_by_event(given):
    for path in given.home.logs.glob("events-*.jsonl"):
        path.unlink()
    bring_traces(given, "sums", n_kept=3)
    assert given.run(("larger_traces",), domains=("sums",)).failures == {}
    lines = _lines(given.home)
    with given.instance() as instance:
        (run,) = instance.get_runs(limit=1)
    assert {line["run_id"] for line in lines} == {run.run_id}
    assert {(line["study"], line["partition"]) for line in lines} == {("given", "sums|f")}
    counts = Counter(line["event"] for line in lines)
    assert {name: counts[name] for name in counts if name != "checked"} == {
        "run_started": 1, "step_started": 1, "materialised": 1, "step_succeeded": 1, "run_succeeded": 1,
    }  # fmt: skip
    assert all(line["passed"] for line in lines if line["event"] == "checked")
    (made,) = [line for line in lines if line["event"] == "materialised"]
    assert (made["asset"], made["step"], made["level"]) == ("larger_traces", "given__larger_traces", "debug")
    (ended,) = [line for line in lines if line["event"] == "step_succeeded"]
    assert ended["seconds"] > 0
    times = [datetime.fromisoformat(line["time"]) for line in lines]
    assert times == sorted(times)
    assert abs(datetime.now(UTC) - times[-1]) < timedelta(minutes=5)


def test_a_failure_says_why(made):
    path = drop(made.home, "made", "math", "empty", 0)
    made.run()
    (failed,) = [line for line in _lines(made.home) if line["event"] == "step_failed"]
    assert failed["message"] == f"benchmark 'empty': {path} has no question of domain math"
    assert failed["level"] == "error"


def test_what_is_no_record_of_a_run_has_its_message_alone():
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "text", None, None)
    record.dagster_meta = {"orig_message": "text", "job_tags": None}
    fields = event_fields(record)
    assert fields.pop("time").endswith("+00:00")
    assert fields == {"level": "info", "event": "message", "message": "text"}


def test_a_line_that_cannot_be_written_stops_nothing(monkeypatch, tmp_path, capsys):
    (tmp_path / "logs").write_text("a file where the folder would be")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    EventLines().handle(logging.LogRecord("a", logging.INFO, __file__, 1, "text", None, None))
    assert "FileExistsError" in capsys.readouterr().err


def test_files_of_old_days_go(tmp_path):
    today = datetime.now(UTC).date()
    for age in (0, 1, 2, 9):
        event_file(tmp_path, today - timedelta(days=age)).touch()
    (tmp_path / "failures.log").touch()
    assert remove_old_lines(tmp_path, 1.0) == 2
    assert remove_old_lines(tmp_path, 1.0) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "failures.log", *(event_file(tmp_path, today - timedelta(days=age)).name for age in (0, 1)),
    }  # fmt: skip
    assert remove_old_lines(tmp_path / "absent", 1.0) == 0


def test_the_housekeeping_job_says_what_it_did(given):
    job = build_defs(given.home, [given.study]).resolve_job_def("given__housekeeping")
    with given.instance() as instance:
        before = len(instance.get_runs())
        result = job.execute_in_process(instance=instance)
        assert result.success
        assert len(instance.get_runs()) == before + 1
    (event,) = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_OUTPUT]
    assert event.step_output_data.metadata["n_removed"].value == 0

"""Run events as JSON lines for log collectors: HOME/logs/events-DATE.jsonl, one file per day (UTC).

Libraries such as python-json-logger format log records, but these lines are built from Dagster's events.
``TimedRotatingFileHandler`` is unsuitable because it renames files that other processes of a home have open.
"""

import json
import logging
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from advcluster_dagster.dagster_internals import DagsterEvent
from advcluster_dagster.orchestration.failures import failure_line
from advcluster_dagster.orchestration.run_process import STUDY_TAG

_Event = dg.DagsterEventType
_EVENTS = {
    _Event.RUN_START: "run_started",
    _Event.RUN_SUCCESS: "run_succeeded",
    _Event.RUN_FAILURE: "run_failed",
    _Event.RUN_CANCELED: "run_cancelled",
    _Event.STEP_START: "step_started",
    _Event.STEP_SUCCESS: "step_succeeded",
    _Event.STEP_FAILURE: "step_failed",
    _Event.STEP_UP_FOR_RETRY: "step_to_be_retried",
    _Event.ASSET_MATERIALIZATION: "materialised",
    _Event.ASSET_CHECK_EVALUATION: "checked",
}


class EventLines(logging.Handler):
    """Appends a line for each lifecycle event of a run and each message of a step.

    Fields, omitted where they do not apply: ``time`` (ISO 8601, UTC), ``level``, ``event``, ``study``, ``run_id``,
    ``job``, ``partition``, ``step``, ``asset``, ``seconds`` (of a step), ``check``, ``passed``, ``message``. Each line
    is a single write, so processes can share a file.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record if it is relevant; errors here never stop a run."""
        try:
            fields = event_fields(record)
            if fields is not None:
                path = event_file(Path(os.environ["DAGSTER_HOME"]).parent / "logs", datetime.now(UTC).date())
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(fields, ensure_ascii=False) + "\n")
        except Exception:
            self.handleError(record)


def event_file(folder: Path, day: date) -> Path:
    """Path of the file for a day."""
    return folder / f"events-{day.isoformat()}.jsonl"


def remove_old_lines(folder: Path, keep_days: float) -> int:
    """Delete the files of days more than ``keep_days`` ago; return their number."""
    last = (datetime.now(UTC) - timedelta(days=keep_days)).date()
    old = [path for path in folder.glob("events-????-??-??.jsonl") if path.name < event_file(folder, last).name]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def event_fields(record: logging.LogRecord) -> dict[str, Any] | None:
    """Fields of a record's line; None for irrelevant records."""
    context = getattr(record, "dagster_meta", None) or {}
    event: DagsterEvent | None = context.get("dagster_event")
    if event is not None and event.event_type not in _EVENTS:
        return None
    tags = context.get("job_tags") or {}
    fields = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": "message" if event is None else _EVENTS[event.event_type],
        "study": tags.get(STUDY_TAG),
        "run_id": context.get("run_id"),
        "job": context.get("job_name"),
        "partition": tags.get("dagster/partition"),
        "step": context.get("step_key"),
        **({"message": context.get("orig_message")} if event is None else _of_event(event)),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _of_event(event: DagsterEvent) -> dict[str, Any]:
    if event.event_type == _Event.STEP_SUCCESS:
        return {"seconds": round(event.step_success_data.duration_ms / 1000, 3)}
    if event.event_type == _Event.STEP_FAILURE:
        return {"message": failure_line(event.step_failure_data)}
    if event.event_type == _Event.ASSET_MATERIALIZATION:
        return {"asset": event.asset_key.path[-1] if event.asset_key else None}
    if event.event_type == _Event.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        return {"asset": check.asset_key.path[-1], "check": check.check_name, "passed": check.passed}
    if event.event_type in (_Event.RUN_FAILURE, _Event.STEP_UP_FOR_RETRY):
        return {"message": event.message}
    return {}

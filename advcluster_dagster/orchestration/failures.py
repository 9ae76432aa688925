"""Log one readable line for each failed run of the daemon, to HOME/logs/failures.log and standard error."""

import sys
from datetime import UTC, datetime

import dagster as dg

from advcluster_dagster.assets.registry import step_of_op
from advcluster_dagster.dagster_internals import StepFailureData
from advcluster_dagster.orchestration.run_process import STUDY_TAG
from advcluster_dagster.printable import one_line
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import Study

_MOST_CHARACTERS = 2000


def build_failure_hook(home: Home, study: Study) -> dg.SensorDefinition:
    """A sensor that logs one line for every failed run of a study's jobs."""

    @dg.run_failure_sensor(
        name=f"{study.identifier}__failures",
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Writes one line for each failed run to logs/failures.log and to standard error.",
    )
    def failures(context: dg.RunFailureSensorContext) -> None:
        if not _is_of(study, context.dagster_run):  # all studies of a home share the code location
            return
        line = describe_failure(study, context)
        home.logs.mkdir(parents=True, exist_ok=True)
        with (home.logs / "failures.log").open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")
        print(line, file=sys.stderr)

    return failures


def _is_of(study: Study, run: dg.DagsterRun) -> bool:
    """Whether a run belongs to a study, by its tag, else its asset selection, else its job's name."""
    if STUDY_TAG in run.tags:
        return run.tags[STUDY_TAG] == study.study
    if run.asset_selection:
        return any(key.path[0] == study.study for key in run.asset_selection)
    return run.job_name.startswith(f"{study.identifier}__")


def describe_failure(study: Study, context: dg.RunFailureSensorContext) -> str:
    """One line with time, study, job, partition, run, failed steps and reasons, without control characters."""
    run = context.dagster_run
    steps = [
        f"{step_of_op(event.step_key) or 'run'}: {failure_line(event.step_failure_data)}"
        for event in context.get_step_failure_events()
        if event.step_failure_data is not None
    ]
    reason = "; ".join(steps) or context.failure_event.message or "unknown reason"
    partition = run.tags.get("dagster/partition")
    label = f"{run.job_name} of {partition}" if partition else run.job_name
    time = datetime.now(UTC).isoformat(timespec="seconds")
    text = f"{time} study {study.study}: {label} failed (run {run.run_id[:8]}): {reason}"
    return one_line(text, _MOST_CHARACTERS)


def failure_line(data: StepFailureData) -> str:
    """Reason of a step's failure, in one line."""
    if data.user_failure_data and data.user_failure_data.description:
        return " ".join(data.user_failure_data.description.split())
    cause = (data.error.cause or data.error) if data.error else None
    return " ".join(cause.message.split()) if cause else "failed; see the run in the UI"

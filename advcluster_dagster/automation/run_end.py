"""What came of one Dagster run, in numbers and one line.

Here: reading a run's events. Not here: starting runs (launching), what a study's runs come to (run_study).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from advcluster_dagster.assets.health import CONTRACT_CHECK
from advcluster_dagster.assets.stages import step_of_op
from advcluster_dagster.automation.failures import failure_line

RunResult = dg.ExecuteInProcessResult | dg.JobExecutionResult


@dataclass(frozen=True)
class RunEnd:
    """The end of a run: model calls of the steps that succeeded, and the line that says why it failed, if it did."""

    n_asked: int
    fault: str | None = None


def end_of(result: RunResult) -> RunEnd:
    """What a run came to."""
    if result.success:
        return RunEnd(_n_asked(result))
    return RunEnd(_n_asked(result), _first_failure(result) or "failed; see the run in the UI")


def _n_asked(result: RunResult) -> int:
    """Model calls, once a step: each of its tables names those of the whole step."""
    by_step: dict[str | None, int] = {}
    for event in result.all_events:
        if event.is_step_materialization:
            asked = event.step_materialization_data.materialization.metadata.get("calls_n_asked")
            by_step[event.step_key] = int(str(asked.value)) if asked is not None else 0
    return sum(by_step.values())


def _first_failure(result: RunResult) -> str | None:
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            # A broken contract is told by the failure of its step, which says what is broken.
            if not found.passed and found.blocking and found.check_name != CONTRACT_CHECK:
                return (
                    f"{found.asset_key.path[-1]}: blocking check {found.check_name} failed ({_facts(found.metadata)})"
                )
        if event.is_step_failure and event.step_failure_data is not None:
            return f"{step_of_op(event.step_key) or 'run'}: {failure_line(event.step_failure_data)}"
    return None


def _facts(metadata: Mapping[str, dg.MetadataValue[Any]]) -> str:
    """What a check found, in words: numbers as they are, shares with three digits."""
    values = {name: value.value for name, value in metadata.items()}
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )

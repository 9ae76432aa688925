"""Summarise the outcome of one Dagster run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from advcluster_dagster.assets.registry import step_of_op
from advcluster_dagster.orchestration.failures import failure_line
from advcluster_dagster.planning.check_facts import words_of
from advcluster_dagster.planning.partition_state import CONTRACT_CHECK

RunResult = dg.ExecuteInProcessResult | dg.JobExecutionResult


@dataclass(frozen=True)
class RunEnd:
    """Outcome of a run.

    ``n_asked`` counts the model calls of the steps that succeeded. ``fault`` is a line with the reason of a failure,
    None if the run succeeded. ``call_failures`` is a line about failed model calls by step. ``tracebacks`` are those of
    exceptions that are faults of the program.
    """

    n_asked: int
    fault: str | None = None
    call_failures: Mapping[str, str] = field(default_factory=dict)
    tracebacks: tuple[str, ...] = ()


def summarise_run(result: RunResult) -> RunEnd:
    """Summarise the outcome of a run."""
    n_asked = sum(int(str(n_calls)) for n_calls in _by_step(result, "calls_n_asked").values())
    call_failures = {step: str(line) for step, line in _by_step(result, "call_failures").items()}
    if result.success:
        return RunEnd(n_asked, None, call_failures)
    fault = _first_failure(result) or "failed; see the run in the UI"
    return RunEnd(n_asked, fault, call_failures, tuple(_tracebacks(result)))


def _by_step(result: RunResult, name: str) -> dict[str, Any]:
    """A fact by step, from the metadata of its tables, each of which has the fact of the whole step."""
    facts = {}
    for event in result.all_events:
        if event.is_step_materialization:
            fact = event.step_materialization_data.materialization.metadata.get(name)
            if fact is not None:
                facts[step_of_op(event.step_key) or "run"] = fact.value
    return facts


def _tracebacks(result: RunResult) -> Iterator[str]:
    """Tracebacks behind failures that no message for people explains (see step_failures.py)."""
    for event in result.all_events:
        failure = event.step_failure_data if event.is_step_failure else None
        if failure is not None and failure.error is not None and failure.error.cause is not None:
            yield failure.error.cause.to_string()


def _first_failure(result: RunResult) -> str | None:
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            # A contract violation is already reported as the failure of its step, with the columns.
            if not check.passed and check.blocking and check.check_name != CONTRACT_CHECK:
                return (
                    f"{check.asset_key.path[-1]}: blocking check {check.check_name} failed ({words_of(check.metadata)})"
                )
        if event.is_step_failure and event.step_failure_data is not None:
            return f"{step_of_op(event.step_key) or 'run'}: {failure_line(event.step_failure_data)}"
    return None

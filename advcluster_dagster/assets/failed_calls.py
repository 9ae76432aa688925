"""Checks that report a step's failed model calls and the reasons, for tables whose rows do not show them."""

from collections.abc import Mapping
from typing import Any

from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.step import Step, StepError


def failed_calls(step: Step) -> dict[str, str]:
    """Return the summary of a step's failed calls as a fact of a check; empty if none failed."""
    notes = step.call_notes
    return {"call_failures": notes["call_failures"]} if "call_failures" in notes else {}


def _failed_share(notes: Mapping[str, Any]) -> float:
    """Share of the results of a step's model calls that are failures; 0 without calls.

    Raises:
        StepError: the file was written by a version that did not record the number of results.
    """
    n_failures, n_results = notes.get("n_failures", 0), notes.get("n_results", 0)
    if n_failures and not n_results:
        raise StepError("an earlier version of the program wrote this table without its number of calls; run the step")
    return n_failures / n_results if n_results else 0.0


def _few_failures(step: Step, bound: float) -> Outcome:
    share = _failed_share(step.call_notes)
    return Outcome(share <= bound, {"failed_share": share, "bound": bound, **failed_calls(step)})


CALLS_ANSWERED = Check(
    "calls_answered",
    "Every model call got a usable answer; otherwise the reasons, as reported by the server.",
    lambda step, _rows: Outcome(not failed_calls(step), failed_calls(step)),
)
JUDGE_USABLE = Check(
    "judge_usable",
    "Most replies of the judge are usable; a result based on few usable replies would be a biased selection.",
    lambda step, _rows, bound: _few_failures(step, bound),
    is_blocking=True,
    bound="max_judge_failure_share",
)

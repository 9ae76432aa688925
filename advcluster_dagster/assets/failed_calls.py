"""Checks that report which model calls of a step failed, and why, for tables whose rows do not show it."""

from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.step import Step


def failed_calls(step: Step) -> dict[str, str]:
    """The line about a step's failed calls as a fact of a check; {} where none failed."""
    return {"call_failures": notes["call_failures"]} if "call_failures" in (notes := step.models.failure_notes) else {}


CALLS_ANSWERED = Check(
    "calls_answered",
    "Every model call got a usable answer; else the reasons, in the server's words.",
    lambda step, _rows: Outcome(not failed_calls(step), failed_calls(step)),
)
JUDGE_USABLE = Check(
    "judge_usable",
    "Most replies of the judge can be used; a result made from the few others would be its own selection.",
    lambda step, _rows, bound: Outcome(
        (share := step.models.failed_share) <= bound, {"failed_share": share, "bound": bound, **failed_calls(step)}
    ),
    is_blocking=True,
    bound="max_judge_failure_share",
)

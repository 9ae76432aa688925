"""Checks that report a step's failed model calls and the reasons, for tables whose rows do not show them."""

from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.step import Step


def failed_calls(step: Step) -> dict[str, str]:
    """Return the summary of a step's failed calls as a fact of a check; empty if none failed."""
    return {"call_failures": notes["call_failures"]} if "call_failures" in (notes := step.models.failure_notes) else {}


CALLS_ANSWERED = Check(
    "calls_answered",
    "Every model call got a usable answer; otherwise the reasons, as reported by the server.",
    lambda step, _rows: Outcome(not failed_calls(step), failed_calls(step)),
)
JUDGE_USABLE = Check(
    "judge_usable",
    "Most replies of the judge are usable; a result based on few usable replies would be a biased selection.",
    lambda step, _rows, bound: Outcome(
        (share := step.models.failed_share) <= bound, {"failed_share": share, "bound": bound, **failed_calls(step)}
    ),
    is_blocking=True,
    bound="max_judge_failure_share",
)

"""The check that says of a step which of its model calls failed, and why.

Here: one check for the tables whose rows do not tell it themselves. Not here: what a failure is (models), how many are
too many (the checks of the stages).
"""

from advcluster_dagster.assets.recipe import Check, Outcome
from advcluster_dagster.assets.step import Step


def failed_calls(step: Step) -> dict[str, str]:
    """The line about a step's failed calls as a fact of a check; {} where none failed."""
    return {"call_failures": step.notes["call_failures"]} if "call_failures" in step.notes else {}


CALLS_ANSWERED = Check(
    "calls_answered",
    "Every model call got a usable answer; else the reasons, in the server's words.",
    lambda step, _rows: Outcome(not failed_calls(step), failed_calls(step)),
)

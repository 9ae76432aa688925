"""What a run would do: stale steps, model calls that the ledger cannot answer, their tokens.

Here: the plan and its estimates. Not here: running, printing.
"""

from dataclasses import dataclass

import dagster as dg

from advcluster_dagster.assets.recipe import Estimate
from advcluster_dagster.assets.resources import Platform
from advcluster_dagster.assets.stages import RECIPES
from advcluster_dagster.automation.run_study import Selection
from advcluster_dagster.automation.status import StepStatus, study_status
from advcluster_dagster.study import Study


@dataclass(frozen=True)
class PlannedStep:
    """A step that would run, and what it would ask models; the estimate is None for a step that asks none."""

    status: StepStatus
    estimate: Estimate | None


def plan_run(platform: Platform, study: Study, instance: dg.DagsterInstance, selection: Selection) -> list[PlannedStep]:
    """Steps that a run would run, in order. Nothing is asked, run or written.

    A step whose inputs exist is estimated from them exactly as it would ask; one whose inputs are still to be made
    states its assumption. A call that several partitions make counts with the first.

    Raises:
        SelectionError: see :meth:`Selection.check`.
    """
    selection.check(study)
    statuses = study_status(platform, study, instance, platform.retry_failed)
    planned: set[str] = set()
    return [
        PlannedStep(status, _estimate(platform, study, status, planned))
        for status in statuses.values()
        if status.must_run and selection.covers(status)
    ]


def _estimate(platform: Platform, study: Study, status: StepStatus, planned: set[str]) -> Estimate | None:
    recipe = RECIPES[status.step]
    if recipe.estimate is None:
        return None
    step = platform.open_step(study.study, recipe, status.partition, study=study)
    step.planned = planned
    return recipe.estimate(step)

"""Plan a run: the stale steps, and the model calls that the ledger cannot answer."""

from dataclasses import dataclass

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.planning.status import StepStatus, study_status
from advcluster_dagster.study.study import Study


@dataclass(frozen=True)
class PlannedStep:
    """A step to run, and the estimate of its model calls; None for a step without model calls."""

    status: StepStatus
    estimate: Estimate | None


def plan_run(platform: Platform, study: Study, instance: dg.DagsterInstance, selection: Selection) -> list[PlannedStep]:
    """Return the steps that a run would execute, in order, without running, calling or writing anything.

    A step whose inputs exist and do not change is estimated from them exactly. If the run makes its inputs, again or
    for the first time, it is estimated from what is already known, such as the questions, and states its assumption. A
    call that several partitions make is counted with the first.

    Raises:
        SelectionError: see :meth:`Selection.check`.
    """
    selection.check(study)
    statuses = study_status(platform, study, instance, platform.retry_failed)
    chosen = [status for status in statuses.values() if status.must_run and selection.covers(status)]
    to_be_made = {(table, status.partition) for status in chosen for table in RECIPES[status.step].tables}
    planned: set[str] = set()

    def estimate(status: StepStatus) -> Estimate | None:
        recipe = RECIPES[status.step]
        if recipe.estimate is None:
            return None
        step = platform.open_step(study.study, recipe, status.partition, study=study)
        step.planned, step.to_be_made = planned, to_be_made
        try:
            return recipe.estimate(step)
        except AdvClusterError as error:
            return Estimate(
                assumed=(f"{recipe.name} of {status.partition.label}: no calls, as it cannot run: {error}",)
            )

    return [PlannedStep(status, estimate(status)) for status in chosen]

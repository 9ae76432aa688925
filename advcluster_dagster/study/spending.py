"""Limits on a study's spending on models."""

from pydantic import Field

from advcluster_dagster.study.base import Settings


class Spending(Settings):
    """Spending limits; they never change a result."""

    max_cost: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Maximum total cost of all model calls that the study uses, over all runs, US dollars; a step stops"
        " before the call that would exceed it. None: no limit.",
    )

"""What a study may spend on models."""

from pydantic import Field

from advcluster_dagster.study.base import Settings


class Spending(Settings):
    """Bounds on money; they never change a result."""

    max_cost: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="What all model calls that the study uses may cost together, over all runs, US dollars; a step"
        " stops before the call that would exceed it. None is no limit.",
    )

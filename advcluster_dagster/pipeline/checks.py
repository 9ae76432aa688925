"""Checks of a table's rows: what a check is, and its outcome.

Put here what all checks share. A check of one table stands in the file of its stage (``assets``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import polars as pl

from advcluster_dagster.study.analysis import CheckBounds
from advcluster_dagster.study.study import Study


class HasStudy(Protocol):
    """What evaluating a check reads of a running step."""

    study: Study


@dataclass(frozen=True)
class Outcome:
    """Result of a check; ``facts`` are shown beside it."""

    is_passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A check of one table's content; a blocking one stops what depends on the table, the others warn.

    ``judge`` is given the step, the rows and, where ``bound`` names one of the study's bounds of checks, its value. A
    step depends on the bounds that its checks name, so no check reads another one.
    """

    name: str
    description: str
    judge: Callable[..., Outcome]
    is_blocking: bool = False
    bound: str | None = None

    def __post_init__(self) -> None:
        if self.bound is not None and self.bound not in CheckBounds.model_fields:
            raise ValueError(
                f"check {self.name}: bound is {self.bound!r}; allowed: {', '.join(CheckBounds.model_fields)}"
            )

    def evaluate(self, step: HasStudy, rows: pl.LazyFrame) -> Outcome:
        """Evaluate the check on the rows of one partition.

        Where the study sets the bound itself, the facts also hold its default.
        """
        if self.bound is None:
            return self.judge(step, rows)
        bound, default = getattr(step.study.checks, self.bound), CheckBounds.model_fields[self.bound].default
        outcome = self.judge(step, rows, bound)
        return (
            outcome
            if bound == default
            else replace(outcome, facts={**outcome.facts, "default_bound": "none" if default is None else default})
        )

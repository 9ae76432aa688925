"""Checks of a table's rows, and their outcomes.

Shared by all checks; the check of one table is defined in the file of its stage (``assets``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import polars as pl

from advcluster_dagster.study.analysis import CheckBounds
from advcluster_dagster.study.study import Study


class HasStudy(Protocol):
    """The part of a running step that evaluating a check reads."""

    study: Study


@dataclass(frozen=True)
class Outcome:
    """Result of a check; ``facts`` are shown with it."""

    is_passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A check of one table's content; a blocking check stops downstream steps, others warn.

    ``judge`` is called with the step, the rows and, if ``bound`` names one of the study's check bounds, its value. A
    step's fingerprint includes only the bounds that its checks name, so a check must not read other bounds.
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

        If the study overrides the bound, the facts also hold its default.
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

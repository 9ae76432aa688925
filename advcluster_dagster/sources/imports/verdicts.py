"""Recorded verdicts of a log, taken only from scorers whose values mean right or wrong."""

import math
from dataclasses import dataclass
from typing import Any

from advcluster_dagster.sources.imports.errors import shown

_VERDICTS = {"C": True, "I": False, 1: True, 0: False}


@dataclass
class Scorer:
    """A scorer of a log; ``other`` is a value that is not a verdict, ``n_taken`` counts the verdicts returned."""

    name: str
    n_taken: int = 0
    other: Any = None

    def add(self, value: Any) -> None:
        """Add a value of the log; missing values (null or NaN) are ignored."""
        if self.other is None and not _is_missing(value) and _verdict(value) is None:
            self.other = value

    def verdict(self, value: Any) -> bool | None:
        """Return True for right, False for wrong; None if missing, or for all values if any is not a verdict."""
        verdict = None if self.other is not None or _is_missing(value) else _verdict(value)
        self.n_taken += verdict is not None
        return verdict

    @property
    def warning(self) -> str | None:
        """Why the values are not verdicts; None if they are."""
        if self.other is None:
            return None
        return (
            f"scorer {self.name} gives values such as {shown(self.other)}, which are neither right nor wrong; "
            "recorded_correct is left empty"
        )


def _verdict(value: Any) -> bool | None:
    return _VERDICTS.get(value) if isinstance(value, str | int | float) else None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))

"""Parse the JSON of the column ``answer_context``: what a question specifies about its answer beyond the gold text."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Any

from advcluster_dagster.science.grading.errors import UnreadableAnswerError

_KINDS = ("absolute", "relative")
# Largest absolute decimal exponent of a tolerance.
_MAX_EXPONENT = 400


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted difference from the gold number, inclusive."""

    amount: Fraction
    is_relative: bool = False

    def admits(self, expected: Fraction, given: Fraction) -> bool:
        """Whether ``|given - expected|`` is at most the amount, times ``|expected|`` if relative; exact arithmetic."""
        return abs(given - expected) <= (self.amount * abs(expected) if self.is_relative else self.amount)


@dataclass(frozen=True)
class AnswerContext:
    """Parsed ``answer_context``: keys as the fields, plus ``tolerance_kind``; absent keys take the defaults.

    ``is_multiple``: the answer is several values, compared without order unless ``is_ordered``.
    """

    tolerance: Tolerance | None = None
    unit: str = ""
    options: Mapping[str, str] | None = None
    code: str | None = None
    output: str | None = None
    is_multiple: bool = False
    is_ordered: bool = False


@lru_cache(maxsize=4096)
def read_context(text: str | None) -> AnswerContext:
    """Parse a question's answer context; None gives the defaults.

    ``options`` may be a list or a mapping by letter; the result maps letters to texts, with a leading option letter
    removed (``A) 5 m`` becomes ``5 m``).

    Raises:
        UnreadableAnswerError: the text is not a JSON object, or an entry has a value of the wrong type.
    """
    if text is None:
        return AnswerContext()
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableAnswerError(f"answer context {text[:60]!r} is not JSON") from None
    if not isinstance(entries, dict):
        raise UnreadableAnswerError(f"answer context {text[:60]!r} is not a JSON object")
    return AnswerContext(
        tolerance=_tolerance(entries.get("tolerance"), entries.get("tolerance_kind") or "absolute"),
        unit=_text(entries, "unit") or "",
        options=_options(entries.get("options")),
        code=_text(entries, "code"),
        output=_text(entries, "output"),
        is_multiple=entries.get("is_multiple") is True,
        is_ordered=entries.get("is_ordered") is True,
    )


def _text(entries: dict[str, Any], key: str) -> str | None:
    value = entries.get(key)
    if value is not None and not isinstance(value, str):
        raise UnreadableAnswerError(f"answer context: {key} must be a string, got {value!r:.60}")
    return value


def _options(options: Any) -> dict[str, str] | None:
    """Option texts by upper-case letter (A, B, ... for a list); None without options."""
    if isinstance(options, list):
        options = {chr(ord("A") + i): text for i, text in enumerate(options[:26])}
    if not isinstance(options, dict):
        return None
    texts = {str(letter).strip().upper(): str(text).strip() for letter, text in options.items()}
    return {letter: re.sub(rf"\A[(\[]?{re.escape(letter)}[)\].:]\s*", "", text) for letter, text in texts.items()}


def _tolerance(amount: Any, kind: Any) -> Tolerance | None:
    if amount is None or amount == "":
        return None
    try:
        number = Decimal(str(amount))
    except InvalidOperation:
        number = Decimal("nan")
    if kind not in _KINDS or not number.is_finite() or number < 0 or abs(number.adjusted()) > _MAX_EXPONENT:
        raise UnreadableAnswerError(f"answer context: invalid tolerance {amount!r:.60} of kind {kind!r:.60}")
    return Tolerance(Fraction(number), kind == "relative")

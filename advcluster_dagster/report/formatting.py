"""Format numbers, shares, lists and external text for the report."""

import math
import unicodedata
from collections.abc import Sequence

MISSING = "—"
MAX_TEXT = 900
MAX_NAME = 80
MAX_WORD = 28


def is_missing(value: float | None) -> bool:
    """Whether a value is None or NaN."""
    return value is None or math.isnan(value)


def decimal(value: float | None, places: int = 2) -> str:
    """Format a number with fixed places; a dash if missing; never minus zero."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "\N{MINUS SIGN}")


def signed(value: float | None, places: int = 2) -> str:
    """Format a difference with its sign; a dash if missing."""
    if value is None or math.isnan(value):
        return MISSING
    text = decimal(value, places)
    return text if text.startswith("\N{MINUS SIGN}") or float(text.replace(",", "")) == 0 else f"+{text}"


def integer(value: int | None) -> str:
    """Format a count with thousands separators; a dash if missing."""
    return MISSING if value is None else f"{value:,d}"


def percent(share: float | None, places: int = 1) -> str:
    """Format a share in [0, 1] in percent, without the percent sign; a dash if missing."""
    return MISSING if share is None else decimal(100 * share, places)


def ratio(part: int, whole: int, places: int = 1) -> str:
    """Format ``part`` of ``whole`` in percent; a dash if ``whole`` is 0."""
    return percent(part / whole, places) if whole else MISSING


def mean_std(mean: float | None, std: float | None, places: int = 2) -> str:
    """Format ``mean ± std``; a missing std is a dash, as is the whole text without a mean."""
    return MISSING if is_missing(mean) else f"{decimal(mean, places)} ± {decimal(std, places)}"


def difference(larger: float | None, smaller: float | None) -> float | None:
    """Larger minus smaller; None if either is missing."""
    if larger is None or smaller is None:
        return None
    return larger - smaller


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun: ``1 question``, ``2 questions``."""
    return f"{integer(number)} {noun if number == 1 else plural or noun + 's'}"


def word_list(words: Sequence[str]) -> str:
    """Join words: ``a``, ``a and b``, ``a, b and c``; empty for none."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def foreign_text(text: str | None, limit: int = MAX_TEXT) -> str:
    """Sanitise text from a model or file for display.

    Characters without a glyph (controls, zero-width characters, bidirectional overrides) are written as ``[U+202E]``,
    so that they cannot hide or reorder text; line breaks and tabs become spaces; text over ``limit`` characters is
    truncated with a count of the rest; a missing text is a dash.
    """
    if text is None:
        return MISSING
    cut = len(text) - limit
    shown = "".join(map(_visible, text[:limit]))
    return f"{shown} … ({counted(cut, 'more character')})" if cut > 0 else shown


def is_long_worded(text: str) -> bool:
    """Whether a word is too long for a table cell without breaking it."""
    return any(len(word) > MAX_WORD for word in text.split())


def quoted(text: str | None) -> str:
    """Quote external text inside a sentence, isolated so that it cannot change the direction of surrounding text."""
    return f"“\N{FIRST STRONG ISOLATE}{foreign_text(text, MAX_NAME)}\N{POP DIRECTIONAL ISOLATE}”"


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"):
        return f"[U+{ord(character):04X}]"
    return character

"""Format numbers, shares and lists for the report; make control characters visible."""

import math
import unicodedata
from collections.abc import Sequence

MISSING = "—"
MAX_TEXT = 900
MAX_NAME = 80
MAX_WORD = 28


def is_missing(value: float | None) -> bool:
    """Whether a value is null or not a number."""
    return value is None or math.isnan(value)


def decimal(value: float | None, places: int = 2) -> str:
    """A number with fixed places; a dash when missing; never minus zero."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "\N{MINUS SIGN}")


def signed(value: float | None, places: int = 2) -> str:
    """A difference with its sign; a dash when missing."""
    if value is None or math.isnan(value):
        return MISSING
    text = decimal(value, places)
    return text if text.startswith("\N{MINUS SIGN}") or float(text.replace(",", "")) == 0 else f"+{text}"


def integer(value: int | None) -> str:
    """A count with thousands separators; a dash when missing."""
    return MISSING if value is None else f"{value:,d}"


def percent(share: float | None, places: int = 1) -> str:
    """A share in [0, 1] as a number of percent, without the sign; a dash when missing."""
    return MISSING if share is None else decimal(100 * share, places)


def ratio(part: int, whole: int, places: int = 1) -> str:
    """``part`` of ``whole`` as a number of percent; a dash when there is no whole."""
    return percent(part / whole, places) if whole else MISSING


def mean_std(mean: float | None, std: float | None, places: int = 2) -> str:
    """``mean ± std``; each is a dash when missing, and so is the whole when there is no mean."""
    return MISSING if is_missing(mean) else f"{decimal(mean, places)} ± {decimal(std, places)}"


def difference(larger: float | None, smaller: float | None) -> float | None:
    """How far the larger model is above the smaller, or None when either is missing."""
    if larger is None or smaller is None:
        return None
    return larger - smaller


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``1 question``, ``2 questions``."""
    return f"{integer(number)} {noun if number == 1 else plural or noun + 's'}"


def word_list(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; empty for none."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def foreign_text(text: str | None, limit: int = MAX_TEXT) -> str:
    """Text that a model or a file brought in, made safe to read.

    Characters without a glyph (controls, zero-width characters, bidirectional overrides) are written as ``[U+202E]`` so
    that nothing hides or reorders the page; line breaks and tabs become spaces; a text over ``limit`` characters is cut
    and says so; a dash stands for a missing text.
    """
    if text is None:
        return MISSING
    cut = len(text) - limit
    shown = "".join(map(_visible, text[:limit]))
    return f"{shown} … ({counted(cut, 'more character')})" if cut > 0 else shown


def is_long_worded(text: str) -> bool:
    """Whether a word is too long for a table cell to be as wide as it; such a cell may break words."""
    return any(len(word) > MAX_WORD for word in text.split())


def isolated(text: str | None) -> str:
    """Foreign text inside a sentence of ours: quoted, and kept from changing the direction of what surrounds it."""
    return f"“\N{FIRST STRONG ISOLATE}{foreign_text(text, MAX_NAME)}\N{POP DIRECTIONAL ISOLATE}”"


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"):
        return f"[U+{ord(character):04X}]"
    return character

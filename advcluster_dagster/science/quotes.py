"""Find the passages that a text quotes in a trace."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

Span = tuple[int, int]

SHORT_PASSAGE = 2
MAX_OCCURRENCES = 20

_QUOTED = re.compile(
    "\u201c([^\u201d]+)\u201d"  # English double
    "|\u201e([^\u201c\u201d]+)[\u201c\u201d]"  # German
    "|\u00ab([^\u00bb]+)\u00bb"  # French
    "|\u2018([^\u2019]+)\u2019(?!\\w)"  # English single
    r'|"([^"]*)"'
    r"|`+([^`]+)`+"
    r"|(?<![^\s(\[])'([^'\n]+)'(?!\w)"  # opens after a space or bracket, so that an apostrophe does not
)
_ELLIPSIS = re.compile(r"…|\.{3,}|\[(?:…|\.{3,})\]")


@dataclass(frozen=True)
class Occurrences:
    """Occurrences of a passage as code point offsets; ``is_exact`` is False if they differ from it in white space."""

    spans: tuple[Span, ...] = ()
    is_exact: bool = True


def quoted_passages(text: str) -> tuple[str, ...]:
    """The distinct passages in quotation marks, in order; a text without quotation marks is itself one passage.

    A quotation with an ellipsis is split at the ellipsis.
    """
    quoted = [match[match.lastindex or 0] for match in _QUOTED.finditer(text)]
    pieces = (piece.strip() for passage in quoted or [text] for piece in _ELLIPSIS.split(passage))
    return tuple(dict.fromkeys(piece for piece in pieces if piece))


def find_passage(passage: str, text: str) -> Occurrences:
    """Find at most ``MAX_OCCURRENCES`` occurrences of a passage, exact ones or else ones that differ in white space.

    A passage of up to ``SHORT_PASSAGE`` characters must occur as a separate word.
    """
    if len(passage) <= SHORT_PASSAGE:
        return Occurrences(_spans(rf"(?<!\w){re.escape(passage)}(?!\w)", text))
    if exact := tuple(islice(_exact(passage, text), MAX_OCCURRENCES)):
        return Occurrences(exact)
    words = passage.split()
    # Two cheap checks before compiling a pattern; the first usually avoids the second on long traces.
    if not all(word in text for word in words) or " ".join(words) not in " ".join(text.split()):
        return Occurrences()
    return Occurrences(_spans(r"\s+".join(map(re.escape, words)), text), is_exact=False)


def _spans(pattern: str, text: str) -> tuple[Span, ...]:
    return tuple(match.span() for match in islice(re.finditer(pattern, text), MAX_OCCURRENCES))


def _exact(passage: str, text: str) -> Iterator[Span]:
    start = text.find(passage)
    while start >= 0:
        yield start, start + len(passage)
        start = text.find(passage, start + len(passage))

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
    """Where a passage stands in a text, as code point offsets; ``is_exact`` is false where only the spacing differs."""

    spans: tuple[Span, ...] = ()
    is_exact: bool = True


def quoted_passages(text: str) -> tuple[str, ...]:
    """The passages between quotation marks, each once, in order; a text without any is one passage itself.

    A quotation with an ellipsis counts as the pieces around it.
    """
    quoted = [match[match.lastindex or 0] for match in _QUOTED.finditer(text)]
    pieces = (piece.strip() for passage in quoted or [text] for piece in _ELLIPSIS.split(passage))
    return tuple(dict.fromkeys(piece for piece in pieces if piece))


def find_passage(passage: str, text: str) -> Occurrences:
    """Where a passage stands in a text: exactly, else with any spacing between its words; at most
    ``MAX_OCCURRENCES``. A passage of up to ``SHORT_PASSAGE`` characters must stand there as a word of its own.
    """
    if len(passage) <= SHORT_PASSAGE:
        return Occurrences(_spans(rf"(?<!\w){re.escape(passage)}(?!\w)", text))
    if exact := tuple(islice(_exact(passage, text), MAX_OCCURRENCES)):
        return Occurrences(exact)
    words = passage.split()
    # Two quick looks before a pattern is compiled; the first spares most of the second on long traces.
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

r"""Extract the answer from LaTeX ``\boxed{}``, joining boxes that form one answer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
# Tokens that matter for the balance of braces: a box opening, an escaped character, a bare brace.
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\\boxed\s+([^\s${}\\]+)|\\boxed([0-9])")
_OPENING = re.compile(r"\\(?:boxed|fbox)\s*\{")
# Text allowed between two boxes of one answer, apart from white space and dollar signs.
_LONGEST_BETWEEN = 60
_BETWEEN = re.compile(r"(?P<comma>[,;&]?)(?:\\text)?\{?(?P<word>and|or)?\}?")
_SPACING = re.compile(r"\\(?:qquad|quad|[,;: ])|[\s$]")


@dataclass(frozen=True, order=True)
class _Box:
    """Offsets of a box: its command (``begin``), its content (``start`` to ``end``), and its end (``after``)."""

    begin: int
    start: int
    end: int
    after: int


def box_at_start(text: str) -> int | None:
    """End offset of the closed box at the start of a text, after math delimiters; None if there is none."""
    first = re.match(r"(?:\$|\\\(|\\\[|\*|\s)*", text)
    position = first.end() if first else 0
    if not _BOX.match(text, position):
        return None
    return next((box.after for box in _closed_boxes(text, position) if box.begin == position), None)


def last_answer_in_boxes(text: str, answer_type: str) -> str | None:
    """Content of the last box that is not blank.

    Boxes separated from it only by a comma, "and" or "or" belong to the answer, as do adjacent boxes for an answer of
    several letters; distinct contents are joined by commas, or by "or" for option letters.

    Returns:
        None if no box has content; an empty string if the last box is never closed.
    """
    starts = [match.start() for match in _BOX.finditer(text)]
    if not starts:
        return None
    # Fast path: the last box is usually complete, so the rest of a long response need not be scanned.
    last = sorted(_closed_boxes(text, starts[-1]), reverse=True)
    if not last and _OPENING.match(text, starts[-1]):
        return ""
    if last and text[last[0].start : last[0].end].strip() and not _may_continue(text, starts):
        return text[last[0].start : last[0].end].strip()
    boxes = sorted(box for box in _closed_boxes(text, starts[0]) if text[box.start : box.end].strip())
    return _joined(text, boxes, answer_type) if boxes else None


def _may_continue(text: str, starts: list[int]) -> bool:
    """Whether the box before the last is near enough for both to be one answer."""
    if len(starts) < 2:
        return False
    before = text[starts[-2] : starts[-1]]
    return len(before) - max(before.rfind("}"), before.rfind("$")) <= _LONGEST_BETWEEN


def _joined(text: str, boxes: list[_Box], answer_type: str) -> str:
    """Join the content of the last box with the contents of the boxes that belong to it."""
    contents, joiner = [text[boxes[-1].start : boxes[-1].end].strip()], ", "
    is_choice = answer_type in ("choice", "choices")
    for earlier, later in zip(reversed(boxes[:-1]), reversed(boxes), strict=False):
        if earlier.after > later.begin or later.begin - earlier.after > _LONGEST_BETWEEN:
            break
        between = _BETWEEN.fullmatch(_SPACING.sub("", text[earlier.after : later.begin]).strip("."))
        if between is None or not (between.group() or answer_type == "choices"):
            break
        joiner = " or " if is_choice and between["word"] == "or" else joiner
        contents.append(text[earlier.start : earlier.end].strip())
    return joiner.join(dict.fromkeys(reversed(contents)))


def _closed_boxes(text: str, first: int) -> Iterator[_Box]:
    """Yield each closed box from a position on, in one pass over the text."""
    for match in _BARE_BOX.finditer(text, first):
        start, end = match.span(match.lastindex or 0)
        yield _Box(match.start(), start, end, match.end())
    opened: list[tuple[int, int] | None] = []
    for match in _BRACES.finditer(text, first):
        token = match.group()
        if token == "}":
            if opened and (box := opened.pop()):
                yield _Box(*box, match.start(), match.end())
        elif token == "{" or len(token) > 2:
            opened.append(match.span() if len(token) > 2 else None)

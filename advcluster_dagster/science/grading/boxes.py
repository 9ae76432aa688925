r"""The answer in the ``\boxed{}`` of LaTeX: closed boxes, and boxes that form one answer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
# A box opening, an escaped character, a bare brace: all that matters for the balance.
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\\boxed\s+([^\s${}\\]+)|\\boxed([0-9])")
_OPENING = re.compile(r"\\(?:boxed|fbox)\s*\{")
# What may stand between two boxes that together are one answer, beside white space and dollar signs.
_LONGEST_BETWEEN = 60
_BETWEEN = re.compile(r"(?P<comma>[,;&]?)(?:\\text)?\{?(?P<word>and|or)?\}?")
_SPACING = re.compile(r"\\(?:qquad|quad|[,;: ])|[\s$]")


@dataclass(frozen=True, order=True)
class _Box:
    """Where a box begins (its command), where its content starts and ends, and where the box ends."""

    begin: int
    start: int
    end: int
    after: int


def box_at_start(text: str) -> int | None:
    """Where the closed box ends with which a text begins, after dollar signs; None when it begins with none."""
    first = re.match(r"(?:\$|\\\(|\\\[|\*|\s)*", text)
    position = first.end() if first else 0
    if not _BOX.match(text, position):
        return None
    return next((box.after for box in _closed_boxes(text, position) if box.begin == position), None)


def last_answer_in_boxes(text: str, answer_type: str) -> str | None:
    """Content of the box that starts last and is not blank.

    Boxes that only a comma, "and" or "or" parts from it belong to the answer, as do, for an answer of several letters,
    those that nothing parts from it; their different contents are joined by commas, or by "or" for option letters.

    Returns:
        None without a box that has content; an empty text when the last box is never closed.
    """
    starts = [match.start() for match in _BOX.finditer(text)]
    if not starts:
        return None
    # The last box is nearly always a good one, so that the rest of a long response need not be read.
    last = sorted(_closed_boxes(text, starts[-1]), reverse=True)
    if not last and _OPENING.match(text, starts[-1]):
        return ""
    if last and text[last[0].start : last[0].end].strip() and not _may_continue(text, starts):
        return text[last[0].start : last[0].end].strip()
    boxes = sorted(box for box in _closed_boxes(text, starts[0]) if text[box.start : box.end].strip())
    return _joined(text, boxes, answer_type) if boxes else None


def _may_continue(text: str, starts: list[int]) -> bool:
    """Whether an earlier box stands so near to the last one that both may be one answer."""
    if len(starts) < 2:
        return False
    before = text[starts[-2] : starts[-1]]
    return len(before) - max(before.rfind("}"), before.rfind("$")) <= _LONGEST_BETWEEN


def _joined(text: str, boxes: list[_Box], answer_type: str) -> str:
    """The last box's content, with those of the boxes that belong to it."""
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
    """Each closed box from a position on, in one pass over the text."""
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

"""Where JSON values stand in a text that a model wrote: bare, in code fences, in prose.

Here: the complete values of a text, outermost ones only, and what broke the last one that is not. Not here: the grammar
(``lenient_json.py``), which value is a reply (``prompting.py``).
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from advcluster_dagster.science.lenient_json import BrokenJson, read_value
from advcluster_dagster.science.thinking import MARK

# Nobody needs more; each costs at most a scan of the text.
_MOST_ATTEMPTS = 1000
_BRACKET = re.compile(r"[{}\[\]]")
_START = re.compile(r"[{\[}]")
_OPENINGS = re.compile(r"[\[{\s]*+")
_DOUBLE_BRACE = re.compile(r"\{\s*+[{\[]")
_CLOSINGS = re.compile(r"\s*[}\]]+")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)|[{}\[\]]', re.DOTALL)
# What follows a piece of JSON inside a greater one.
_CONTINUED = re.compile(r'\s*(?:[}\]"]|,\s*["{\[}\]])')
# What stands before an item of a greater value; the second is told from prose only behind a bracket that stays open.
_INSIDE, _MAYBE_INSIDE = re.compile(r"[\"'”]\s*[:,]\s*\Z"), re.compile(r"[,\[]\s*\Z")
_FENCE = re.compile(r"^[ \t]*```(?P<rest>.*)$", re.MULTILINE)
_REPLY_START = re.compile(r"[\s\ufeff]*(?:```\w*\s*)?")
_LONGEST_SPACE = 200


@dataclass(frozen=True)
class JsonValue:
    """A complete value and its place, ``text[start:end]``."""

    start: int
    end: int
    value: Any


@dataclass
class JsonValues:
    """The complete values of a text in order, and the fault of the last one that is not complete.

    ``spans`` are all places that are JSON, complete or broken: marks of thinking in them are data.
    """

    complete: list[JsonValue] = field(default_factory=list)
    broken: BrokenJson | None = None
    spans: list[tuple[int, int]] = field(default_factory=list)


def find_values(text: str) -> JsonValues:
    """Find the objects and arrays of a text that are complete and not part of another one, be that one broken.

    A broken value that holds strings ends where its brackets are balanced; where they never are, it ends with its code
    fence, at a mark of thinking (if it may be a draft, with other text before it), or not at all. What stands in it is
    a piece of it, and so are values followed by a closing brace that nothing opened.
    """
    return _Scan(text).run()


class _Scan:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found = JsonValues()
        self.is_open = False  # behind a bracket that is never closed
        self.partners = _partners(text)
        self.marks = list(MARK.finditer(text))
        self.mark_starts = [mark.start() for mark in self.marks]
        self.behind_spans = 0  # the end of the last span that is JSON
        self.fences = _fences(text)

    def run(self) -> JsonValues:
        position = n_attempts = 0
        while (start := _START.search(self.text, position)) and n_attempts < _MOST_ATTEMPTS:
            n_attempts += 1
            position = start.end()
            if start[0] == "}":
                self.is_open = True
                self.found.complete.clear()
                self._keep_fault(BrokenJson("Extra data", start.start(), has_string=True))
            elif self._is_inside(start.start()):
                continue
            else:
                position = self._read(start.start())
        return self.found

    def _read(self, start: int) -> int:
        """Read what begins at a bracket; the position to go on from."""
        try:
            value, end = read_value(self.text, start)
        except BrokenJson as error:
            self._keep_fault(error)
            return self._behind_broken(start, error)
        self.found.complete.append(JsonValue(start, end, value))
        self._keep_span(start, end)
        surplus = _CLOSINGS.match(self.text, end)
        return surplus.end() if surplus else end

    def _keep_fault(self, error: BrokenJson) -> None:
        """Keep the last fault, but none of prose over one of JSON."""
        if error.has_string or not (self.found.broken and self.found.broken.has_string):
            self.found.broken = error

    def _behind_broken(self, start: int, error: BrokenJson) -> int:
        if error.has_string:
            is_reply = self._begins_reply(start)
            region_end = self._region_end(start, is_reply)
            end = self._balanced_end(start, region_end)
            if not end or _CONTINUED.match(self.text, end):
                self.is_open, end = True, region_end
            if is_reply:
                self._keep_span(start, end)
            return end
        if _DOUBLE_BRACE.match(self.text, start):
            return start + 1  # the braces of a template or of LaTeX around a value
        if partner := self.partners.get(start):
            return partner + 1
        self.is_open = True
        openings = _OPENINGS.match(self.text, start)
        return openings.end() if openings else start + 1

    def _balanced_end(self, start: int, region_end: int) -> int | None:
        depth = 0
        for token in _STRING_OR_BRACKET.finditer(self.text, start, region_end):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                return token.end()
        return None

    def _keep_span(self, start: int, end: int) -> None:
        self.found.spans.append((start, end))
        self.behind_spans = end

    def _begins_reply(self, start: int) -> bool:
        """Whether nothing but a closing mark of thinking and a code fence stands before a place."""
        n_marks = bisect_right(self.mark_starts, start)
        mark = self.marks[n_marks - 1] if n_marks else None
        if mark and (mark.end() <= self.behind_spans or not mark["end"]):
            return False
        before = mark.end() if mark else 0
        return start - before <= _LONGEST_SPACE and _REPLY_START.fullmatch(self.text, before, start) is not None

    def _region_end(self, start: int, is_reply: bool) -> int:
        """The next mark of thinking or the end of the code fence, whichever comes first, else the end of the text."""
        next_mark = bisect_right(self.mark_starts, start)
        ends = [self.mark_starts[next_mark]] if next_mark < len(self.marks) and not is_reply else []
        fence = bisect_right(self.fences, (start, len(self.text))) - 1
        if fence >= 0 and start < self.fences[fence][1]:
            ends.append(self.fences[fence][1])
        return min(ends, default=len(self.text))

    def _is_inside(self, start: int) -> bool:
        """Whether what stands before a bracket makes it an item of a greater value."""
        before = self.text[max(start - _LONGEST_SPACE, 0) : start]
        return bool(_INSIDE.search(before) or (self.is_open and _MAYBE_INSIDE.search(before)))


def _partners(text: str) -> dict[int, int]:
    """The closing bracket of each opening one that has one, strings not minded."""
    partners: dict[int, int] = {}
    opened: dict[str, list[int]] = {"}": [], "]": []}
    for bracket in _BRACKET.finditer(text):
        if bracket[0] in "{[":
            opened["}" if bracket[0] == "{" else "]"].append(bracket.start())
        elif opened[bracket[0]]:
            partner = opened[bracket[0]].pop()
            partners[partner] = bracket.start()
            other = opened["]" if bracket[0] == "}" else "}"]
            while other and other[-1] > partner:
                other.pop()
    return partners


def _fences(text: str) -> list[tuple[int, int]]:
    """Spans of the code fences that are closed, in order."""
    fences, start = [], None
    for fence in _FENCE.finditer(text):
        if start is None:
            start = fence.end() if not fence["rest"].endswith("```") else None
        elif not fence["rest"].strip():
            fences.append((start, fence.start()))
            start = None
    return fences

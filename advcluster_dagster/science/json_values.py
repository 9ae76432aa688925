"""Find complete JSON values in a model's text: bare, in code fences, in prose."""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from advcluster_dagster.science.lenient_json import BrokenJson, read_value
from advcluster_dagster.science.thinking import MARK

# Work allowed on brackets that begin no value: this many passes over the text plus some free characters; each such
# bracket costs at least _MIN_COST characters.
_MAX_PASSES, _FREE_CHARACTERS, _MIN_COST = 5, 20_000, 20
_BRACKET = re.compile(r"[{}\[\]]")
_PARTNERS = {"}": "{", "]": "["}
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)|[{}\[\]]', re.DOTALL)
# Text that follows a piece of JSON inside an enclosing value.
_CONTINUED = re.compile(r'\s*(?:[}\]"]|,\s*["{\[}\]])')
_FENCE = re.compile(r"^[ \t]*```(?P<rest>.*)$", re.MULTILINE)
_REPLY_START = re.compile(r"[\s\ufeff]*(?:```\w*\s*)?")
_MAX_SPACE = 200


@dataclass(frozen=True)
class JsonValue:
    """A complete value and its position, ``text[start:end]``."""

    start: int
    end: int
    value: Any


@dataclass
class JsonValues:
    """The complete values of a text in order, and the fault of the last incomplete value.

    ``spans`` covers all JSON, complete or broken; marks of thinking inside it are data.
    """

    complete: list[JsonValue] = field(default_factory=list)
    broken: BrokenJson | None = None
    spans: list[tuple[int, int]] = field(default_factory=list)


def find_values(text: str) -> JsonValues:
    """Find the complete objects and arrays of a text that are not part of another value, complete or broken.

    A broken value that contains strings extends to the point where its brackets balance; if they never do, to the end
    of its code fence, to a mark of thinking (if it may be a draft, with other text before it), or to the end of the
    text. Values inside it are part of it, as are values followed by an unmatched closing brace. Brackets without
    strings are prose, a formula or a program, and may contain values.
    """
    return _Scan(text).run()


class _Scan:
    """State of one pass over a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.result = JsonValues()
        self.n_open = {"{": 0, "[": 0}  # open brackets of prose
        self.is_cut = False  # whether the position is after the start of a value that is never closed
        self.span_end = 0  # end of the last JSON span
        self.value_end: int | None = None  # end of the last complete value, including brackets closed after it
        self.n_wasted = 0  # characters read without result
        self.marks = list(MARK.finditer(text))
        self.mark_starts = [mark.start() for mark in self.marks]
        self.fences = _fences(text)

    def run(self) -> JsonValues:
        position = 0
        while bracket := _BRACKET.search(self.text, position):
            position = bracket.end()
            if bracket[0] in _PARTNERS:
                self._close(bracket[0], bracket.start())
            elif self._is_inside(bracket.start()):
                self.n_open[bracket[0]] += 1
            else:
                position = self._read(bracket.start())
            if self.n_wasted > _MAX_PASSES * len(self.text) + _FREE_CHARACTERS:
                break
        return self.result

    def _close(self, bracket: str, position: int) -> None:
        """Close a bracket of prose; an unmatched brace ends an enclosing value, except directly after a value."""
        if self.n_open[_PARTNERS[bracket]]:
            self.n_open[_PARTNERS[bracket]] -= 1
        elif self.value_end is not None and not self.text[self.value_end : position].strip():
            self.value_end = position + 1
        elif bracket == "}":
            self.is_cut, self.value_end = True, None
            self.result.complete.clear()
            self._record_fault(BrokenJson("Extra data", position, has_string=True))

    def _read(self, start: int) -> int:
        """Parse the value at a bracket; returns the position to continue from."""
        try:
            value, end = read_value(self.text, start)
        except BrokenJson as error:
            self._record_fault(error)
            return self._skip_broken(start, error)
        self.result.complete.append(JsonValue(start, end, value))
        self._record_span(start, end)
        self.value_end = end
        return end

    def _record_fault(self, error: BrokenJson) -> None:
        """Record the last fault; a fault in prose does not replace one in JSON."""
        if error.has_string or not (self.result.broken and self.result.broken.has_string):
            self.result.broken = error

    def _skip_broken(self, start: int, error: BrokenJson) -> int:
        self.n_wasted += error.position - start + _MIN_COST
        if not error.has_string:
            self.n_open[self.text[start]] += 1
            return start + 1
        is_reply = self._begins_reply(start)
        region_end = self._region_end(start, is_reply)
        end = self._balanced_end(start, region_end)
        if not end or _CONTINUED.match(self.text, end):
            self.is_cut, end = True, region_end
        if is_reply:
            self._record_span(start, end)
        return end

    def _balanced_end(self, start: int, region_end: int) -> int | None:
        depth = 0
        for token in _STRING_OR_BRACKET.finditer(self.text, start, region_end):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                return token.end()
        return None

    def _record_span(self, start: int, end: int) -> None:
        self.result.spans.append((start, end))
        self.span_end = end

    def _begins_reply(self, start: int) -> bool:
        """Whether only a closing mark of thinking and a code fence precede a position."""
        n_marks = bisect_right(self.mark_starts, start)
        mark = self.marks[n_marks - 1] if n_marks else None
        if mark and (mark.end() <= self.span_end or not mark["end"]):
            return False
        before = mark.end() if mark else 0
        return start - before <= _MAX_SPACE and _REPLY_START.fullmatch(self.text, before, start) is not None

    def _region_end(self, start: int, is_reply: bool) -> int:
        """The next mark of thinking or end of the code fence, whichever comes first, else the end of the text."""
        next_mark = bisect_right(self.mark_starts, start)
        ends = [self.mark_starts[next_mark]] if next_mark < len(self.marks) and not is_reply else []
        fence = bisect_right(self.fences, (start, len(self.text))) - 1
        if fence >= 0 and start < self.fences[fence][1]:
            ends.append(self.fences[fence][1])
        return min(ends, default=len(self.text))

    def _is_inside(self, start: int) -> bool:
        """Whether the text before a bracket makes it an item of an enclosing value."""
        before = self.text[max(start - _MAX_SPACE, 0) : start].rstrip()
        if before.endswith((",", "[")) and (self.is_cut or any(self.n_open.values())):
            return True
        return before.endswith((":", ",")) and before[:-1].rstrip().endswith(('"', "'", "”"))


def _fences(text: str) -> list[tuple[int, int]]:
    """Spans of closed code fences, in order."""
    fences, start = [], None
    for fence in _FENCE.finditer(text):
        if start is None:
            start = fence.end() if not fence["rest"].endswith("```") else None
        elif not fence["rest"].strip():
            fences.append((start, fence.start()))
            start = None
    return fences

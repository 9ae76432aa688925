"""Parse JSON written by models, leniently where it is unambiguous."""

import re
from typing import Any

from advcluster_dagster.science.json_strings import decode_string

_MAX_LEVELS = 32
# Below Python's default limit on integer string conversion.
_MAX_DIGITS = 4000
# White space, byte order mark, zero-width space, and comments, which are allowed only between tokens.
_SPACE = re.compile(r"(?:[\s\ufeff\u200b]++|//[^\n]*+|/\*.{0,1000}?\*/)*+", re.DOTALL)
_STRINGS = {
    '"': re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\\n]++|\\.)*+)'", re.DOTALL),
    "“": re.compile(r"“((?:[^”\\]++|\\.)*+)”", re.DOTALL),
}
_BARE_KEY = re.compile(r"([A-Za-z_]\w*)(?=[^\S\n]*:)")
_WORD = re.compile(r"(?:true|false|null|True|False|None|NaN|-?Infinity)\b")
_WORDS = {
    **{"true": True, "false": False, "null": None, "True": True, "False": False, "None": None},
    **{"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")},
}
_SHARE = re.compile(r"\d{1,9}(?:\.\d{1,9})?[^\S\n]*/[^\S\n]*\d{1,9}(?![\d.])")
_NUMBER = re.compile(r"(-?(?:0|[1-9]\d*+))(\.\d++)?([eE][+-]?\d++)?")


class BrokenJson(ValueError):  # noqa: N818 - a fault of the text, not a program error
    """There is no complete value at a position.

    Attributes:
        problem: Error message, as worded by the ``json`` module where it has one.
        position: Offset in the text.
        has_string: Whether a string was begun, which is common in JSON and rare in brackets of prose and formulas.
    """

    def __init__(self, problem: str, position: int, has_string: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.position, self.has_string = problem, position, has_string


def read_value(text: str, position: int) -> tuple[Any, int]:
    r"""Parse the value at a position of a text; returns the value and its end.

    Accepted besides strict JSON: line breaks and tabs inside strings, a trailing comma, comments, unquoted keys,
    Python's ``True``, ``None`` and single quotes, typographic quotes, LaTeX with unescaped backslashes. A value that is
    not closed is never accepted.

    Raises:
        BrokenJson: no complete value, a repeated key with different values, or more than 32 levels of nesting.
    """
    reader = _Reader(text)
    try:
        return reader.value(position, _MAX_LEVELS)
    except BrokenJson as error:
        raise BrokenJson(error.problem, error.position, reader.has_string) from None


class _Reader:
    """Recursive-descent parser of one text; methods return a value and its end, or a position."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.has_string = False

    def value(self, position: int, n_levels: int) -> tuple[Any, int]:
        start = self._skip(position)
        first = self.text[start : start + 1]
        if first in ("{", "["):
            if n_levels == 0:
                raise BrokenJson("nested too deeply", start)
            items = self._object if first == "{" else self._array
            return items(start + 1, n_levels - 1)
        if first in _STRINGS:
            return self._string(start)
        return self._plain(start)

    def _object(self, position: int, n_levels: int) -> tuple[dict[str, Any], int]:
        collected: dict[str, Any] = {}
        position = self._skip(position)
        while self.text[position : position + 1] != "}":
            start = position
            key, position = self._key(start)
            position = self._expect(":", position)
            value, position = self.value(position, n_levels)
            if key in collected and not _is_same(collected[key], value):
                raise BrokenJson(f"the key {key[:40]!r} stands twice with different values", start)
            collected[key] = value
            position = self._next_item(position, "}")
        return collected, position + 1

    def _array(self, position: int, n_levels: int) -> tuple[list[Any], int]:
        collected = []
        position = self._skip(position)
        while self.text[position : position + 1] != "]":
            value, position = self.value(position, n_levels)
            collected.append(value)
            position = self._next_item(position, "]")
        return collected, position + 1

    def _next_item(self, position: int, closing: str) -> int:
        """Position after the comma, or of the closing bracket."""
        position = self._skip(position)
        if self.text[position : position + 1] == closing:
            return position
        return self._skip(self._expect(",", position))

    def _key(self, position: int) -> tuple[str, int]:
        if self.text[position : position + 1] in _STRINGS:
            return self._string(position)
        bare = _BARE_KEY.match(self.text, position)
        if not bare:
            raise BrokenJson("Expecting property name enclosed in double quotes", position)
        return bare[1], bare.end()

    def _string(self, position: int) -> tuple[str, int]:
        self.has_string = True
        match = _STRINGS[self.text[position]].match(self.text, position)
        if not match:
            raise BrokenJson("Unterminated string starting at", position)
        return decode_string(match[1]), match.end()

    def _plain(self, position: int) -> tuple[Any, int]:
        if word := _WORD.match(self.text, position):
            return _WORDS[word[0]], word.end()
        if share := _SHARE.match(self.text, position):
            return share[0], share.end()
        number = _NUMBER.match(self.text, position)
        if not number:
            raise BrokenJson("Expecting value", position)
        whole, fraction, exponent = number.groups()
        if len(whole) > _MAX_DIGITS:
            raise BrokenJson("a number of too many digits", position)
        return float(number[0]) if fraction or exponent else int(whole), number.end()

    def _expect(self, mark: str, position: int) -> int:
        position = self._skip(position)
        if self.text[position : position + 1] != mark:
            raise BrokenJson(f"Expecting {mark!r} delimiter", position)
        return position + 1

    def _skip(self, position: int) -> int:
        space = _SPACE.match(self.text, position)
        return space.end() if space else position


def _is_same(a: Any, b: Any) -> bool:
    """Whether values are equal in value and type; ``1`` differs from ``true``."""
    return type(a) is type(b) and bool(a == b)

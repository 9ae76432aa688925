"""Parse numbers and arithmetic expressions in a solution's text, with value, operands and parts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIGITS = r"(?:\d+(?:\.\d+)?|\.\d+)"
# A percent sign before another operand is an operator of programs.
_NUMBER = rf"{_DIGITS}(?:%(?!\s*[\w(]))?"
_SUM_AT_END = re.compile(rf"[(\s-]*{_NUMBER}[)\s]*(?:(?:\*\*|[-+*/^])[(\s-]*{_NUMBER}[)\s]*)+$")
_SUM_AT_START = re.compile(rf"[(\s-]*{_NUMBER}[)\s]*(?:(?:\*\*|[-+*/^])[(\s-]*{_NUMBER}[)\s]*)*")
_TOKEN = re.compile(rf"{_NUMBER}|\*\*|[-+*/^()]")
_NUMBER_IN_TEXT = re.compile(rf"(?<![\w.]){_DIGITS}")
_PERCENTAGE = re.compile(rf"({_DIGITS})(?: ?%| ?per ?cent)")
_FRACTION = re.compile(rf"({_DIGITS}) ?/ ?({_DIGITS})")
_LETTERS = re.compile(r"[a-z]{3,}")
_LAST_OF_SUM = frozenset("0123456789)% ")
_LONGEST_SUM = 160
_LARGEST = 1e15

WORDS: dict[str, float] = {
    **{"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16},
    **{"seventeen": 17, "eighteen": 18, "nineteen": 19},
    **{"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90},
    **{"hundred": 100, "thousand": 1000, "million": 1e6, "dozen": 12, "score": 20, "couple": 2, "pair": 2},
    **{"half": 0.5, "halves": 0.5, "third": 1 / 3, "quarter": 0.25, "fourth": 0.25, "fifth": 0.2, "tenth": 0.1},
    **{"once": 1, "twice": 2, "thrice": 3, "double": 2, "doubled": 2, "triple": 3, "tripled": 3, "quadruple": 4},
}


@dataclass(frozen=True)
class Sum:
    """An arithmetic expression: text, operands and operators in reading order, value, values of all parts."""

    text: str
    operands: tuple[float, ...]
    operators: str
    value: float
    parts: tuple[float, ...]


def sum_at_end(text: str) -> Sum | None:
    """Parse the expression of at least two numbers at the end of a text; None if there is none."""
    if text[-1:] not in _LAST_OF_SUM:
        return None
    match = _SUM_AT_END.search(text[-_LONGEST_SUM:])
    return read_sum(match[0]) if match else None


def sum_at_start(text: str) -> Sum | None:
    """Parse the expression or single number at the start of a text; None if there is none."""
    match = _SUM_AT_START.match(text.lstrip("~≈ ")[:_LONGEST_SUM])
    return read_sum(match[0]) if match else None


def read_sum(text: str) -> Sum | None:
    """Parse an expression with the usual precedence; None if it is incomplete, divides by zero or exceeds 10^15."""
    tokens = _balanced(_TOKEN.findall(text))
    reader = _Reader(tokens)
    try:
        value = reader.read()
    except (_UnreadableError, ZeroDivisionError, OverflowError):
        return None
    operands = tuple(_value_of(token) for token in tokens if token[0].isdigit() or token[0] == ".")
    operators = "".join("^" if token == "**" else token for token in tokens if token in ("**", *"+-*/^"))
    return Sum(" ".join(text.split()), operands, operators, value, tuple(reader.parts))


def numbers_in(text: str) -> list[float]:
    """All numbers written in digits, in order."""
    return [float(match[0]) for match in _NUMBER_IN_TEXT.finditer(text)]


def numbers_with_words(text: str) -> list[float]:
    """Numbers written in digits, then percentages as shares, fractions (``3/4``) and numbers written as words."""
    shares = [float(match[1]) / 100 for match in _PERCENTAGE.finditer(text)]
    fractions = [float(a) / float(b) for a, b in _FRACTION.findall(text) if float(b)]
    words = [value for word in _LETTERS.findall(text.lower()) if (value := WORDS.get(word)) is not None]
    return [*numbers_in(text), *shares, *fractions, *words]


def is_close(first: float, second: float) -> bool:
    """Whether two numbers agree up to rounding in the fourth digit."""
    return abs(first - second) <= 6e-4 * max(abs(first), abs(second), 1e-9)


def is_among(value: float, values: tuple[float, ...] | list[float]) -> bool:
    """Whether a number agrees with one of the values."""
    size = max(abs(value), 1e-9)
    return any(abs(value - other) <= 6e-4 * max(size, abs(other)) for other in values)


class _UnreadableError(ValueError):
    pass


def _value_of(token: str) -> float:
    return float(token[:-1]) / 100 if token.endswith("%") else float(token)


def _balanced(tokens: list[str]) -> list[str]:
    """Remove unmatched parentheses at both ends; others make the expression unreadable."""
    while tokens and tokens.count("(") > tokens.count(")") and tokens[0] == "(":
        tokens = tokens[1:]
    while tokens and tokens.count(")") > tokens.count("(") and tokens[-1] == ")":
        tokens = tokens[:-1]
    return tokens


class _Reader:
    """Recursive-descent parser of one expression; ``parts`` collects the value of every operation."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self.parts: list[float] = []

    def read(self) -> float:
        value = self._added()
        if self._at != len(self._tokens):
            raise _UnreadableError
        return value

    def _added(self) -> float:
        value = self._multiplied()
        for operator in self._while("+-"):
            other = self._multiplied()
            value = self._keep(value + other if operator == "+" else value - other)
        return value

    def _multiplied(self) -> float:
        value = self._raised()
        for operator in self._while("*/"):
            other = self._raised()
            value = self._keep(value * other if operator == "*" else value / other)
        return value

    def _raised(self) -> float:
        base = self._single()
        if next(self._while("^"), None) is None:
            return base
        power = self._single()
        if abs(power) > 12 or abs(base) > 1e6:
            raise _UnreadableError
        value = base**power
        if isinstance(value, complex):
            raise _UnreadableError
        return self._keep(value)

    def _single(self) -> float:
        token = self._next()
        if token == "-":
            return -self._single()
        if token == "(":
            value = self._added()
            if self._next() != ")":
                raise _UnreadableError
            return value
        if not (token[0].isdigit() or token[0] == "."):
            raise _UnreadableError
        return _value_of(token)

    def _while(self, operators: str) -> Iterator[str]:
        while self._at < len(self._tokens):
            token = "^" if self._tokens[self._at] == "**" else self._tokens[self._at]
            if token not in operators:
                return
            self._at += 1
            yield token

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise _UnreadableError
        self._at += 1
        return self._tokens[self._at - 1]

    def _keep(self, value: float) -> float:
        if abs(value) > _LARGEST:
            raise _UnreadableError
        self.parts.append(value)
        return value

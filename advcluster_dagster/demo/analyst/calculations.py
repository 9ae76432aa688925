"""Find calculations in a solution's statements: expressions with a claimed value, named values, assignments."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from advcluster_dagster.demo.analyst.arithmetic import Sum, is_close, read_sum, sum_at_end, sum_at_start

_PERCENT = re.compile(r"%|\bper ?cent|\bcents?\b")
_COMPARISON = re.compile(r"[<>=!]=|->|=>")
_COMPARISONS = ("==", "<=", ">=", "!=", "->", "=>")
_NAMED = re.compile(
    r"(?<![\w.])(?<![-+*/^(] )(?<![-+*/^(])([A-Za-z]\w*) ?= ?(-?\d+(?:\.\d+)?)(?![\d.]*\s*(?:[-+*/^\d]|\(\d))"
)
_NAME = re.compile(r"[A-Za-z]\w*")
_FORMULA = re.compile(r"[\w.]+(?: ?[-+*/^] ?[\w.]+)+")
_ASSIGNMENT = re.compile(r"([A-Za-z]\w*) ?= ?([\w.()+*/ -]+?)\s*(?:#.*)?")
# Words of a unit between a number and what follows it; a single letter may be an unknown.
_UNIT = re.compile(
    r"(?<=[\d)])(?:/ ?[A-Za-z]{3,} ?| ?(?:(?!and\b|or\b|so\b|is\b)[A-Za-z]{2,}(?:/ ?[A-Za-z]+)?,? ?){1,3})"
    r"(?=[-+*=)]|/ ?[\d(]|[.,;]?$)"
)
_NUMBER_ALONE = re.compile(
    r"(?:^|[:,] |\b(?:so|then|thus|hence|therefore|and|get|have|see|is|gives|that) )(-?\d+(?:\.\d+)?)$", re.IGNORECASE
)
_PRODUCT_START = re.compile(r"[\d)]\(|\)\d")
_UNIT_START = re.compile(r"[\d)] ?/? ?[A-Za-z]{2}")
_LONGEST_END = 200
_OPERATOR_BEFORE = re.compile(r"[\w)] ?[-+*/^] ?$")
_OPERATOR_BEHIND = re.compile(r" ?[-+*^] ?[\w(]| ?/ ?(?:[\d(]|[A-Za-z]\b)|[A-Za-z](?![A-Za-z])| ?[\u221a\\(]")
_FACTOR_BEFORE = re.compile(r"[\w)\]}\u221a]$")
# Products without a sign: "2(3 + 4)", "(1/2)(6)".
_PRODUCT = re.compile(r"((?<![A-Za-z_\d.])\d+(?:\.\d+)?(?=\()|\)(?=[\d(]))")


@dataclass(frozen=True)
class Calculation:
    """An expression, the value claimed for it, and its statement with index ``at`` from 0.

    ``first`` is the first number of the claimed side: 15 in ``5 * 3 = 15 + 2 = 17``, which joins two calculations.
    """

    sum: Sum
    claimed: float
    first: float
    n_places: int
    statement: str
    at: int

    @property
    def is_sound(self) -> bool:
        """Whether the claimed value is the expression's value, up to rounding or truncation at its written places."""
        value = self.sum.value
        if is_close(value, self.claimed) or is_close(value, self.first):
            return True
        if _PERCENT.search(self.statement) and any(is_close(value, self.claimed * by) for by in (100, 0.01)):
            return True
        off, place = abs(value) - abs(self.claimed), 10.0**-self.n_places
        is_whole = abs(value - round(value)) < 1e-9
        return not is_whole and value * self.claimed >= 0 and -0.51 * place <= off < place


def calculations_in(statements: Sequence[str], most: int) -> list[Calculation]:
    """Up to ``most`` calculations of all statements, in order; they may use names assigned earlier."""
    return list(_walk(statements, {}, most))


def assigned_values(statements: Sequence[str]) -> dict[str, float]:
    """The last value of each name, assigned as a number or by the statements of a program."""
    values: dict[str, float] = {}
    for _ in _walk(statements, values, len(statements)):
        pass
    return values


def _walk(statements: Sequence[str], values: dict[str, float], most: int) -> Iterator[Calculation]:
    """Yield the calculations in order, filling ``values`` with named values."""
    n_found = 0
    for at, statement in enumerate(statements):
        if "=" not in statement:
            continue
        here = list(_calculations(statement, at, values))
        if not here and (assigned := _assigned(statement, at, values)):
            here = [assigned]
        for name, value in named_numbers(statement):
            values[name] = value
        yield from here[: most - n_found]
        n_found += len(here)
        if n_found >= most:
            return


@lru_cache(maxsize=1024)
def named_numbers(statement: str) -> tuple[tuple[str, float], ...]:
    """Names and the numbers assigned to them with ``=``."""
    if "=" not in statement:
        return ()
    return tuple((match[1], float(match[2])) for match in _NAMED.finditer(statement))


def last_with_value(calculations: Sequence[Calculation], before: int, value: float) -> int | None:
    """Index of the last calculation before ``before`` whose value is, or rounds to, the given one, ignoring sign."""
    for index in range(before - 1, -1, -1):
        off = abs(abs(calculations[index].claimed) - abs(value))
        if is_close(abs(calculations[index].claimed), abs(value)) or (off < 1 and value.is_integer() and off % 1):
            return index
    return None


def _assigned(statement: str, at: int, values: dict[str, float]) -> Calculation | None:
    """Parse an assignment whose names all have values; its computed value is also the claimed one."""
    match = _ASSIGNMENT.fullmatch(statement)
    if not match or not all(name in values for name in _NAME.findall(match[2])):
        return None
    total = read_sum(_NAME.sub(lambda name: f"{values[name[0]]:.12g}", match[2]))
    if total is None:
        return None
    values[match[1]] = total.value
    if not total.operators:
        return None
    return Calculation(total, total.value, total.value, 6, statement, at)


def _calculations(statement: str, at: int, values: Mapping[str, float]) -> Iterator[Calculation]:
    """Yield expressions followed by ``=`` with the value on the other side."""
    plain = _COMPARISON.sub("?", statement) if any(map(statement.__contains__, _COMPARISONS)) else statement
    for clause in plain.split(";"):
        if "=" not in clause:
            continue
        sides = [_without_units(side) for side in clause.split("=")]
        for left, right in pairwise(sides):
            total = sum_at_end(_with_values(left, values))
            claimed = sum_at_start(right) if total else None
            if total is None and (number := _NUMBER_ALONE.search(left)):
                # The value comes first, as in "15 = 5 * 3".
                reversed_total = sum_at_start(right)
                if reversed_total and reversed_total.operators and not _has_right_context(right, reversed_total):
                    yield _calculation(reversed_total, read_sum(number[1]) or reversed_total, statement, at)
            elif total and claimed and not _has_left_context(left, total) and not _has_right_context(right, claimed):
                yield _calculation(total, claimed, statement, at)


def _calculation(total: Sum, claimed: Sum, statement: str, at: int) -> Calculation:
    places = re.match(r"\s*-?\d*\.(\d+)", claimed.text)
    first = claimed.operands[0] if claimed.operands else claimed.value
    return Calculation(total, claimed.value, first, len(places[1]) if places else 0, statement, at)


def _without_units(side: str) -> str:
    """Both ends of a side, as far as an expression may reach, without units after numbers."""
    plain = side.strip()
    if len(plain) > 2 * _LONGEST_END:
        plain = f"{plain[:_LONGEST_END]} ? {plain[-_LONGEST_END:]}"
    if _PRODUCT_START.search(plain):
        plain = _PRODUCT.sub(r"\1*", plain)
    return _UNIT.sub(" ", f"{plain} ").strip() if _UNIT_START.search(plain) else plain


def _has_left_context(left: str, total: Sum) -> bool:
    """Whether an expression is the end of an unknown one, as in ``x + 2 + 3`` or ``f(2) + 3``."""
    before = left.strip()
    before = before[: -len(total.text)] if before.endswith(total.text) else ""
    return bool(_OPERATOR_BEFORE.search(before) or (total.text[0] == "(" and _FACTOR_BEFORE.search(before)))


def _has_right_context(right: str, total: Sum) -> bool:
    """Whether an expression is the start of an unknown one, as in ``5 + x``."""
    rest = right.lstrip("~≈ ")
    return bool(rest.startswith(total.text) and _OPERATOR_BEHIND.match(rest[len(total.text) :]))


def _with_values(segment: str, values: Mapping[str, float]) -> str:
    """Substitute values in a segment that is a formula of named values only; return others unchanged."""
    if not _FORMULA.fullmatch(segment) or not all(name in values for name in _NAME.findall(segment)):
        return segment
    return _NAME.sub(lambda match: f"{values[match[0]]:g}", segment)

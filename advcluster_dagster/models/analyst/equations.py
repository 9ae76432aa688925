"""Equations with unknowns, tried with the values that the right solution gives them.

Here: the statements of a solution that do not hold for these values. Not here: sums of numbers alone
(``calculations.py``), which difference comes first (``divergence.py``).
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from advcluster_dagster.models.analyst.arithmetic import is_close, read_sum
from advcluster_dagster.models.analyst.calculations import named_numbers
from advcluster_dagster.models.analyst.reading import Trace

_LETTER = r"([A-Za-z])(?![\w'])"
#: A letter that is asked for, or stands beside an operator, and is no unit.
_UNKNOWN = re.compile(
    rf"\b(?:variable|value of|solve for|find|let|determine) {_LETTER}"
    rf"|(?<=[-+*/=^] ){_LETTER}|(?<![\w/] )\b{_LETTER}(?= ?[-+*=^])"
)
_ASKED = re.compile(rf"\bvalue of (?:the )?(?:unknown )?(?:variable )?{_LETTER}")
_COMPARISON = re.compile(r"[<>=!]=|->|=>")
_IMPLIED = (
    (re.compile(r"(?<=[\d)])\s*(?=[A-Za-z(])"), " * "),
    (re.compile(r"(?<=[A-Za-z])\s*(?=\d|\()"), " * "),
)
_NOTHING_BUT = r"(?:[\s()+*/^.\d-]|{names})"


def unknowns_of(problem: str, right: Trace) -> dict[str, float]:
    """Values of the single letters that the problem itself asks for or relates, where the right solution gives each
    one value.
    """
    named = {match[1] or match[2] or match[3] for match in _UNKNOWN.finditer(problem)}
    found: dict[str, set[float]] = {}
    for statement in right.statements:
        for name, value in named_numbers(statement):
            found.setdefault(name, set()).add(value)
    values = {name: found[name].pop() for name in named if len(found.get(name, ())) == 1}
    asked = _ASKED.search(problem)
    if asked and asked[1] not in values and right.final_number is not None:
        values[asked[1]] = right.final_number
    return values


def false_equations(statement: str, values: Mapping[str, float]) -> Iterator[bool]:
    """For every equation of the statement that does not hold for these values: whether it is *unknown = number*."""
    if not values:
        return
    for clause in re.split(r"[;,]\s", _COMPARISON.sub("?", statement)):
        for left, right in pairwise(clause.split("=")):
            names = "|".join(map(re.escape, values))
            sides = _at_end(left, names), _at_start(right, names)
            if not all(sides) or not re.search(names, " ".join(sides)):
                continue
            numbers = [_value(side, values) for side in sides]
            if None not in numbers and not _is_equal(numbers[0] or 0.0, numbers[1] or 0.0):
                yield sides[0].strip() in values and not re.search(names, sides[1])


def _at_end(text: str, names: str) -> str:
    """The expression that a text ends with; empty when something else runs into it."""
    found = re.search(rf"(?:^|(?<=[\s:,]))(?:{_NOTHING_BUT.format(names=f'(?:{names})(?![A-Za-z])')})+$", text.rstrip())
    return found[0].strip() if found else ""


def _at_start(text: str, names: str) -> str:
    """The expression that a text starts with."""
    found = re.match(rf"(?:{_NOTHING_BUT.format(names=f'(?:{names})(?![A-Za-z])')})+", text.lstrip())
    plain = found[0].strip() if found else ""
    behind = text.lstrip()[len(found[0]) :] if found else ""
    if re.match(r"[A-Za-z]", behind) and not plain.endswith((" ", ")")) and found and not found[0].endswith(" "):
        return ""
    return re.sub(r"[\s+*/^(.-]+$", "", plain)


def _value(side: str, values: Mapping[str, float]) -> float | None:
    for pattern, spelling in _IMPLIED:
        side = pattern.sub(spelling, side)
    found = read_sum(re.sub(r"[A-Za-z]", lambda name: f"({values[name[0]]:.12g})", side))
    return found.value if found else None


def _is_equal(one: float, other: float) -> bool:
    return is_close(one, other) or abs(one - other) <= 0.011 * max(abs(one), abs(other))

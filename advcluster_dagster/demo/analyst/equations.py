"""Find equations with unknowns that are false for the values in the right solution."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from advcluster_dagster.demo.analyst.arithmetic import is_close, read_sum
from advcluster_dagster.demo.analyst.calculations import named_numbers
from advcluster_dagster.demo.analyst.reading import Trace

_LETTER = r"([A-Za-z])(?![\w'])"
#: A letter whose value the problem asks for, after the asking phrase.
_ASKED = re.compile(rf"\b(?:value of|solve for|find|determine) (?:the )?(?:unknown )?(?:variable )?{_LETTER}")
#: Statements about a case or an assumption need not hold in general.
_SUPPOSED = re.compile(r"\b(?:case|if|suppose|assume|try|test|when|or|let)\b", re.IGNORECASE)
_LONGEST_SIDE = 160
_COMPARISON = re.compile(r"[<>=!]=|->|=>")
_IMPLIED = (
    (re.compile(r"(?<=[\d)])\s*(?=[A-Za-z(])"), " * "),
    (re.compile(r"(?<=[A-Za-z])\s*(?=\d|\()"), " * "),
)
_NOTHING_BUT = r"(?:[\s()+*/^.\d-]|{names})"


def unknowns_of(problem: str, right: Trace) -> dict[str, float]:
    """Values of the letters that the problem asks for, if the right solution gives a single value for each."""
    stated = [pair for statement in right.statements for pair in named_numbers(statement)]
    values: dict[str, float] = {}
    for name in {match[1] for match in _ASKED.finditer(problem)}:
        known = {value for other, value in stated if other == name}
        if not known and right.final_number is not None:
            known.add(right.final_number)
        if len(known) == 1:
            values[name] = known.pop()
    return values


def false_equations(statement: str, values: Mapping[str, float]) -> Iterator[bool]:
    """Yield for each equation that is false for these values whether it has the form *unknown = number*."""
    if not values or _SUPPOSED.search(statement):
        return
    for clause in re.split(r"[;,]\s", _COMPARISON.sub("?", statement)):
        for left, right in pairwise(clause.split("=")):
            names = "|".join(map(re.escape, values))
            sides = _at_end(left[-_LONGEST_SIDE:], names), _at_start(right[:_LONGEST_SIDE], names)
            if not all(sides) or not re.search(names, " ".join(sides)):
                continue
            numbers = [_value(side, values) for side in sides]
            if None not in numbers and not _is_equal(numbers[0] or 0.0, numbers[1] or 0.0):
                yield sides[0].strip() in values and not re.search(names, sides[1])


def _at_end(text: str, names: str) -> str:
    """The expression at the end of a text; empty if it continues to the left."""
    matched = re.search(
        rf"(?:^|(?<=[\s:,]))(?:{_NOTHING_BUT.format(names=f'(?:{names})(?![A-Za-z])')})+$", text.rstrip()
    )
    return matched[0].strip() if matched else ""


def _at_start(text: str, names: str) -> str:
    """The expression at the start of a text; empty if it continues to the right."""
    matched = re.match(rf"(?:{_NOTHING_BUT.format(names=f'(?:{names})(?![A-Za-z])')})+", text.lstrip())
    plain = matched[0].strip() if matched else ""
    rest = text.lstrip()[len(matched[0]) :] if matched else ""
    if re.match(r"[A-Za-z]", rest) and not plain.endswith((" ", ")")) and matched and not matched[0].endswith(" "):
        return ""
    return re.sub(r"[\s+*/^(.-]+$", "", plain)


def _value(side: str, values: Mapping[str, float]) -> float | None:
    for pattern, spelling in _IMPLIED:
        side = pattern.sub(spelling, side)
    matched = read_sum(re.sub(r"[A-Za-z]", lambda name: f"({values[name[0]]:.12g})", side))
    return matched.value if matched else None


def _is_equal(first: float, second: float) -> bool:
    return is_close(first, second) or abs(first - second) <= 0.011 * max(abs(first), abs(second))

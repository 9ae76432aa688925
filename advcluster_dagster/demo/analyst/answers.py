"""Compare the stated answers of two solutions whose work agrees: stopped early, continued too far, or misstated."""

import math
import re
from collections import Counter

from advcluster_dagster.demo.analyst.arithmetic import is_among, is_close
from advcluster_dagster.demo.analyst.calculations import last_with_value
from advcluster_dagster.demo.analyst.findings import Difference, Finding
from advcluster_dagster.demo.analyst.reading import Trace

#: Seconds, minutes, hours, days, weeks, months, years; dozens, feet, yards, inches, miles, pounds, km/h, radians.
_FACTORS = [60.0, 3600.0, 24.0, 1440.0, 7.0, 365.0, 12.0, 3.0, 36.0, 2.54, 0.3048, 1.609, 3.6, 4.184, 0.4536, 57.2958]
_KELVIN = 273.15
_ROUNDING = re.compile(r"\b(?:round|approximat|about|nearest|convenient)", re.IGNORECASE)
_UNITS = re.compile(
    r"(?<![\w'\"])[a-z]+(?![\w'\"])|[\s$€£]|\.(?!\d)|\\(?:text|mathrm|,|!)|(?<=\d),(?=\d{3})", re.IGNORECASE
)


def differing_answer(right: Trace, wrong: Trace) -> Finding | None:
    """Find where the wrong solution, whose work agrees with the right one, turns to another answer."""
    if right.final is None or wrong.final is None or _is_same(right.final, wrong.final):
        return None
    stated = wrong.result
    source = None if stated is None else last_with_value(wrong.calculations, len(wrong.calculations), stated)
    if source is not None and stated is not None and right.result is not None and not is_close(right.result, stated):
        return _from_calculation(right, wrong, source)
    if right.result is None and right.calculations and source is not None and stated is not None:
        # The question asks for a name or letter, and the work is complete or the value of the right option is stated.
        last = right.calculations[-1].claimed
        is_named = right.final.isalpha() and len(right.final) > 1 and is_among(last, wrong.reached_values)
        is_chosen = is_named or is_close(last, stated)
        return _at_end(right, wrong, Difference.MISSTATED) if is_chosen else _from_calculation(right, wrong, source)
    if _reaches_result(right, wrong) and is_other_form(right, wrong):
        return _at_end(right, wrong, Difference.MISSTATED)
    if _stops_early(right, wrong):
        return _at_end(right, wrong, Difference.OTHER_GOAL)
    return None


def _from_calculation(right: Trace, wrong: Trace, source: int) -> Finding | None:
    """Classify an answer that is a calculation's value: after the right result, or in the right solution."""
    calculation = wrong.calculations[source]
    before = [earlier.claimed for earlier in wrong.calculations[:source]]
    if right.result is not None and is_among(right.result, before):
        return Finding(Difference.OTHER_GOAL, right.final or "", calculation.statement, calculation.at)
    same = [item for item in right.calculations if is_among(calculation.claimed, [item.claimed, *item.sum.parts])]
    if not same:
        return None
    if any(not Counter(calculation.sum.operands) - Counter(item.sum.operands) for item in same):
        return _at_end(right, wrong, Difference.OTHER_GOAL)
    return Finding(Difference.OTHER_RELATION, same[0].statement, calculation.statement, calculation.at)


def _stops_early(right: Trace, wrong: Trace) -> bool:
    """Whether the work ends before the last result of the right one, with an intermediate value or an early choice."""
    right_values, wrong_values = ([earlier.claimed for earlier in trace.calculations] for trace in (right, wrong))
    if right_values and wrong_values and not is_among(right_values[-1], wrong_values):
        if wrong.result is not None:
            return is_among(wrong.result, right.reached_values)
        return all(is_among(value, right.reached_values) for value in wrong_values)
    return wrong.final in [step.outcome for step in right.steps[:-1]] and len(wrong.steps) < len(right.steps)


def _reaches_result(right: Trace, wrong: Trace) -> bool:
    """Whether the wrong solution reaches the right result last, although it states another answer or form."""
    if wrong.steps and wrong.steps[-1].outcome == right.final:
        return True
    goal = right.result
    if goal is not None and wrong.calculations:
        return is_among(goal, wrong.reached_values[-4:])
    has_calculations = bool(right.calculations and wrong.calculations)
    return has_calculations and is_close(right.calculations[-1].claimed, wrong.calculations[-1].claimed)


def _at_end(right: Trace, wrong: Trace, kind: Difference) -> Finding:
    """Locate the finding at the first statement after the last calculation that contains the answer, else the last."""
    last = max((item.at for item in wrong.calculations), default=-1)
    stated = re.compile(rf"(?<![\w.]){re.escape(wrong.final or '')}(?![\w.])")
    later = range(last + 1, len(wrong.statements))
    at = next((index for index in later if stated.search(wrong.statements[index])), None)
    return Finding(kind, right.final or "", wrong.final or "", len(wrong.statements) - 1 if at is None else at)


def is_other_form(right: Trace, wrong: Trace) -> bool:
    """Whether the stated answer may be another form of the right one.

    Such forms are quotes or brackets, another unit or sign, a rounded value and swapped digits.
    """
    goal, stated = right.result, wrong.result
    if goal is None or stated is None:
        return _bare(right.final or "") == _bare(wrong.final or "") != ""
    is_rounded = _ROUNDING.search(" ".join(wrong.statements[-4:])) and abs(goal - stated) < 0.5 * abs(goal)
    is_exchanged = sorted(f"{goal:g}") == sorted(f"{stated:g}")
    return bool(is_scaled(goal, stated) or is_exchanged or is_rounded or round(goal) == stated)


def is_scaled(goal: float, stated: float) -> bool:
    """Whether the numbers differ only by sign, a power of ten or a common unit conversion."""
    if is_close(abs(goal), abs(stated)):
        return True
    factor = max(abs(goal), abs(stated)) / max(min(abs(goal), abs(stated)), 1e-300)
    power = math.log10(factor)
    is_power = power > 0.5 and abs(power - round(power)) < 1e-3
    is_unit = any(abs(factor / unit - 1) < 5e-3 for unit in _FACTORS)
    return is_power or is_unit or is_close(abs(goal - stated), _KELVIN)


def _bare(answer: str) -> str:
    return re.sub(r"[\W_]", "", answer).lower()


def _is_same(first: str, second: str) -> bool:
    """Whether two answers are equal apart from units, spaces and case."""
    if first.lower().split() == second.lower().split():
        return True
    plain = [_UNITS.sub("", answer).lower() for answer in (first, second)]
    return plain[0] == plain[1] != ""

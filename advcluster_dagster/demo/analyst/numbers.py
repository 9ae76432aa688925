"""Find the first value or calculation of a wrong solution that the right one contradicts."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from advcluster_dagster.demo.analyst.answers import is_scaled
from advcluster_dagster.demo.analyst.arithmetic import is_among, is_close, numbers_with_words
from advcluster_dagster.demo.analyst.calculations import Calculation, last_with_value, named_numbers
from advcluster_dagster.demo.analyst.equations import false_equations, unknowns_of
from advcluster_dagster.demo.analyst.findings import Difference, Finding
from advcluster_dagster.demo.analyst.reading import Trace

_CONSTANTS = [0.0, 1.0, 2.0, 10.0, 12.0, 24.0, 60.0, 100.0, 365.0, 1000.0]
_CONVERSIONS = {
    "week": [7.0, 52.0],
    "month": [30.0, 4.0],
    "year": [52.0],
    "yard": [3.0],
    "hour": [3600.0],
    "quart": [4.0],
}


@dataclass(frozen=True)
class NumericComparison:
    """Comparison of the numbers in a right and a wrong solution."""

    problem: str
    right: Trace
    wrong: Trace

    def first(self) -> Finding | None:
        """The first statement of the wrong solution whose numbers contradict the right one."""
        return min(self._findings(), key=lambda finding: finding.wrong_at or 0, default=None)

    @cached_property
    def given(self) -> list[float]:
        """Numbers of the problem."""
        return numbers_with_words(self.problem)

    @cached_property
    def agreed(self) -> list[float]:
        """Numbers of the right solution, and the parts of its calculations that the wrong solution also reaches."""
        reached = [calculation.claimed for calculation in self.wrong.calculations]
        parts = [
            part
            for calculation in self.right.calculations
            if is_among(calculation.claimed, reached)
            for part in calculation.sum.parts
        ]
        return [*self.right.numbers, *parts]

    @cached_property
    def expected(self) -> list[float]:
        """Values that do not indicate an error: those of the problem and the right solution."""
        return [*self.agreed, *self.given]

    def _findings(self) -> Iterator[Finding]:
        """At most one finding per kind of cue."""
        cues = (self._miscopied_name(), self._false_equation(), self._wrong_calculation())
        return (finding for finding in cues if finding)

    def _miscopied_name(self) -> Finding | None:
        """Find a named value that looks like a miscopy of the value given in the problem."""
        for at, statement in enumerate(self.wrong.statements):
            for name, value in named_numbers(statement):
                source = self.right.named_values.get(name)
                if source is None or source == value or self.wrong.named_values[name] != value:
                    continue
                is_given = is_among(source, self.given) and not is_among(value, self.given)
                if is_given and max(source, value) >= 10 and _looks_like(source, value):
                    return Finding(Difference.MISCOPIED, f"{name} = {source:g}", f"{name} = {value:g}", at)
        return None

    def _false_equation(self) -> Finding | None:
        unknowns = unknowns_of(self.problem, self.right)
        for at, statement in enumerate(self.wrong.statements):
            for is_solved in false_equations(statement, unknowns):
                kind = Difference.MISCALCULATED if is_solved else Difference.OTHER_RELATION
                return Finding(kind, self._closest_statement(statement), statement, at)
        return None

    def _wrong_calculation(self) -> Finding | None:
        units = [value for word, values in _CONVERSIONS.items() if word in self.problem.lower() for value in values]
        known = [*self.given, *self.right.numbers, *self.right.reached_values, *_CONSTANTS, *units]
        suspects = self._suspects()
        for index, calculation in enumerate(self.wrong.calculations):
            finding = self._judge(calculation, known, is_suspect=suspects is None or index in suspects)
            if finding:
                return finding
            known += [*calculation.sum.parts, calculation.claimed, calculation.first]
        return None

    def _judge(self, calculation: Calculation, known: list[float], is_suspect: bool) -> Finding | None:
        kind = None
        if not calculation.is_sound and not self._is_cut_off(calculation):
            kind = Difference.MISCALCULATED
        elif is_suspect:
            strange = (value for value in calculation.sum.operands if not is_among(value, known))
            kind = next(filter(None, (self._strange_operand(value, known) for value in strange)), None)
        if kind is None and (not is_suspect or is_among(calculation.claimed, self.expected)):
            return None
        partner = self._partner(calculation)
        if kind is None:
            return self._classify_deviation(calculation, partner) if partner else None
        shown = partner.statement if partner else self._closest_statement(calculation.statement)
        return Finding(kind, shown, calculation.statement, calculation.at)

    def _classify_deviation(self, calculation: Calculation, partner: Calculation) -> Finding:
        """Classify and locate a sound calculation whose value is not in the right solution."""
        goal = self.right.result
        before = self.wrong.calculations[: self.wrong.calculations.index(calculation)]
        if goal is not None and is_among(goal, [earlier.claimed for earlier in before]):
            kind = Difference.MISSTATED if is_scaled(goal, calculation.claimed) else Difference.OTHER_GOAL
            return Finding(kind, self.right.final or "", calculation.statement, calculation.at)
        kind = self._other_combination(calculation, partner)
        at = self._origin(calculation, partner) if kind is not Difference.MISCOPIED else None
        at = calculation.at if at is None else at
        return Finding(kind, partner.statement, self.wrong.statements[at], at)

    def _origin(self, calculation: Calculation, partner: Calculation) -> int | None:
        """Statement where the wrong solution last states the value used in place of the right one.

        None if several values differ, if the value is given in the problem, or if it is not stated before.
        """
        used, expected = Counter(calculation.sum.operands), Counter(partner.sum.operands)
        new, lost = list((used - expected).elements()), list((expected - used).elements())
        if len(new) != 1 or len(lost) != 1 or is_among(new[0], self.given):
            return None
        n_shared = (used & expected).total()
        is_alike = n_shared > 1 or calculation.sum.operators == partner.sum.operators
        at = self._last_mention(new[0], before=calculation.at)
        is_calculated = any(other.at == at for other in self.wrong.calculations)
        return at if is_alike and (n_shared > 1 or not is_calculated) else None

    def _is_cut_off(self, calculation: Calculation) -> bool:
        """Whether the text ends within the claimed number."""
        is_last = self.wrong.final is None and calculation.at == len(self.wrong.statements) - 1
        return is_last and f"{calculation.sum.value:.12g}".startswith(f"{calculation.claimed:.12g}")

    def _last_mention(self, value: float, before: int) -> int | None:
        places = range(before - 1, -1, -1)
        return next((at for at in places if is_among(value, numbers_with_words(self.wrong.statements[at]))), None)

    def _suspects(self) -> set[int] | None:
        """Indices of the calculations that lead to the wrong answer, back to values shared with the right solution.

        None if no calculation yields the answer.
        """
        calculations, final = self.wrong.calculations, self.wrong.result
        if final is not None and self.right.result is not None and is_close(final, self.right.result):
            return set()
        if final is None or not calculations:
            return set() if self.wrong.final is None else None
        last = last_with_value(calculations, len(calculations), final)
        if last is None:
            reached = [calculation.claimed for calculation in calculations]
            return set() if self.right.result is not None and is_among(self.right.result, reached) else None
        waiting, suspects = [last], set()
        while waiting:
            index = waiting.pop()
            if index in suspects:
                continue
            suspects.add(index)
            if index and calculations[index - 1].claimed == calculations[index].claimed:
                # One calculation in two forms: "(6 * 9 - 4) * 18 = 50 * 18 = 900".
                waiting.append(index - 1)
            if index != last and is_among(calculations[index].claimed, self.agreed):
                continue
            for operand in calculations[index].sum.operands:
                earlier = last_with_value(calculations, index, operand)
                if earlier is not None:
                    waiting.append(earlier)
        return suspects

    def _strange_operand(self, operand: float, known: list[float]) -> Difference | None:
        """Classify a number of unknown origin: miscopied or invented; None if it may come from mental arithmetic."""
        used = self.wrong.used_values
        lost = [value for value in self.given if is_among(value, self.right.numbers) and not is_among(value, used)]
        if any(_looks_like(operand, value) for value in lost):
            return Difference.MISCOPIED
        if any(_combines_to(first, second, operand) for first in known for second in known[: len(self.given)]):
            return None
        return Difference.INVENTED

    def _partner(self, calculation: Calculation) -> Calculation | None:
        """The right solution's calculation with the most similar operands; the earliest on a tie."""

        def shared(other: Calculation) -> float:
            operands, others = Counter(calculation.sum.operands), Counter(other.sum.operands)
            return (operands & others).total() / max((operands | others).total(), 1)

        best = max(self.right.calculations, key=shared, default=None)
        return best if best and shared(best) > 0 else None

    def _other_combination(self, calculation: Calculation, partner: Calculation) -> Difference:
        """Classify a sound calculation that is not in the right solution by its operands."""
        used, expected = Counter(calculation.sum.operands), Counter(partner.sum.operands)
        if self._is_exchanged(list((expected - used).elements()), list((used - expected).elements())):
            return Difference.MISCOPIED
        before = self.right.calculations[: self.right.calculations.index(partner) + 1]
        needed = [value for earlier in before for value in earlier.sum.operands if is_among(value, self.given)]
        is_omitting = any(
            not is_among(value, self.wrong.used_in_sums) for value in needed if value not in _CONSTANTS[:3]
        )
        if is_omitting:
            return Difference.OMITTED
        if used - Counter(_CONSTANTS) == expected - Counter(_CONSTANTS) or not (expected - used):
            return _same_operands(calculation, partner)
        return Difference.OTHER_RELATION

    def _is_exchanged(self, lost: list[float], new: list[float]) -> bool:
        """Whether a single given value is replaced by a similar one that is neither given nor a result."""
        if len(set(lost)) != 1 or len(set(new)) != 1 or not is_among(lost[0], self.given):
            return False
        return _looks_like(new[0], lost[0]) and not is_among(new[0], [*self.given, *self.wrong.reached_values])

    def _closest_statement(self, statement: str) -> str:
        words = set(statement.lower().split())
        return max(self.right.statements, key=lambda other: len(words & set(other.lower().split())), default="")


def _same_operands(calculation: Calculation, partner: Calculation) -> Difference:
    """Classify the same quantities combined differently: an inverted ratio or another relation."""
    expected, used = partner.sum.operators, calculation.sum.operators
    both = expected + used
    if set(both) <= set("*/()") and "/" in both and _n_scales(expected) == _n_scales(used):
        return Difference.INVERTED
    return Difference.OTHER_RELATION


def _n_scales(operators: str) -> int:
    return sum(operator in "*/" for operator in operators)


def _looks_like(operand: float, value: float) -> bool:
    """Whether a number may be a miscopy of another: digits swapped, or one digit changed, missing or doubled."""
    copy, original = f"{operand:g}", f"{value:g}"
    if sorted(copy) == sorted(original):
        return True
    if len(copy) == len(original):
        return sum(a != b for a, b in zip(copy, original, strict=True)) == 1
    short, long = sorted((copy, original), key=len)
    return len(long) - len(short) == 1 and any(long[:at] + long[at + 1 :] == short for at in range(len(long)))


def _combines_to(first: float, second: float, result: float) -> bool:
    results = [first + second, first - second, first * second]
    if second:
        results.append(first / second)
    return is_among(result, results)

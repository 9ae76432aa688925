"""The first value or calculation of a wrong solution that the right one refutes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from advcluster_dagster.demo.analyst.answers import is_scaled
from advcluster_dagster.demo.analyst.arithmetic import is_among, is_close, numbers_with_words
from advcluster_dagster.demo.analyst.calculations import Calculation, last_with, named_numbers
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
    """A problem with a right and a wrong solution, read."""

    problem: str
    right: Trace
    wrong: Trace

    def first(self) -> Finding | None:
        """The first statement of the wrong solution whose numbers the right solution refutes."""
        return min(self._findings(), key=lambda finding: finding.wrong_at or 0, default=None)

    @cached_property
    def given(self) -> list[float]:
        """Numbers of the problem."""
        return numbers_with_words(self.problem)

    @cached_property
    def agreed(self) -> list[float]:
        """Numbers of the right solution; values of parts of its sums where the wrong solution reaches the whole too."""
        reached = [finding.claimed for finding in self.wrong.calculations]
        parts = [
            part
            for finding in self.right.calculations
            if is_among(finding.claimed, reached)
            for part in finding.sum.parts
        ]
        return [*self.right.numbers, *parts]

    @cached_property
    def expected(self) -> list[float]:
        """Values that a calculation may have without leading away: those of the problem and the right solution."""
        return [*self.agreed, *self.given]

    def _findings(self) -> Iterator[Finding]:
        """At most one finding of every kind of cue."""
        cues = (self._miscopied_name(), self._false_equation(), self._wrong_calculation())
        return (finding for finding in cues if finding)

    def _miscopied_name(self) -> Finding | None:
        """A name whose first value looks like the one that the right solution and the problem give it."""
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
            return self._led_away(calculation, partner) if partner else None
        shown = partner.statement if partner else self._closest_statement(calculation.statement)
        return Finding(kind, shown, calculation.statement, calculation.at)

    def _led_away(self, calculation: Calculation, partner: Calculation) -> Finding:
        """A sound calculation whose value the right solution does not hold: which difference, and where."""
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
        """Where the wrong solution last states the value that stands in place of the right one; None when more than
        one value differs, when it is a value of the problem, or when it is stated nowhere before.
        """
        one, two = Counter(calculation.sum.operands), Counter(partner.sum.operands)
        new, lost = list((one - two).elements()), list((two - one).elements())
        if len(new) != 1 or len(lost) != 1 or is_among(new[0], self.given):
            return None
        is_alike = (one & two).total() > 1 or calculation.sum.operators == partner.sum.operators
        at = self._last_mention(new[0], before=calculation.at)
        is_calculated = any(finding.at == at for finding in self.wrong.calculations)
        return at if is_alike and ((one & two).total() > 1 or not is_calculated) else None

    def _is_cut_off(self, calculation: Calculation) -> bool:
        """Whether the text ends within the claimed number."""
        is_last = self.wrong.final is None and calculation.at == len(self.wrong.statements) - 1
        return is_last and f"{calculation.sum.value:.12g}".startswith(f"{calculation.claimed:.12g}")

    def _last_mention(self, value: float, before: int) -> int | None:
        places = range(before - 1, -1, -1)
        return next((at for at in places if is_among(value, numbers_with_words(self.wrong.statements[at]))), None)

    def _suspects(self) -> set[int] | None:
        """The calculations on which the wrong answer rests, by their number, as far back as the right solution does
        not hold their values; None when no calculation gives the answer.
        """
        calculations, final = self.wrong.calculations, self.wrong.result
        if final is not None and self.right.result is not None and is_close(final, self.right.result):
            return set()
        if final is None or not calculations:
            return set() if self.wrong.final is None else None
        last = last_with(calculations, len(calculations), final)
        if last is None:
            reached = [finding.claimed for finding in calculations]
            return set() if self.right.result is not None and is_among(self.right.result, reached) else None
        waiting, finding = [last], set()
        while waiting:
            index = waiting.pop()
            if index in finding:
                continue
            finding.add(index)
            if index and calculations[index - 1].claimed == calculations[index].claimed:
                # One calculation in two forms: "(6 * 9 - 4) * 18 = 50 * 18 = 900".
                waiting.append(index - 1)
            if index != last and is_among(calculations[index].claimed, self.agreed):
                continue
            for operand in calculations[index].sum.operands:
                earlier = last_with(calculations, index, operand)
                if earlier is not None:
                    waiting.append(earlier)
        return finding

    def _strange_operand(self, operand: float, known: list[float]) -> Difference | None:
        """A number of no visible origin: a given copied wrongly, or one made up; None if it may be mental
        arithmetic.
        """
        used = self.wrong.used_values
        lost = [value for value in self.given if is_among(value, self.right.numbers) and not is_among(value, used)]
        if any(_looks_like(operand, value) for value in lost):
            return Difference.MISCOPIED
        if any(_combines_to(one, other, operand) for one in known for other in known[: len(self.given)]):
            return None
        return Difference.INVENTED

    def _partner(self, calculation: Calculation) -> Calculation | None:
        """The right solution's calculation that shares most with this one; the earliest on a tie."""

        def shared(other: Calculation) -> float:
            one, two = Counter(calculation.sum.operands), Counter(other.sum.operands)
            return (one & two).total() / max((one | two).total(), 1)

        best = max(self.right.calculations, key=shared, default=None)
        return best if best and shared(best) > 0 else None

    def _other_combination(self, calculation: Calculation, partner: Calculation) -> Difference:
        """A sound calculation that the right solution does not hold: what became of the operands?"""
        one, two = Counter(calculation.sum.operands), Counter(partner.sum.operands)
        if self._is_exchanged(list((two - one).elements()), list((one - two).elements())):
            return Difference.MISCOPIED
        before = self.right.calculations[: self.right.calculations.index(partner) + 1]
        needed = [value for finding in before for value in finding.sum.operands if is_among(value, self.given)]
        is_omitting = any(
            not is_among(value, self.wrong.used_in_sums) for value in needed if value not in _CONSTANTS[:3]
        )
        if is_omitting:
            return Difference.OMITTED
        if one - Counter(_CONSTANTS) == two - Counter(_CONSTANTS) or not (two - one):
            return _same_operands(calculation, partner)
        return Difference.OTHER_RELATION

    def _is_exchanged(self, lost: list[float], new: list[float]) -> bool:
        """Whether one given value alone makes room for one that looks like it and is no result."""
        if len(set(lost)) != 1 or len(set(new)) != 1 or not is_among(lost[0], self.given):
            return False
        return _looks_like(new[0], lost[0]) and not is_among(new[0], [*self.given, *self.wrong.reached_values])

    def _closest_statement(self, statement: str) -> str:
        words = set(statement.lower().split())
        return max(self.right.statements, key=lambda other: len(words & set(other.lower().split())), default="")


def _same_operands(calculation: Calculation, partner: Calculation) -> Difference:
    """The same quantities combined differently: a ratio turned round, or another relation."""
    ours, theirs = partner.sum.operators, calculation.sum.operators
    if set(ours + theirs) <= set("*/()") and "/" in ours + theirs and _n_scales(ours) == _n_scales(theirs):
        return Difference.INVERTED
    return Difference.OTHER_RELATION


def _n_scales(operators: str) -> int:
    return sum(operator in "*/" for operator in operators)


def _looks_like(operand: float, value: float) -> bool:
    """Whether one number may be the other copied wrongly: digits swapped, or one digit different, missing or
    doubled.
    """
    one, other = f"{operand:g}", f"{value:g}"
    if sorted(one) == sorted(other):
        return True
    if len(one) == len(other):
        return sum(a != b for a, b in zip(one, other, strict=True)) == 1
    short, long = sorted((one, other), key=len)
    return len(long) - len(short) == 1 and any(long[:at] + long[at + 1 :] == short for at in range(len(long)))


def _combines_to(one: float, other: float, result: float) -> bool:
    results = [one + other, one - other, one * other]
    if other:
        results.append(one / other)
    return is_among(result, results)

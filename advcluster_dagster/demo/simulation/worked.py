"""Worked problems: random givens, a chain of exact steps, and the effect of each slip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random

from advcluster_dagster.demo.simulation.expressions import as_written, evaluate, show_number, substitute
from advcluster_dagster.demo.simulation.problems import DOMAIN_SKILLS, Line, Problem, Slip, Solution, misread_number

_LETTERS = "ABCD"
_MIN_RELATIVE_ERROR = Fraction(1, 50)
#: Maximum ratio of two values to compare, so that a slip can reverse the comparison.
_CLOSE_CALL = Fraction(6, 5)


@dataclass(frozen=True)
class Step:
    """A computed quantity; ``pitfalls`` are formulas that a solver without the domain's skill would use."""

    symbol: str
    label: str
    formula: str
    unit: str = ""
    pitfalls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of worked problem.

    ``givens`` maps each symbol to its meaning, ``draw`` draws exactly their values. The last step is the answer, unless
    ``smaller_of`` gives two steps and two names: then the answer is the name with the smaller value.
    """

    name: str
    question: str
    givens: Mapping[str, str]
    draw: Callable[[Random], Mapping[str, int]]
    steps: tuple[Step, ...]
    is_choice: bool = False
    smaller_of: tuple[str, str, str, str] | None = None

    @property
    def answer_type(self) -> str:
        """How the answer is compared."""
        return "text" if self.smaller_of else "choice" if self.is_choice else "numeric"


@dataclass(frozen=True)
class _Task:
    """A kind with its values; ``options`` are the values of the lettered options of a choice, else empty."""

    kind: Kind
    domain: str
    values: Mapping[str, int]
    options: tuple[Fraction, ...]

    def run(self, slip: Slip | None) -> tuple[dict[str, Fraction], dict[str, str]]:
        """Compute all values by symbol, and the formula used for each step."""
        known = {name: Fraction(value) for name, value in self.values.items()}
        if slip and slip.skill == "copying_values":
            known[slip.place] = Fraction(slip.change)
        formulas = {}
        for step in self.kind.steps:
            own = slip is not None and slip.place == step.symbol
            formulas[step.symbol] = (
                slip.change if own and slip and slip.skill == DOMAIN_SKILLS[self.domain] else step.formula
            )
            known[step.symbol] = as_written(evaluate(formulas[step.symbol], known))
            if own and slip and slip.skill == "executing_steps":
                known[step.symbol] += Fraction(slip.change)
        return known, formulas

    def solve(self, slip: Slip | None) -> Solution:
        """Solution of a solver with this slip."""
        known, formulas = self.run(slip)
        goal = slip.place if slip and slip.skill == "keeping_the_goal" else self.kind.steps[-1].symbol
        lines = []
        for step in self.kind.steps:
            texts = {name: show_number(value) for name, value in known.items()}
            formula = formulas[step.symbol]
            lines.append(
                Line(step.label, step.symbol, formula, substitute(formula, texts), texts[step.symbol], step.unit)
            )
            if step.symbol == goal:
                break
        remark, final = self._conclude(known, goal, slip)
        givens = tuple((label, name, show_number(known[name])) for name, label in self.kind.givens.items())
        return Solution(givens, tuple(lines), remark, final)

    def _conclude(self, known: Mapping[str, Fraction], goal: str, slip: Slip | None) -> tuple[str, str]:
        value = known[goal]
        is_misstated = slip is not None and slip.skill == "stating_results"
        unit = next(step.unit for step in self.kind.steps if step.symbol == goal)
        if self.kind.smaller_of:
            first, second, this, that = self.kind.smaller_of
            if is_misstated:
                return "The smaller of the two values decides.", show_number(min(known[first], known[second]))
            is_first = known[first] < known[second]
            if slip and slip.skill == "keeping_the_goal":
                is_first = not is_first
                return f"The larger value belongs to {this if is_first else that}.", this if is_first else that
            return f"The smaller value belongs to {this if is_first else that}.", this if is_first else that
        if self.kind.is_choice:
            nearest = min(range(4), key=lambda index: (abs(self.options[index] - value), index))
            if is_misstated:
                return "That is one of the options.", show_number(value)
            matches = "This matches" if self.options[nearest] == value else "The closest to this is"
            return f"{matches} option ({_LETTERS[nearest]}).", _LETTERS[nearest]
        if is_misstated and slip:
            return _misstate(value, slip.place, unit)
        return "", show_number(value)


def make_worked_problem(kind: Kind, domain: str, question_id: str, rng: Random) -> Problem:
    """Draw values until every step is exact in three decimal places, then enumerate the slips.

    Raises:
        ValueError: a thousand draws yield no such values.
    """
    for _ in range(1000):
        task = _Task(kind, domain, dict(kind.draw(rng)), ())
        if _is_exact(task):
            break
    else:
        raise ValueError(f"kind {kind.name}: no exact values in a thousand draws")
    if kind.is_choice:
        task = _Task(kind, domain, task.values, _draw_options(task, rng))
    question = kind.question.format(**task.values)
    if kind.is_choice:
        question += "".join(
            f"\n({letter}) {show_number(value)}" for letter, value in zip(_LETTERS, task.options, strict=True)
        )
    answer = task.solve(None).final
    slips = _wrong_slips(task, answer, rng)
    return Problem(question_id, domain, question, answer, kind.answer_type, cache(task.solve), slips)


def _is_exact(task: _Task) -> bool:
    known = {name: Fraction(value) for name, value in task.values.items()}
    for step in task.kind.steps:
        known[step.symbol] = evaluate(step.formula, known)
        value = known[step.symbol]
        if value <= 0 or value != as_written(value) or value in [known[name] for name in known if name != step.symbol]:
            return False
    if task.kind.smaller_of:
        smaller, larger = sorted(known[symbol] for symbol in task.kind.smaller_of[:2])
        return larger < _CLOSE_CALL * smaller
    return True


def _draw_options(task: _Task, rng: Random) -> tuple[Fraction, ...]:
    """Draw the right value and three others of similar size, in random order."""
    right = task.run(None)[0][task.kind.steps[-1].symbol]
    factors = rng.sample([Fraction(n, 20) for n in (10, 13, 16, 24, 28, 32, 40)], 3)
    options = [right, *(as_written(right * factor) for factor in factors)]
    rng.shuffle(options)
    return tuple(options)


def _wrong_slips(task: _Task, answer: str, rng: Random) -> dict[str, tuple[Slip, ...]]:
    slips_by_skill: dict[str, list[Slip]] = {}
    for slip in _possible_slips(task, rng):
        if _is_wrong(task, slip, answer):
            slips_by_skill.setdefault(slip.skill, []).append(slip)
    return {skill: tuple(slips) for skill, slips in slips_by_skill.items()}


def _possible_slips(task: _Task, rng: Random) -> list[Slip]:
    steps = task.kind.steps
    slips = [
        Slip("copying_values", name, str(misread_number(value, rng)))
        for name, value in task.values.items()
        for _ in range(3)
    ]
    goals = steps[-1:] if task.kind.smaller_of else steps[:-1]
    slips += [Slip("keeping_the_goal", step.symbol) for step in goals]
    slips += [Slip(DOMAIN_SKILLS[task.domain], step.symbol, wrong) for step in steps for wrong in step.pitfalls]
    values = task.run(None)[0]
    slips += [
        Slip("executing_steps", step.symbol, str(change))
        for step in steps
        for change in _arithmetic_changes(values[step.symbol], rng)
    ]
    forms = ("thousand", "hundredth", "rounded") if task.kind.answer_type == "numeric" else ("bare value",)
    return slips + [Slip("stating_results", form) for form in forms]


def _arithmetic_changes(value: Fraction, rng: Random) -> list[Fraction]:
    """Differences typical of carrying and table errors: one digit off by one to three."""
    place = Fraction(10) ** (len(str(int(value))) - 1)
    return [rng.choice([1, 2]) * place, -rng.choice([1, 2]) * place / 10, rng.choice([1, 2, 3]) * place / 10]


def _is_wrong(task: _Task, slip: Slip, answer: str) -> bool:
    try:
        known, _ = task.run(slip)
    except ZeroDivisionError:
        return False
    if any(value <= 0 for value in known.values()) or slip.change in [str(value) for value in task.values.values()]:
        return False
    final = task.solve(slip).final
    if task.kind.answer_type != "numeric":
        return final != answer
    right = Fraction(answer)
    return abs(Fraction(final) - right) > _MIN_RELATIVE_ERROR * right


def _misstate(value: Fraction, form: str, unit: str) -> tuple[str, str]:
    """State the right value in a form that was not asked for."""
    if form == "thousand":
        return f"Expressed in thousandths of {unit or 'a unit'}:", show_number(value * 1000)
    if form == "hundredth":
        return f"Expressed in hundreds of {unit or 'units'}:", show_number(value / 100)
    place = 10 ** max(len(str(int(value))) - 1, 0)
    return "Rounded off to a convenient figure:", show_number(Fraction(round(value / place) * place))

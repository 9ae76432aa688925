"""Turn a program into a problem: the shown code is executed for the answer, an instrumented copy for the trace.

Only templates of this package are executed.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random
from string import Template
from types import CodeType
from typing import Any

from advcluster_dagster.demo.simulation.problems import Line, Problem, Slip, Solution, misread_number
from advcluster_dagster.demo.simulation.program_kinds import ProgramKind

_CONDITION = re.compile(r"\[\[(.*?)\]\](?=:)")
_SEQUENCE = re.compile(r"<<(.*?)>>")


@dataclass
class _Run:
    """Hooks of an instrumented run, and the lines they record."""

    slip: Slip | None
    lines: list[Line] = field(default_factory=list)
    n_checks: int = 0
    judged: list[str] = field(default_factory=list)

    def check(self, text: str, is_true: bool) -> bool:
        """Evaluate a condition; a slip inverts one of them."""
        if self._is_slip("following_state", f"check {self.n_checks}"):
            is_true = not is_true
        self.n_checks += 1
        self.judged.append(f"{text} is {'true' if is_true else 'false'}")
        return is_true

    def rounds(self, values: Iterable[Any]) -> Iterator[Any]:
        """Values of a loop; a slip omits the last or the first."""
        every = list(values)
        if self._is_slip("following_state", "last round"):
            every = every[:-1]
        elif self._is_slip("following_state", "first round"):
            every = every[1:]
        for value in every:
            self.judged.clear()
            yield value
        self.judged.clear()

    def note(self, subject: str, target: str, working: str, value: Any) -> Any:
        """Record a step and return its value; a slip changes one of them."""
        if self._is_slip("executing_steps", f"step {len(self.lines)}") and self.slip:
            value = _blur(value, int(self.slip.change))
        reason = " and ".join(self.judged)
        self.lines.append(Line(subject, target, reason, working, repr(value)))
        self.judged.clear()
        return value

    def _is_slip(self, skill: str, place: str) -> bool:
        return self.slip is not None and self.slip.skill == skill and self.slip.place == place


@dataclass(frozen=True)
class _Program:
    """A template with its constants filled in, and the argument of the call."""

    source: str
    argument: Any

    @property
    def shown(self) -> str:
        """The code as shown in the question."""
        code = re.sub(r"(?m)^ *#~.*\n", "", self.source).replace("  #!", "")
        return _SEQUENCE.sub(r"\1", _CONDITION.sub(r"\1", code))

    def solve(self, slip: Slip | None) -> Solution:
        """Trace and result of a reader with this slip."""
        argument = _misread(self.argument, slip) if slip and slip.skill == "copying_values" else self.argument
        stops_early = slip is not None and slip.skill == "keeping_the_goal"
        run = _Run(slip)
        result = _call(
            _instrumented(self.source, stops_early), argument, check=run.check, rounds=run.rounds, note=run.note
        )
        remark, final = "", repr(result)
        if slip and slip.skill == "stating_results":
            remark, final = _restate(result, slip.place)
        return Solution((("the argument", "", repr(argument)),), tuple(run.lines), remark, final)


def make_program_problem(kind: ProgramKind, domain: str, question_id: str, rng: Random) -> Problem:
    """Draw constants and argument, execute the shown code for the answer, enumerate the slips that change it."""
    constants, argument = kind.draw(rng)
    program = _Program(Template(kind.template).substitute(constants), argument)
    answer = repr(_call(_compiled(program.shown), argument))
    question = f"What does f({argument!r}) return?\n\n{program.shown.strip()}"
    right = program.solve(None)
    slips: dict[str, list[Slip]] = {}
    for slip in _possible_slips(program, right, rng):
        if program.solve(slip).final != answer:
            slips.setdefault(slip.skill, []).append(slip)
    frozen = {skill: tuple(slips_of) for skill, slips_of in slips.items()}
    return Problem(question_id, domain, question, answer, "python_output", cache(program.solve), frozen)


def _possible_slips(program: _Program, right: Solution, rng: Random) -> list[Slip]:
    n_lines = len(right.lines)
    size = 1 if isinstance(program.argument, int) else len(program.argument)
    places = [rng.randrange(size) for _ in range(4)]
    slips = [Slip("copying_values", str(place), str(rng.randrange(1000))) for place in places]
    slips += [Slip("keeping_the_goal", "loop end")]
    slips += [
        Slip("executing_steps", f"step {index}", str(rng.choice([-10, -2, -1, 1, 2, 10]))) for index in range(n_lines)
    ]
    slips += [Slip("following_state", f"check {index}") for index in range(n_lines - 1)]
    slips += [Slip("following_state", place) for place in ("last round", "last round", "first round")]
    return slips + [Slip("stating_results", form) for form in ("quoted", "split")]


def _misread(argument: Any, slip: Slip) -> Any:
    """Miscopy one number or letter of the argument, deterministically for a slip."""
    rng, place = Random(int(slip.change)), int(slip.place)
    if isinstance(argument, int):
        return misread_number(argument, rng)
    if isinstance(argument, str):
        other = rng.choice([letter for letter in "aeioubdmnprt" if letter != argument[place]])
        return argument[:place] + other + argument[place + 1 :]
    return [*argument[:place], misread_number(argument[place], rng), *argument[place + 1 :]]


def _blur(value: Any, change: int) -> Any:
    """Return a wrong value of the same type."""
    if isinstance(value, int):
        return value + change
    if isinstance(value, list):
        return [*value[:-2], *value[:-3:-1]] if change % 2 and len(value) > 1 else value[:-1]
    return value[:-2] + value[:-3:-1] if change % 2 and len(value) > 1 else value[:-1]


def _restate(result: Any, form: str) -> tuple[str, str]:
    """Write the right value as a value of another type."""
    if form == "quoted":
        return "As a printed text this reads:", repr(str(result) if not isinstance(result, str) else f"'{result}'")
    parts = list(str(result)) if isinstance(result, int | str) else result
    return "Listed part by part this reads:", repr(tuple(parts))


def _call(code: CodeType, argument: Any, **hooks: Callable[..., Any]) -> Any:
    namespace: dict[str, Any] = dict(hooks)
    exec(code, namespace)
    return namespace["f"](list(argument) if isinstance(argument, list) else argument)


@cache
def _instrumented(source: str, stops_early: bool) -> CodeType:
    code = re.sub(r"(?m)^.*#!$\n", "", source) if stops_early else source.replace("  #!", "")
    code = _CONDITION.sub(lambda match: f"check({match[1]!r}, {match[1]})", code.replace("#~ ", ""))
    return _compiled(_SEQUENCE.sub(r"rounds(\1)", code))


def _compiled(code: str) -> CodeType:
    return compile(code, "<simulated program>", "exec")

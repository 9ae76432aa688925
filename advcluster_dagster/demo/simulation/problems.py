"""Records of a simulated problem: its question, its solution with or without a slip, and the slips it allows.

Stages are those of Newman's error analysis (paper appendix A.5).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

#: Planted skill -> the stage at which a solver without it fails first. The first four belong to every domain, the
#: others
#: to one domain each.
SKILL_STAGES: dict[str, str] = {
    "copying_values": "Reading",
    "keeping_the_goal": "Comprehension",
    "executing_steps": "Process Skills",
    "stating_results": "Encoding",
    "covering_conditions": "Comprehension",
    "choosing_relations": "Transformation",
    "orienting_ratios": "Transformation",
    "following_state": "Process Skills",
}  # fmt: skip

#: The skill that only problems of one domain call for.
DOMAIN_SKILLS: dict[str, str] = {
    "math": "covering_conditions",
    "physics": "choosing_relations",
    "chemistry": "orienting_ratios",
    "programming": "following_state",
}


@dataclass(frozen=True)
class Slip:
    """One planted error: the missing skill, where it strikes (a given, a step, a round), and what it does there."""

    skill: str
    place: str
    change: str = ""

    @property
    def stage(self) -> str:
        """The stage of Newman's error analysis that the slip belongs to."""
        return SKILL_STAGES[self.skill]


@dataclass(frozen=True)
class Line:
    """One step of a solution: what it is about, its relation in symbols (may be empty), in numbers, and its result."""

    label: str
    symbol: str
    relation: str
    working: str
    result: str
    unit: str = ""


@dataclass(frozen=True)
class Solution:
    """A worked solution before it is put into words; ``final`` is what is stated as the answer, ``remark`` leads
    to it.
    """

    givens: tuple[tuple[str, str, str], ...]
    lines: tuple[Line, ...]
    remark: str
    final: str


@dataclass(frozen=True)
class Problem:
    """One question with its right answer; ``slips`` holds, by skill, every slip that leads to a wrong final answer."""

    question_id: str
    domain: str
    question: str
    answer: str
    answer_type: str
    solve: Callable[[Slip | None], Solution]
    slips: Mapping[str, tuple[Slip, ...]]

    @property
    def is_program(self) -> bool:
        """Whether the answer is a Python value."""
        return self.answer_type == "python_output"

    @property
    def prompt(self) -> str:
        """What is put to the model: the question and where the final answer is expected."""
        if self.is_program:
            return f"{self.question}\n\nTrace the program, then give the returned value between [ANSWER] and [/ANSWER]."
        what = {"choice": "the letter of the right option", "text": "the name asked for"}.get(
            self.answer_type, "the final answer"
        )
        return f"{self.question}\n\nWork it out step by step and put {what} in \\boxed{{}}."


def misread_number(value: int, rng: Random) -> int:
    """A positive whole number as it may be copied wrongly: two digits swapped, or one digit off."""
    digits = list(str(value))
    if len(digits) > 1 and rng.random() < 0.5:
        at = rng.randrange(len(digits) - 1)
        digits[at], digits[at + 1] = digits[at + 1], digits[at]
    else:
        at = rng.randrange(len(digits))
        digits[at] = rng.choice([digit for digit in "123456789" if digit != digits[at]])
    return int("".join(digits))

"""Records of a simulated problem: question, solution with or without a slip, and possible slips.

Stages are those of Newman's error analysis (paper appendix A.5).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

#: Stage at which a solver without a skill fails first, by skill. The first four apply to all domains, the others to one
#: domain each.
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

#: The skill specific to each domain.
DOMAIN_SKILLS: dict[str, str] = {
    "math": "covering_conditions",
    "physics": "choosing_relations",
    "chemistry": "orienting_ratios",
    "programming": "following_state",
}


@dataclass(frozen=True)
class Slip:
    """A planted error: the missing skill, where it occurs (a given, a step, a round), and the change it makes."""

    skill: str
    place: str
    change: str = ""

    @property
    def stage(self) -> str:
        """Stage of Newman's error analysis."""
        return SKILL_STAGES[self.skill]


@dataclass(frozen=True)
class Line:
    """One step of a solution: label, relation in symbols (may be empty), working in numbers, result."""

    label: str
    symbol: str
    relation: str
    working: str
    result: str
    unit: str = ""


@dataclass(frozen=True)
class Solution:
    """A worked solution before verbalisation; ``final`` is the stated answer, ``remark`` the sentence before it."""

    givens: tuple[tuple[str, str, str], ...]
    lines: tuple[Line, ...]
    remark: str
    final: str


@dataclass(frozen=True)
class Problem:
    """A question with its right answer; ``slips`` lists by skill all slips that lead to a wrong final answer."""

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
        """Prompt sent to the model: the question and where to put the final answer."""
        if self.is_program:
            return f"{self.question}\n\nTrace the program, then give the returned value between [ANSWER] and [/ANSWER]."
        answer = {"choice": "the letter of the right option", "text": "the name asked for"}.get(
            self.answer_type, "the final answer"
        )
        return f"{self.question}\n\nWork it out step by step and put {answer} in \\boxed{{}}."


def misread_number(value: int, rng: Random) -> int:
    """Miscopy a positive whole number: swap two digits or change one."""
    digits = list(str(value))
    if len(digits) > 1 and rng.random() < 0.5:
        at = rng.randrange(len(digits) - 1)
        digits[at], digits[at + 1] = digits[at + 1], digits[at]
    else:
        at = rng.randrange(len(digits))
        digits[at] = rng.choice([digit for digit in "123456789" if digit != digits[at]])
    return int("".join(digits))

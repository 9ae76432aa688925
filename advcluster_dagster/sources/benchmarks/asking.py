r"""Prompt wording shared by all benchmarks.

Prompts request answers where grading expects them: in ``\boxed{}``, or for programs between ``[ANSWER]`` and
``[/ANSWER]``.
"""

import re
from collections.abc import Mapping

_OPTION = re.compile(r"^[ \t]*[(\[]([A-D])[)\]][ \t]*", re.MULTILINE)

MATH_ANSWER = (
    "Reason step by step, then give the final answer, exact and fully simplified, in \\boxed{}; the box holds the"
    " answer alone."
)
ONE_OPTION = (
    "Exactly one option is right. Reason step by step, then give the letter of that option alone in \\boxed{}, as in"
    " \\boxed{A}."
)
SEVERAL_OPTIONS = (
    "One or more options are right. Reason step by step, then give the letters of all right options and of no other in"
    " \\boxed{}, without blanks, as in \\boxed{AC}."
)


def number_answer(description: str, unit: str | None = None) -> str:
    """Build the request for a number, in a given unit if there is one."""
    in_unit = f" Give its value in the unit {unit} and leave the unit out of the box." if unit else ""
    return f"The answer is {description}. Reason step by step, then give that number alone in \\boxed{{}}.{in_unit}"


def ask(problem: str, request: str) -> str:
    """Join a problem and the request for its answer."""
    return f"{problem.strip()}\n\n{request}"


def format_options(options: Mapping[str, str]) -> str:
    """Format options one per line, each after its letter."""
    return "\n".join(f"({letter}) {text}" for letter, text in options.items())


def split_options(text: str) -> tuple[str, dict[str, str]]:
    """Split a text into stem and options A to D at line starts near its end; no options if it has none."""
    markers = list(_OPTION.finditer(text))[-4:]
    if [match[1] for match in markers] != ["A", "B", "C", "D"]:
        return text.strip(), {}
    ends = [match.start() for match in markers[1:]] + [len(text)]
    options = {match[1]: text[match.end() : end].strip() for match, end in zip(markers, ends, strict=True)}
    return text[: markers[0].start()].strip(), options

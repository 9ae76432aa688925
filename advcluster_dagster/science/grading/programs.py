"""Inputs that make a benchmark's function return the stated output (the input half of CRUXEval; paper section 3.2.1).

The official harness runs ``assert OUTPUT == f(PREDICTION)``. Here the stated output stays out of the run, and a
prediction that is more than an input is not run: it could replace the function that it is to be an input of.
"""

from dataclasses import dataclass
from typing import Any

from advcluster_dagster.science.grading.comparison import Comparison
from advcluster_dagster.science.grading.context import read_context
from advcluster_dagster.science.grading.errors import UnreadableAnswerError
from advcluster_dagster.science.grading.inputs import ProgramNames, is_input, read_call, read_names
from advcluster_dagster.science.grading.literals import read_literal
from advcluster_dagster.science.grading.markup import unwrap

#: Predictions longer than this are not run: no input of a benchmark comes near it.
MAX_CHARACTERS = 100_000


@dataclass(frozen=True)
class ProgramRun:
    """A call to run: the code that defines the function, then the call; what it returned ends up a literal."""

    code: str
    call: str


def read_run(comparison: Comparison) -> ProgramRun | None:
    """The run that decides a comparison; None for a prediction that is no argument list.

    Raises:
        UnreadableAnswerError: the question lacks its code or a literal output.
        OversizedAnswerError, RecursionError, MemoryError: the prediction is too long or too deep to be read.
    """
    context = read_context(comparison.context)
    if context.code is None or context.output is None:
        raise UnreadableAnswerError("answer context: a python_input question needs code and output")
    names = _program_names(context.code)
    _stated_output(comparison.context)
    if len(comparison.prediction) > MAX_CHARACTERS:
        raise MemoryError(f"a prediction of {len(comparison.prediction)} characters")
    for spelling in dict.fromkeys((comparison.prediction, unwrap(comparison.prediction))):
        if (call := read_call(spelling)) is not None:
            return ProgramRun(context.code, call) if is_input(call, names) else None
    return None


def is_stated_output(comparison: Comparison, returned: str) -> bool:
    """Whether what the function returned, a literal, equals the stated output by Python's ``==``."""
    try:
        return bool(_stated_output(comparison.context) == read_literal(returned))
    except (ValueError, SyntaxError, TypeError):
        return False


def _stated_output(context: str | None) -> Any:
    output = read_context(context).output or ""
    try:
        return read_literal(output)
    except (ValueError, SyntaxError, TypeError):
        raise UnreadableAnswerError(f"stated output {output[:60]!r} is not a Python literal") from None


def _program_names(code: str) -> ProgramNames:
    try:
        return read_names(code)
    except (SyntaxError, ValueError):
        raise UnreadableAnswerError(f"the question's code {code[:60]!r} is not Python") from None

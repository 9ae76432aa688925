"""Grade predicted inputs of a benchmark's function by running it (CRUXEval's input prediction; paper section 3.2.1).

The official harness runs ``assert OUTPUT == f(PREDICTION)``. Here the stated output is not part of the run, and a
prediction that is more than an argument list is not run, because it could redefine the function.
"""

from dataclasses import dataclass
from typing import Any

from advcluster_dagster.science.grading.comparison import Comparison
from advcluster_dagster.science.grading.context import read_context
from advcluster_dagster.science.grading.errors import UnreadableAnswerError
from advcluster_dagster.science.grading.inputs import ProgramNames, is_input, read_call, read_names
from advcluster_dagster.science.grading.literals import read_literal
from advcluster_dagster.science.grading.markup import unwrap

#: Longer predictions are not run; inputs in the benchmarks are far shorter.
MAX_CHARACTERS = 100_000


@dataclass(frozen=True)
class ProgramRun:
    """A call to run: the code that defines the function, and the call itself. The result is returned as a literal."""

    code: str
    call: str


def read_run(comparison: Comparison) -> ProgramRun | None:
    """Build the run that decides a comparison; None if the prediction is not a valid argument list.

    Raises:
        UnreadableAnswerError: the question lacks its code or a literal output.
        OversizedAnswerError, RecursionError, MemoryError: the prediction is too long or too deeply nested.
    """
    context = read_context(comparison.context)
    if context.code is None or context.output is None:
        raise UnreadableAnswerError("answer context: a python_input question needs code and output")
    names = _program_names(context.code)
    _stated_output(comparison.context)
    if len(comparison.prediction) > MAX_CHARACTERS:
        raise MemoryError(f"prediction too long: {len(comparison.prediction)} characters, at most {MAX_CHARACTERS}")
    for spelling in dict.fromkeys((comparison.prediction, unwrap(comparison.prediction))):
        if (call := read_call(spelling)) is not None:
            return ProgramRun(context.code, call) if is_input(call, names) else None
    return None


def is_stated_output(comparison: Comparison, returned: str) -> bool:
    """Whether the returned literal equals the stated output under Python's ``==``."""
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

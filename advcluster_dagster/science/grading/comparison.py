"""Compare an answer with the gold answer: one comparison per answer type (paper section 3.2.1).

To add an answer type, add a function to `COMPARISONS`.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from advcluster_dagster.contracts.vocabularies import ComparisonVerdict
from advcluster_dagster.science.grading.context import AnswerContext, read_context
from advcluster_dagster.science.grading.errors import OversizedAnswerError, UnreadableAnswerError
from advcluster_dagster.science.grading.literals import read_literal
from advcluster_dagster.science.grading.markup import unquote, unwrap
from advcluster_dagster.science.grading.mathematics import compare_math_cheaply, is_numeric_expression
from advcluster_dagster.science.grading.options import compare_choice, compare_choices
from advcluster_dagster.science.grading.quantities import compare_numeric, read_quantity


@dataclass(frozen=True, slots=True)
class Comparison:
    """A gold answer and a prediction to compare. Equal comparisons have equal verdicts.

    ``context`` is the question's answer_context, if the answer type uses it.
    """

    answer_type: str
    gold: str
    prediction: str
    context: str | None = None


#: Decides comparisons, one verdict each, in order; may use worker processes.
DecideMany = Callable[[Sequence[Comparison]], Sequence[ComparisonVerdict]]

_LATEX_ESCAPE = re.compile(r"\\([{}_%$#&])")


def compare_text(gold: str, prediction: str) -> bool:
    """Whether both texts are equal, case-sensitively.

    Compared after NFC normalisation, stripping enclosing LaTeX text commands and quotation marks, and collapsing
    white space.
    """
    return _plain_text(gold) == _plain_text(prediction)


def _plain_text(text: str) -> str:
    return unquote(" ".join(unicodedata.normalize("NFC", unwrap(text)).split()))


def compare_python_output(gold: str, prediction: str) -> bool:
    """Whether both are Python literals with equal values; a prediction that is not a literal is wrong.

    Equality is Python's ``==``, as in the assertions of code benchmarks: 1, 1.0 and True are equal; "1" and 1 are not,
    nor are (1,) and [1]. A prediction may be fenced or repeat the evaluated call, ``assert f(2) == 4``; no code is
    executed.

    Raises:
        UnreadableAnswerError: the gold answer is not a literal.
        RecursionError, MemoryError: a literal is nested too deeply or too long to be parsed.
    """
    try:
        expected = read_literal(gold)
    except (ValueError, SyntaxError, TypeError):
        raise UnreadableAnswerError(f"gold answer {gold[:60]!r} is not a Python literal") from None
    for spelling in dict.fromkeys((prediction, unwrap(prediction), _LATEX_ESCAPE.sub(r"\1", unwrap(prediction)))):
        with suppress(ValueError, SyntaxError, TypeError):
            if read_literal(spelling) == expected:
                return True
    return False


def compare_numeric_in(gold: str, prediction: str, context: AnswerContext) -> bool | None:
    """Like :func:`compare_numeric`; None if an answer is an expression that must be evaluated first."""
    if not context.is_multiple:
        is_read = [read_quantity(text) is not None for text in (gold, prediction)]
        is_number = [is_read[i] or is_numeric_expression(text) for i, text in enumerate((gold, prediction))]
        if all(is_number) and not all(is_read):
            return None
        if is_number[0] and not is_number[1]:
            return False
    return compare_numeric(gold, prediction, context)


#: Comparison of gold answer, prediction and context by answer type; a result of None needs a worker process.
COMPARISONS: dict[str, Callable[[str, str, AnswerContext], bool | None]] = {
    "numeric": compare_numeric_in,
    "choice": compare_choice,
    "choices": compare_choices,
    "text": lambda gold, prediction, _: compare_text(gold, prediction),
    "python_output": lambda gold, prediction, _: compare_python_output(gold, prediction),
    "math": lambda gold, prediction, _: compare_math_cheaply(gold, prediction),
    "python_input": lambda _gold, _prediction, _context: None,
}


def compare_here(comparison: Comparison) -> ComparisonVerdict | None:
    """Decide a comparison that needs no worker process.

    Returns:
        ``correct`` or ``wrong``; ``grader_error`` if the gold answer or the context is unreadable or an answer is too
        large or too deeply nested; ``not_gradable_yet`` for an unknown answer type; None if symbolic computation or a
        program run is needed.
    """
    if comparison.answer_type not in COMPARISONS:
        return "not_gradable_yet"
    compare = COMPARISONS[comparison.answer_type]
    return verdict_of(lambda: compare(comparison.gold, comparison.prediction, read_context(comparison.context)))


def verdict_of(decide: Callable[[], bool | None]) -> ComparisonVerdict | None:
    """Convert a decision to a verdict, and its errors to ``grader_error``; None stays None."""
    try:
        is_right = decide()
    except (UnreadableAnswerError, OversizedAnswerError, RecursionError, MemoryError):
        return "grader_error"
    return None if is_right is None else "correct" if is_right else "wrong"


def decide_here(comparisons: Sequence[Comparison]) -> list[ComparisonVerdict]:
    """Decide without worker processes; comparisons that need them are ``not_gradable_yet``."""
    return [compare_here(comparison) or "not_gradable_yet" for comparison in comparisons]

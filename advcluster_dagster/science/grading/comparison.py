"""Compare an answer with the gold answer: one comparison per answer type (paper section 3.2.1).

A further answer type is one more function in `COMPARISONS`.
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
    """One decision: whether a prediction is right. Equal comparisons have equal verdicts.

    ``context`` is the question's answer_context, where its answer type has a use for it.
    """

    answer_type: str
    gold: str
    prediction: str
    context: str | None = None


#: Decides comparisons, one verdict each, in order; it may use worker processes.
DecideMany = Callable[[Sequence[Comparison]], Sequence[ComparisonVerdict]]

_LATEX_ESCAPE = re.compile(r"\\([{}_%$#&])")


def compare_text(gold: str, prediction: str) -> bool:
    """Whether both are the same text, upper and lower case kept apart.

    Compared after Unicode composition (NFC), without surrounding LaTeX text commands and quotation marks, and with
    every run of white space as one blank.
    """
    return _plain_text(gold) == _plain_text(prediction)


def _plain_text(text: str) -> str:
    return unquote(" ".join(unicodedata.normalize("NFC", unwrap(text)).split()))


def compare_python_output(gold: str, prediction: str) -> bool:
    """Whether both are Python literals with equal values; a prediction that is no literal is wrong.

    Equal is Python's ``==``, as in the assertion by which code benchmarks judge an output: 1, 1.0 and True are
    equal, "1" and 1 are not, nor are (1,) and [1]. A prediction may be fenced or may repeat the call it evaluates,
    ``assert f(2) == 4``; nothing is ever run.

    Raises:
        UnreadableAnswerError: the gold answer is no literal.
        RecursionError, MemoryError: a literal nested too deeply to be read.
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
    """As :func:`compare_numeric`; None where an answer is an expression that must be worked out first."""
    if not context.is_multiple:
        is_read = [read_quantity(text) is not None for text in (gold, prediction)]
        is_number = [is_read[i] or is_numeric_expression(text) for i, text in enumerate((gold, prediction))]
        if all(is_number) and not all(is_read):
            return None
        if is_number[0] and not is_number[1]:
            return False
    return compare_numeric(gold, prediction, context)


#: One comparison per answer type: gold answer first, then the prediction; None where more than this process is needed.
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
        ``correct`` or ``wrong``; ``grader_error`` when the gold answer or the context cannot be read or an answer is
        too large or too deep to be read; ``not_gradable_yet`` for an unknown answer type; None when symbols or a
        program must be run.
    """
    if comparison.answer_type not in COMPARISONS:
        return "not_gradable_yet"
    compare = COMPARISONS[comparison.answer_type]
    return verdict_of(lambda: compare(comparison.gold, comparison.prediction, read_context(comparison.context)))


def verdict_of(decide: Callable[[], bool | None]) -> ComparisonVerdict | None:
    """The verdict of a decision, with its errors named; None stays None."""
    try:
        is_right = decide()
    except (UnreadableAnswerError, OversizedAnswerError, RecursionError, MemoryError):
        return "grader_error"
    return None if is_right is None else "correct" if is_right else "wrong"


def decide_here(comparisons: Sequence[Comparison]) -> list[ComparisonVerdict]:
    """Decide without worker processes; what needs them is ``not_gradable_yet``."""
    return [compare_here(comparison) or "not_gradable_yet" for comparison in comparisons]

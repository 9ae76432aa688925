"""Whether an answer is right: one comparison per answer type, in one table.

Here: choices, text and Python literals, the table of comparisons, and the verdict. Not here: numbers (quantities.py),
symbols (mathematics.py), programs (programs.py), finding the answer (answers.py), worker processes: a decision that
needs them is left open. Paper section 3.2.1. A further answer type is one more function in `COMPARISONS`.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from advcluster_dagster.science.grading.context import AnswerContext, read_context
from advcluster_dagster.science.grading.errors import OversizedAnswerError, UnreadableAnswerError
from advcluster_dagster.science.grading.literals import read_literal
from advcluster_dagster.science.grading.markup import unwrap
from advcluster_dagster.science.grading.mathematics import compare_math_cheaply, is_numeric_expression
from advcluster_dagster.science.grading.quantities import compare_numeric, read_quantity

Verdict = Literal["correct", "wrong", "not_gradable_yet", "grader_error", "grader_timeout"]


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
DecideMany = Callable[[Sequence[Comparison]], Sequence[Verdict]]

# A longer text than this is no set of letters.
MAX_CHOICES_CHARACTERS = 400

_OPTION = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+)?(?:option|answer|choice)(?:\s+is)?\s*:?\s*)?"
    r"[(\[]?\s*([A-Z])\s*(?:[)\]]?[.:]?|[)\].:]+\s+(?P<text>.+))",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
# Another option behind the first, as in "(A) and (C)", "A. B" or "A) or b".
_FURTHER_OPTION = re.compile(
    r"\([A-Z]\)|(?:\A|\s)[A-Z][).:](?:\s|\Z)|\A[A-Z]\Z|(?:\band\b|\bor\b|[,/&])\s*\(?[A-Z]\)?(?![A-Z0-9])",
    re.IGNORECASE | re.ASCII,
)
_TEXT_COMMAND = re.compile(r"\\(?:text\w*|mathrm|mathbf)\s*\{([^{}]*)\}|\\(?=[ ,;:])")
_CHOICES_DRESSING = re.compile(
    r"\\[,;:! ]|[$*{}~\\]|(?:the\s+)?(?:correct\s+)?\b(?:options?|answers?|choices?)\b(?:\s+(?:is|are)\b)?\s*:?",
    re.IGNORECASE,
)
_LETTER = r"[(\[]?\s*[A-Z]\s*[)\].]?"
_CHOICES = re.compile(
    rf"[(\[]?\s*{_LETTER}(?:(?:\s*(?:[,;&/+]|\band\b)\s*)*{_LETTER})*\s*[)\]]?\.?", re.IGNORECASE | re.ASCII
)
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}
_LATEX_ESCAPE = re.compile(r"\\([{}_%$#&])")


def compare_choice(gold: str, prediction: str) -> bool:
    """Whether both name the same single option letter, in either case.

    Read are ``B``, ``(B)``, ``B.``, ``Option B``, LaTeX text around them, and the letter with the option's text
    behind it, ``(B) 5 m``, unless the text names a second option.

    Raises:
        UnreadableAnswerError: the gold answer names no single letter.
    """
    if (wanted := _option(gold)) is None:
        raise UnreadableAnswerError(f"gold answer {gold!r} is not an option letter")
    return _option(prediction) == wanted


def _option(text: str) -> str | None:
    match = _OPTION.fullmatch(_TEXT_COMMAND.sub(r"\1", unwrap(text)).strip())
    if match is None or _FURTHER_OPTION.search(match["text"] or ""):
        return None
    return match[1].upper()


def compare_choices(gold: str, prediction: str, context: AnswerContext) -> bool:
    """Whether both name the same set of option letters: ``A, B, D``, ``ABD``, ``(A) and (B), (D)`` are one.

    Letters are those of the question's options, A to H without any. A prediction that repeats a letter names it once;
    one with anything else than letters, separators and the options' own words behind a bracketed letter names none.

    Raises:
        UnreadableAnswerError: the gold answer names no letters.
    """
    allowed = context.options or "ABCDEFGH"
    if (wanted := _option_set(gold, allowed)) is None:
        raise UnreadableAnswerError(f"gold answer {gold[:60]!r} names no option letters")
    return _option_set(prediction, allowed) == wanted


def _option_set(text: str, allowed: str) -> frozenset[str] | None:
    if len(text) > MAX_CHOICES_CHARACTERS:
        return None
    plain = " ".join(_CHOICES_DRESSING.sub(" ", _TEXT_COMMAND.sub(r" \1 ", unwrap(text))).split())
    if (single := _option(text)) is not None and single in allowed:
        return frozenset(single)
    letters = _CHOICES.fullmatch(plain)
    names = re.sub(r"\band\b|[^A-Za-z]", "", plain, flags=re.IGNORECASE).upper() if letters else ""
    return frozenset(names) if names and set(names) <= set(allowed) else None


def compare_text(gold: str, prediction: str) -> bool:
    """Whether both are the same text, upper and lower case kept apart.

    Compared after Unicode composition (NFC), without surrounding LaTeX text commands and quotation marks, and with
    every run of white space as one blank.
    """
    return _plain_text(gold) == _plain_text(prediction)


def _plain_text(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFC", unwrap(text)).split())
    while len(plain) > 1 and _QUOTES.get(plain[0]) == plain[-1]:
        plain = plain[1:-1].strip()
    return plain


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
        wanted = read_literal(gold)
    except (ValueError, SyntaxError, TypeError):
        raise UnreadableAnswerError(f"gold answer {gold[:60]!r} is not a Python literal") from None
    for spelling in dict.fromkeys((prediction, unwrap(prediction), _LATEX_ESCAPE.sub(r"\1", unwrap(prediction)))):
        with suppress(ValueError, SyntaxError, TypeError):
            if read_literal(spelling) == wanted:
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
    "choice": lambda gold, prediction, _: compare_choice(gold, prediction),
    "choices": compare_choices,
    "text": lambda gold, prediction, _: compare_text(gold, prediction),
    "python_output": lambda gold, prediction, _: compare_python_output(gold, prediction),
    "math": lambda gold, prediction, _: compare_math_cheaply(gold, prediction),
    "python_input": lambda _gold, _prediction, _context: None,
}


def compare_here(comparison: Comparison) -> Verdict | None:
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


def verdict_of(decide: Callable[[], bool | None]) -> Verdict | None:
    """The verdict of a decision, with its errors named; None stays None."""
    try:
        is_right = decide()
    except (UnreadableAnswerError, OversizedAnswerError, RecursionError, MemoryError):
        return "grader_error"
    return None if is_right is None else "correct" if is_right else "wrong"


def decide_here(comparisons: Sequence[Comparison]) -> list[Verdict]:
    """Decide without worker processes; what needs them is ``not_gradable_yet``."""
    return [compare_here(comparison) or "not_gradable_yet" for comparison in comparisons]

"""Decide sums, products, integrals and limits with SymPy.

May run for ever and belongs in a process that can be killed.

The reader's own normal form is not used, for it drops what counts: letters behind a number as units, indices of
numerals, the difference between a list and a set, and all digits behind the sixth.
"""

import re
from functools import lru_cache
from typing import Any

from advcluster_dagster.science.grading.errors import OversizedAnswerError, UnreadableAnswerError

_SYMBOLIC = re.compile(r"\\(?:sum|prod|int|iint|oint|lim)(?![a-z])")
# A range over more than 99,999 terms, and powers, factorials and binomial coefficients out of bounds.
_LONG_RANGE = re.compile(r"\\(?:sum|prod)[^^]{0,80}\^\s*\{?\s*(?:[0-9]{6,}|[0-9]+\s*\^)")
_HUGE = re.compile(
    r"\^\s*[{(]?\s*-?\s*(?:[0-9]{6,}|[0-9]+\s*[)}]?\s*[\^!])|[0-9]{5,}\s*!|!\s*[)}]+\s*!|\\binom\s*\{\s*[0-9]{5,}|\)\s*!\s*\)"
)
# What the library reads otherwise: it drops the index of a numeral and takes 3(4) for a mixed number.
_INDEXED_NUMERAL, _HIDDEN_PRODUCT = re.compile(r"[0-9]\s*_"), re.compile(r"(?<=[0-9)])\s*(?=\()|(?<=\))\s*(?=[0-9])")
_DIFFERENCE = 1 / 10**40


def is_symbolic(text: str) -> bool:
    """Whether a text holds a sum, product, integral or limit."""
    return _SYMBOLIC.search(text) is not None


def are_equal_symbolically(gold: str, prediction: str) -> bool:
    """Whether two texts in normal spelling are equal expressions; a prediction that is not read is wrong.

    Raises:
        UnreadableAnswerError: the gold answer is not read.
        OversizedAnswerError: one of the two is out of bounds.
        RecursionError, MemoryError: it took too much.
    """
    import sympy

    expected, given = _read(gold), _read(prediction)
    if expected is None:
        raise UnreadableAnswerError(f"gold answer {gold[:60]!r} is not read")
    if given is None:
        return False
    difference = (expected - given).doit()
    if difference.free_symbols:
        return bool(sympy.simplify(difference) == 0)
    size = max(abs(expected.doit().evalf(60)), abs(given.doit().evalf(60)))
    apart = abs(difference.evalf(60))
    return bool(size.is_finite and apart.is_comparable and apart <= size * _DIFFERENCE)


def symbolic_value(text: str) -> Any:
    """The real value of a sum, product, integral or limit as a SymPy number; None where it has none."""
    expression = _read(text)
    number = expression.doit().evalf(40) if expression is not None else None
    return number if number is not None and number.is_Number and number.is_finite else None


@lru_cache(maxsize=256)
def _read(text: str) -> Any:
    """The SymPy expression of a text; None where there is none."""
    if _LONG_RANGE.search(text) or _HUGE.search(text):
        raise OversizedAnswerError("a range or power out of bounds")
    if _INDEXED_NUMERAL.search(text):
        return None
    text = _HIDDEN_PRODUCT.sub(r" \\cdot ", text)
    import sympy
    from latex2sympy2_extended import latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig

    try:
        expression = latex2sympy(
            text, is_real=True, normalization_config=None, conversion_config=ConversionConfig(lowercase_symbols=False)
        )
    except (RecursionError, MemoryError):
        raise
    except Exception:  # any other error: the text is no mathematics
        return None
    return expression if isinstance(expression, sympy.Expr) else None

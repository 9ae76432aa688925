"""Compare sums, products, integrals and limits with SymPy.

SymPy may not terminate; call these functions in a process that can be killed.

The normalisation of the LaTeX parser is not used, because it loses information: letters after a number are dropped as
units, as are indices of numerals, the difference between a list and a set, and all digits after the sixth.
"""

import re
from functools import lru_cache
from typing import Any

from advcluster_dagster.science.grading.errors import OversizedAnswerError, UnreadableAnswerError

_SYMBOLIC = re.compile(r"\\(?:sum|prod|int|iint|oint|lim)(?![a-z])")
# Ranges of more than 99,999 terms; powers, factorials and binomial coefficients out of bounds.
_LONG_RANGE = re.compile(r"\\(?:sum|prod)[^^]{0,80}\^\s*\{?\s*(?:[0-9]{6,}|[0-9]+\s*\^)")
_HUGE = re.compile(
    r"\^\s*[{(]?\s*-?\s*(?:[0-9]{6,}|[0-9]+\s*[)}]?\s*[\^!])|[0-9]{5,}\s*!|!\s*[)}]+\s*!|\\binom\s*\{\s*[0-9]{5,}|\)\s*!\s*\)"
)
# Text that the library parses differently: it drops the index of a numeral and reads 3(4) as a mixed number.
_INDEXED_NUMERAL, _HIDDEN_PRODUCT = re.compile(r"[0-9]\s*_"), re.compile(r"(?<=[0-9)])\s*(?=\()|(?<=\))\s*(?=[0-9])")
_DIFFERENCE = 1 / 10**40


def is_symbolic(text: str) -> bool:
    """Whether a text contains a sum, product, integral or limit."""
    return _SYMBOLIC.search(text) is not None


def are_equal_symbolically(gold: str, prediction: str) -> bool:
    """Whether two normalised texts are equal expressions; an unreadable prediction is wrong.

    Raises:
        UnreadableAnswerError: the gold answer cannot be parsed.
        OversizedAnswerError: one of the texts is out of bounds.
        RecursionError, MemoryError: the comparison needs too much stack or memory.
    """
    import sympy

    expected, given = _read(gold), _read(prediction)
    if expected is None:
        raise UnreadableAnswerError(f"gold answer {gold[:60]!r} cannot be parsed")
    if given is None:
        return False
    difference = (expected - given).doit()
    if difference.free_symbols:
        return bool(sympy.simplify(difference) == 0)
    size = max(abs(expected.doit().evalf(60)), abs(given.doit().evalf(60)))
    apart = abs(difference.evalf(60))
    return bool(size.is_finite and apart.is_comparable and apart <= size * _DIFFERENCE)


def symbolic_value(text: str) -> Any:
    """The real value of a sum, product, integral or limit as a SymPy number; None if it has none."""
    expression = _read(text)
    number = expression.doit().evalf(40) if expression is not None else None
    return number if number is not None and number.is_Number and number.is_finite else None


@lru_cache(maxsize=256)
def _read(text: str) -> Any:
    """Parse a text into a SymPy expression; None if it cannot be parsed."""
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
    except Exception:  # any other error: the text is not mathematics
        return None
    return expression if isinstance(expression, sympy.Expr) else None

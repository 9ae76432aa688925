"""Normalise signs and numerals of mathematics, and bound the size of what is parsed."""

import re
from functools import lru_cache

from advcluster_dagster.science.grading.errors import OversizedAnswerError
from advcluster_dagster.science.grading.markup import unwrap

# Bounds beyond which an answer is not parsed; gold answers are far smaller.
MAX_CHARACTERS = 1_000
MAX_DEPTH = 24

_SIGNS = {
    "\u2212": "-", "\u2013": "-", "\u00d7": r"\times ", "\u22c5": r"\cdot ", "\u00b7": r"\cdot ", "\u00f7": r"\div ",
    "\u2264": r"\le ", "\u2265": r"\ge ", "\u2260": r"\ne ", "\u2248": r"\approx ", "\u2261": r"\equiv ",
    "\u222a": r"\cup ", "\u2229": r"\cap ", "\u2205": r"\emptyset ", "\u2208": r"\in ", "\u221e": r"\infty ",
    "\u00b1": r"\pm ", "\u2213": r"\mp ", "\u211d": r"\mathbb{R}", "\u03c0": r"\pi ", "\u03b8": r"\theta ",
    "\u03b1": r"\alpha ", "\u03b2": r"\beta ", "\u03bb": r"\lambda ", "\u00b0": r"^\circ ", "\u221a": r"\sqrt ",
    "\u27e8": r"\langle ", "\u27e9": r"\rangle ", "\u2216": r"\setminus ", "\u2026": r"\ldots ", "\u2044": "/",
    "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " ", "\u2002": " ", "\u2003": " ", "\u200a": " ",
    "\u200b": "", "\ufeff": "", "\u2032": "'", "\u2033": '"',
}  # fmt: skip
_FRACTIONS = {
    "\u00bd": "1/2", "\u2153": "1/3", "\u2154": "2/3", "\u00bc": "1/4", "\u00be": "3/4", "\u2155": "1/5",
    "\u2156": "2/5", "\u2157": "3/5", "\u2158": "4/5", "\u2159": "1/6", "\u215a": "5/6", "\u2150": "1/7",
    "\u215b": "1/8", "\u215c": "3/8", "\u215d": "5/8", "\u215e": "7/8", "\u2151": "1/9", "\u2152": "1/10",
}  # fmt: skip
_CHARACTERS = str.maketrans(
    _SIGNS | {char: r"\frac{{{}}}{{{}}}".format(*value.split("/")) for char, value in _FRACTIONS.items()}
)
_RAISED = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207f"
_LOWERED = "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089\u208a\u208b"
_TO_PLAIN = str.maketrans(_RAISED + _LOWERED, "0123456789+-n" + "0123456789+-")
_RAISED_RUN, _LOWERED_RUN = re.compile(f"[{_RAISED}]+"), re.compile(f"[{_LOWERED}]+")

_REPEATING = re.compile(
    r"(?<![0-9])([0-9]{0,20})\.([0-9]{0,20})\\(?:overline|bar|dot)\s*(?:\{\s*([0-9]{1,20})\s*\}|([0-9]))"
)
_DOTTED = re.compile(
    r"(?<![0-9])([0-9]{0,20})\.([0-9]{0,20})\\dot\s*\{?([0-9])\}?([0-9]{0,20})\\dot\s*(?:\{([0-9])\}|([0-9]))"
)
# 0.333... and 0.1666...: the last digit occurs at least three times.
_GOING_ON = re.compile(
    r"(?<![0-9])([0-9]{0,20})\.([0-9]{0,20}?)([0-9])\3{2,20}\s*(?:\\(?:ldots|dots|cdots)(?![a-z])|\.\.\.)"
)

_REPLACEMENTS = (
    (r"\$", ""), ("$", ""), (r"\quad", " "), (r"\qquad", " "), ("~", " "), ("{,}", ","), ("**", "^"),
    (r"\dfrac", r"\frac"), (r"\tfrac", r"\frac"), (r"\cfrac", r"\frac"), (r"\displaystyle", ""),
    (r"\textstyle", ""), (r"\limits", ""), (r"\nolimits", ""),
)  # fmt: skip
# Not after a backslash: matrix rows end in two backslashes.
_DELIMITERS, _SPACES = re.compile(r"(?<!\\)\\[()\[\]!]"), re.compile(r"(?<!\\)\\[,;: ]")
_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lrm]?)(?![a-zA-Z])\s*\.?")
_SCIENTIFIC = re.compile(r"(?<![\\A-Za-z0-9.])([0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]+)(?![0-9A-Za-z])")
_NESTING = re.compile(r"\\[{}]|[{}()\[\]]")
_MANY_SIGNS = re.compile(r"(?:[-+]\s*){30,}")


def spell_characters(text: str) -> str:
    r"""Convert Unicode signs, superscripts, subscripts and fractions to LaTeX, and repeating decimals to fractions.

    ``10⁻⁶`` becomes ``10^{-6}``, ``2½`` becomes ``2\frac{1}{2}``, ``0.1\overline{6}`` becomes ``\frac{15}{90}``.
    """
    if not text.isascii():
        text = _RAISED_RUN.sub(lambda run: f"^{{{run[0].translate(_TO_PLAIN)}}}", text)
        text = _LOWERED_RUN.sub(lambda run: f"_{{{run[0].translate(_TO_PLAIN)}}}", text)
        text = text.translate(_CHARACTERS)
    if "." in text:
        text = _DOTTED.sub(lambda m: _repeating(m[1], m[2], m[3] + m[4] + (m[5] or m[6])), text)
        text = _REPEATING.sub(lambda m: _repeating(m[1], m[2], m[3] or m[4]), text)
        text = _GOING_ON.sub(lambda m: _repeating(m[1], m[2], m[3]), text)
    return text


def _repeating(whole: str, start: str, period: str) -> str:
    """A repeating decimal as a LaTeX fraction: 0.1(6) = (16 - 1) / 90."""
    top = int(whole + start + period or "0") - int(whole + start or "0")
    return rf"\frac{{{top}}}{{{'9' * len(period)}{'0' * len(start)}}}"


@lru_cache(maxsize=4096)
def normalise_math(text: str) -> str:
    r"""Strip formatting from an answer and normalise the spelling of signs, roots and powers of ten.

    ``1.5e3`` becomes ``1.5\times 10^{3}``; ``\left``, ``\right`` and a trailing full stop are removed.
    """
    plain = spell_characters(unwrap(text))
    for old, new in _REPLACEMENTS:
        if old in plain:
            plain = plain.replace(old, new)
    plain = _SIZES.sub("", _SPACES.sub(" ", _DELIMITERS.sub("", plain)))
    plain = _SCIENTIFIC.sub(lambda match: rf"{match[1]}\times 10^{{{match[2]}}}", plain)
    return unwrap(" ".join(plain.split()).rstrip(".").strip()).strip()


def check_size(text: str) -> None:
    """Reject text that is too long or too deeply nested; powers and factorials are bounded during evaluation.

    Raises:
        OversizedAnswerError: more than 1,000 characters, more than 24 levels of brackets, or 30 signs in a row.
    """
    if len(text) > MAX_CHARACTERS:
        raise OversizedAnswerError(f"{len(text)} characters")
    depth = 0
    for bracket in _NESTING.findall(text):
        depth += 1 if bracket in ("{", "(", "[", r"\{") else -1
        if depth > MAX_DEPTH:
            raise OversizedAnswerError("nested too deeply")
    if _MANY_SIGNS.search(text):
        raise OversizedAnswerError("too many signs in a row")

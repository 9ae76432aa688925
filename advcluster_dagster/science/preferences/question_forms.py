r"""Normalise questions so that copies with typographic differences are equal, and extract their numbers.

White space, case, sentence punctuation, Unicode forms, LaTeX spelling, and the order and letters of answer options are
normalised; numbers, operators, brackets and words are preserved.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from advcluster_dagster.science.grading.markup import without_bold
from advcluster_dagster.science.grading.notation import spell_characters
from advcluster_dagster.science.grading.number_words import NUMBER_WORDS, read_number_words

#: Placeholder for numbers in masked forms.
MASK = "#"

_QUOTES = str.maketrans(dict.fromkeys("'\"`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2032\u2033"))
_DASHES = re.compile("[\u2010-\u2015\u2212]|(?<=\\s)--+(?=\\s)")
_WRAPPING = re.compile(
    r"\\(?:text\w*|math(?:rm|bf|it|sf|tt|bb|cal|normal)|operatorname\*?|mbox|hbox|bf|rm|it|displaystyle|textstyle"
    r"|limits|nolimits|left|right|[bB]igg?[lrm]?|boxed|fbox)(?![A-Za-z])"
)
_THIN = re.compile(r"(?<=\d)(?:\\[,!]|\{,\}|[\u00a0\u202f\u2009])(?=\d{3}(?!\d))")
_GAPS = re.compile(r"\\(?:[,;:!> ]|q?quad(?![A-Za-z])|\\|[()\[\]])|~|\$|\\\$")
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|([0-9A-Za-z]))\s*(?:\{([^{}]*)\}|([0-9A-Za-z]))")
_SIMPLE = re.compile(r"\w*(?:\.\w+)?")
# Synonymous commands, words and signs.
_SAME: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), spelling)
    for pattern, spelling in (
        (r"\\(?:cdot|times|ast)(?![a-z])|(?<=\d)\s*[x\u2715](?=\s*\d)", "*"),
        (r"\*\*", "^"),
        (r"\\div(?![a-z])", "/"),
        (r"\\(?:leqslant|leq|le)(?![a-z])", "<="),
        (r"\\(?:geqslant|geq|ge)(?![a-z])", ">="),
        (r"\\(?:neq|ne)(?![a-z])", "!="),
        (r"\\lt(?![a-z])", "<"),
        (r"\\gt(?![a-z])", ">"),
        (r"\\(?:rightarrow|to)(?![a-z])|->", " to "),
        (r"\\[lc]?dots(?![a-z])|\.{2,}", " "),
        (r"\^\s*\{?\s*\\circ\s*\}?", " degrees "),
        (r"\\?%|\bper\s?cent\b", " percent "),
        (r"\\[\"'`^](?=[a-z])", ""),
        (r"\\([a-z]+)", r" \1 "),
        (r"[\\{}]", ""),
    )
)
_LETTERS = "abcdefghij"
_MARK = r"(?:[(\[]([a-j])[)\]][.:]?|([a-j])[).:](?=\s))"
# At line starts, else after white space.
_OPTION_MARKS = (
    re.compile(rf"^[ \t]*(?:[-*\u2022][ \t]*)?(?:option[ \t]+)?{_MARK}", re.MULTILINE),
    re.compile(rf"(?:(?<=\s)|^){_MARK}"),
)
_PARAGRAPH, _LINE = re.compile(r"\n\s*\n"), re.compile(r"\n")
_EMPTY_LINES = re.compile(r"\n{3,}")
# Words in brackets; brackets in formulas are kept.
_ASIDE = re.compile(
    r"(?:(?<=\s)|^)\((?=[^()]{0,200}?[^\W\d_]{2})([^()\d+*/=<>^\-]{1,200})\)(?=[\s.,;:?!]|$)", re.MULTILINE
)
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+\.\d+|(?<![\w.])\.\d+|\d+")
_NUMBER_WORD = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_NUMBER_WORDS = re.compile(rf"\b(?:{_NUMBER_WORD})(?:(?:\s*-\s*|\s+)(?:and\s+)?(?:{_NUMBER_WORD}))*\b")
_MINUS = re.compile(r"(?<![\w)\]])(?<![\w)\]]\s)-(?=\d|\.\d)")
# Sentence punctuation; a point or colon between letters, a factorial and a minus sign are kept.
_DROPPED = re.compile(
    r"[,;?]|(?<!\S)[.:!](?=\S)|\.(?=[)\]]?(?:\s|$))|:(?=\s|$)"
    r"|(?<=[^\W\d_]{2})!(?=\s|$)|(?<=[^\W\d_]{2})-(?=[^\W\d_]{2})"
)
_APART = re.compile(r"\s*([^\w\s])\s*")


class QuestionForms(NamedTuple):
    """Results of :func:`normalise_question`, :func:`masked_question` and :func:`numbers_of` for one question."""

    normal: str
    masked: str
    numbers: tuple[str, ...]


def normalise_question(text: str) -> str:
    r"""Normalise a question; copies with only typographic differences have equal forms.

    The form is in lower case and consists of words, numbers, operators and brackets. Numbers are normalised to decimal
    digits (``1,000`` and ``one thousand`` are 1000, ``.50`` is 0.5). Answer options marked A to J lose their letters
    and are sorted; text after them, following an empty line, belongs to the question.

    Args:
        text: A question in plain text, Markdown or LaTeX.

    >>> normalise_question(r"Find $\dfrac{1}{2}\cdot 1{,}000$.")
    'find 1/2*1000'
    >>> normalise_question("Which? (A) Red (B) Blue") == normalise_question("which?  a) blue  b) red")
    True
    """
    return question_forms(text).normal


def masked_question(text: str) -> str:
    """Like :func:`normalise_question` with ``#`` for every number; questions of one template have equal forms.

    >>> masked_question("Buy 3 pens for $1.50.") == masked_question("Buy twelve pens for $2.")
    True
    """
    return question_forms(text).masked


def numbers_of(text: str) -> tuple[str, ...]:
    """The numbers of a question with repetitions, in normalised decimal form, sorted as text.

    Includes number words ("three", "twenty-one"), exponents and digits within names. A sign is part of the number
    unless it joins two terms. The letters of answer options are not numbers.

    >>> numbers_of("She pays $1,000 for three and .50 more; -2 is left.")
    ('-2', '0.5', '1000', '3')
    """
    return question_forms(text).numbers


def question_forms(text: str) -> QuestionForms:
    """Compute all three forms of a question."""
    stem, options = _split_options(_one_notation(text))
    parts = [_with_numbers(part) for part in (stem, *options)]
    numbers = sorted(number for part in parts for number in _signed(part))
    return QuestionForms(_joined(parts), _joined([_NUMBER.sub(MASK, part) for part in parts]), tuple(numbers))


def _one_notation(text: str) -> str:
    """Convert to lower case and normalise LaTeX, signs and spaces; line breaks are kept."""
    plain = unicodedata.normalize("NFKC", spell_characters(_THIN.sub("", without_bold(text))))
    plain = _WRAPPING.sub(" ", _DASHES.sub("-", _spaced(plain).translate(_QUOTES)))
    plain = _GAPS.sub(_gap, plain)
    for _ in range(8):  # fractions within fractions
        flat = _FRACTION.sub(_fraction, plain)
        if flat == plain:
            break
        plain = flat
    plain = _spaced(plain).casefold()
    for pattern, spelling in _SAME:
        plain = pattern.sub(spelling, plain)
    return _spaced(plain)


def _spaced(text: str) -> str:
    """Collapse white space within lines, and consecutive empty lines."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines))


def _gap(match: re.Match[str]) -> str:
    """A blank for a LaTeX space, nothing for a delimiter."""
    return "" if match[0] in ("$", r"\$", r"\(", r"\)", r"\[", r"\]", r"\!") else " "


def _fraction(match: re.Match[str]) -> str:
    top, bottom = (
        part.strip() if _SIMPLE.fullmatch(part.strip()) else f"({part.strip()})"
        for part in (match[1] or match[2] or "", match[3] or match[4] or "")
    )
    return f" {top}/{bottom} "


def _split_options(text: str) -> tuple[str, list[str]]:
    """Split into the question and its options in order, without letters; no options unless listed from A on."""
    for pattern in _OPTION_MARKS:
        marks = list(pattern.finditer(text))
        letters = "".join(match[1] or match[2] for match in marks)
        start = letters.rfind("ab")
        if start >= 0:
            pairs = zip(letters[start:], _LETTERS, strict=False)
            n_listed = next((n for n, (letter, due) in enumerate(pairs) if letter != due), len(letters) - start)
            return _cut(text, marks[start : start + min(n_listed, len(_LETTERS))])
    return text, []


def _cut(text: str, marks: list[re.Match[str]]) -> tuple[str, list[str]]:
    ends = [mark.start() for mark in marks[1:]]
    inner = [text[mark.end() : end] for mark, end in zip(marks, ends, strict=False)]
    has_line_each = all("\n" in option and "\n" not in option.strip() for option in inner)
    last = (_LINE if has_line_each else _PARAGRAPH).search(text, marks[-1].end())
    end = last.start() if last else len(text)
    return f"{text[: marks[0].start()]} {text[end:]}", [*inner, text[marks[-1].end() : end]]


def _with_numbers(text: str) -> str:
    """Convert every number, including number words, to plain decimal digits."""
    digits = _NUMBER_WORDS.sub(_in_digits, text) if any(word in text for word in NUMBER_WORDS) else text
    return _NUMBER.sub(lambda match: _decimal(match[0]), digits)


def _in_digits(match: re.Match[str]) -> str:
    value = read_number_words(match[0])
    if value is not None:
        return str(value)
    words = re.split(r"(\s*-\s*|\s+)", match[0])
    return "".join(word if (number := read_number_words(word)) is None else str(number) for word in words)


@lru_cache(maxsize=4096)
def _decimal(digits: str) -> str:
    """Strip separators, leading zeros and trailing decimal zeros from a number."""
    whole, _, decimals = digits.replace(",", "").partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _signed(text: str) -> list[str]:
    """The numbers of a text with their signs."""
    behind_minus = {match.end() for match in _MINUS.finditer(text)}
    return [f"-{match[0]}" if match.start() in behind_minus else match[0] for match in _NUMBER.finditer(text)]


def _joined(parts: list[str]) -> str:
    """Join the question and its sorted options."""
    stem, *options = (_tight(part) for part in parts)
    return " | ".join([stem, *sorted(options)])


def _tight(text: str) -> str:
    """Strip sentence punctuation, and blanks except between words and numbers."""
    plain = _DROPPED.sub(" ", _ASIDE.sub(r" \1 ", text))
    return " ".join(_APART.sub(r"\1", plain).split())

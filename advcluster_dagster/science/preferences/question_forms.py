r"""Questions in one spelling, so that copies that differ in typing alone are equal, and the numbers they hold.

White space, case, punctuation of sentences, forms of Unicode, the spelling of LaTeX and the order and letters of answer
options are levelled out; numbers, operators, brackets and words are kept.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from advcluster_dagster.science.grading.markup import without_bold
from advcluster_dagster.science.grading.notation import spell_characters
from advcluster_dagster.science.grading.number_words import NUMBER_WORDS, read_number_words

#: What stands for a number in a form whose numbers are masked.
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
# Commands, words and signs of one meaning.
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
# At the beginnings of lines, else behind blanks.
_OPTION_MARKS = (
    re.compile(rf"^[ \t]*(?:[-*\u2022][ \t]*)?(?:option[ \t]+)?{_MARK}", re.MULTILINE),
    re.compile(rf"(?:(?<=\s)|^){_MARK}"),
)
_PARAGRAPH, _LINE = re.compile(r"\n\s*\n"), re.compile(r"\n")
_EMPTY_LINES = re.compile(r"\n{3,}")
# Words in brackets; in formulas, brackets are kept.
_ASIDE = re.compile(
    r"(?:(?<=\s)|^)\((?=[^()]{0,200}?[^\W\d_]{2})([^()\d+*/=<>^\-]{1,200})\)(?=[\s.,;:?!]|$)", re.MULTILINE
)
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+\.\d+|(?<![\w.])\.\d+|\d+")
_NUMBER_WORD = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_NUMBER_WORDS = re.compile(rf"\b(?:{_NUMBER_WORD})(?:(?:\s*-\s*|\s+)(?:and\s+)?(?:{_NUMBER_WORD}))*\b")
_MINUS = re.compile(r"(?<![\w)\]])(?<![\w)\]]\s)-(?=\d|\.\d)")
# Punctuation of sentences; a point or colon between letters, a factorial and a minus sign are kept.
_DROPPED = re.compile(
    r"[,;?]|(?<!\S)[.:!](?=\S)|\.(?=[)\]]?(?:\s|$))|:(?=\s|$)"
    r"|(?<=[^\W\d_]{2})!(?=\s|$)|(?<=[^\W\d_]{2})-(?=[^\W\d_]{2})"
)
_APART = re.compile(r"\s*([^\w\s])\s*")


class QuestionForms(NamedTuple):
    """What :func:`normalise_question`, :func:`masked_question` and :func:`numbers_of` return for one question."""

    normal: str
    masked: str
    numbers: tuple[str, ...]


def normalise_question(text: str) -> str:
    r"""The question in one spelling; copies that differ in typing alone have equal forms.

    The form is in lower case and holds words, numbers, operators and brackets. Numbers keep their value and lose their
    spelling (``1,000`` and ``one thousand`` are 1000, ``.50`` is 0.5). Answer options behind the letters A to J lose
    their letters and are sorted; what follows them behind an empty line belongs to the question.

    Args:
        text: a question in plain text, Markdown or LaTeX.

    >>> normalise_question(r"Find $\dfrac{1}{2}\cdot 1{,}000$.")
    'find 1/2*1000'
    >>> normalise_question("Which? (A) Red (B) Blue") == normalise_question("which?  a) blue  b) red")
    True
    """
    return question_forms(text).normal


def masked_question(text: str) -> str:
    """:func:`normalise_question` with ``#`` in the place of every number; siblings of one template have equal forms.

    >>> masked_question("Buy 3 pens for $1.50.") == masked_question("Buy twelve pens for $2.")
    True
    """
    return question_forms(text).masked


def numbers_of(text: str) -> tuple[str, ...]:
    """The numbers of a question, each as often as it occurs, sorted as text: decimal, without spelling.

    A number in words counts ("three", "twenty-one"), and so do exponents and digits within names. A sign is part of the
    number unless it joins two terms. The letters of answer options are no numbers.

    >>> numbers_of("She pays $1,000 for three and .50 more; -2 is left.")
    ('-2', '0.5', '1000', '3')
    """
    return question_forms(text).numbers


def question_forms(text: str) -> QuestionForms:
    """All three forms of a question at once."""
    stem, options = _split_options(_one_notation(text))
    parts = [_with_numbers(part) for part in (stem, *options)]
    numbers = sorted(number for part in parts for number in _signed(part))
    return QuestionForms(_joined(parts), _joined([_NUMBER.sub(MASK, part) for part in parts]), tuple(numbers))


def _one_notation(text: str) -> str:
    """The text in lower case with one spelling of LaTeX, signs and spaces; line breaks are kept."""
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
    """The text with one blank for each run of white space in a line, and at most one empty line in a row."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines))


def _gap(match: re.Match[str]) -> str:
    """A blank for a space of LaTeX, nothing for a delimiter."""
    return "" if match[0] in ("$", r"\$", r"\(", r"\)", r"\[", r"\]", r"\!") else " "


def _fraction(match: re.Match[str]) -> str:
    top, bottom = (
        part.strip() if _SIMPLE.fullmatch(part.strip()) else f"({part.strip()})"
        for part in (match[1] or match[2] or "", match[3] or match[4] or "")
    )
    return f" {top}/{bottom} "


def _split_options(text: str) -> tuple[str, list[str]]:
    """The question and its options without their letters, in order; no options where none are listed from A on."""
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
    """The text with every number in plain decimal digits, words for numbers included."""
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
    """A number without separators, leading zeros and zeros behind its decimals."""
    whole, _, decimals = digits.replace(",", "").partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _signed(text: str) -> list[str]:
    """The numbers of a text, with the signs that belong to them."""
    behind_minus = {match.end() for match in _MINUS.finditer(text)}
    return [f"-{match[0]}" if match.start() in behind_minus else match[0] for match in _NUMBER.finditer(text)]


def _joined(parts: list[str]) -> str:
    """The question, then its options, sorted."""
    stem, *options = (_tight(part) for part in parts)
    return " | ".join([stem, *sorted(options)])


def _tight(text: str) -> str:
    """The text without the punctuation of sentences, and with blanks between words and numbers alone."""
    plain = _DROPPED.sub(" ", _ASIDE.sub(r" \1 ", text))
    return " ".join(_APART.sub(r"\1", plain).split())

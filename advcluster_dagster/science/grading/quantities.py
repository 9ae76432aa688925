r"""Parse numbers with units exactly, and compare them exactly or within a tolerance (paper section 3.2.1).

Accepted: integers and decimals, commas or blanks between well-formed groups of three digits, a/b, ``\frac{a}{b}``,
mixed numbers, repeating decimals, powers of ten (1.5e3, ``1.5 \times 10^{3}``, 10⁻⁶), thousand to trillion, a currency
sign or code before or after the number, a unit after it, several units of one dimension (5 ft 10 in). Any of these may
follow an equation (``x = 2+3 = 5``: the last side counts), an approximation sign or ``#``, be in quotation marks or
brackets, and be followed by words after a comma that neither state a number nor retract anything, or by the number
repeated in brackets (``6 (six)``). Rejected: decimal commas, bounds, ranges, lists, and expressions to be evaluated.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from advcluster_dagster.science.grading.context import AnswerContext, Tolerance
from advcluster_dagster.science.grading.errors import UnreadableAnswerError
from advcluster_dagster.science.grading.markup import unwrap
from advcluster_dagster.science.grading.number_words import read_number_words
from advcluster_dagster.science.grading.statements import CHANGING_WORDS, last_side
from advcluster_dagster.science.grading.units import CURRENCIES, convert, plain_unit, read_unit, symbol_of
from advcluster_dagster.science.grading.vocabulary import is_word

# Bounds that keep adversarial numerals cheap; gold answers are far smaller.
MAX_CHARACTERS = 400
MAX_EXPONENT = 400
_PLAIN = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_GROUPED = r"[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+)(?!,?[0-9])(?:\.[0-9]*)?"
_DECIMAL = rf"(?:{_GROUPED}|{_PLAIN})"
_SIGN = r"(?:[+-]\s*)?"
_CURRENCY = "|".join(re.escape(sign) for sign in CURRENCIES)
_NUMBER = re.compile(
    rf"(?P<sign>{_SIGN})(?P<currency>(?:{_CURRENCY})\s*)?(?P<sign2>{_SIGN})"
    rf"(?:(?P<whole>[0-9]+)\s*(?=\\frac|(?<=\s)[0-9]+\s*/))?"
    rf"(?:\\frac\s*(?:\{{\s*(?P<top>{_SIGN}{_DECIMAL})\s*\}}\s*\{{\s*(?P<bottom>{_DECIMAL})\s*\}}"
    rf"|(?P<top1>[0-9])\s*(?P<bottom1>[0-9]))"
    rf"|(?P<over>{_DECIMAL})\s*/\s*(?P<under>{_DECIMAL})(?![0-9])"
    rf"|(?P<ten>10)\s*(?:\^|\*\*)\s*(?P<power>\{{\s*{_SIGN}[0-9]+\s*\}}|{_SIGN}[0-9]+)"
    rf"|(?P<decimal>{_DECIMAL}))"
    rf"(?:[eE](?P<exponent>[+-]?[0-9]+)"
    rf"|\s*(?:\\times|\\cdot|\*|x)\s*10\s*(?:\^|\*\*)\s*(?P<scale>\{{\s*{_SIGN}[0-9]+\s*\}}|{_SIGN}[0-9]+))?"
)
_BEHIND = re.compile(r"(?P<unit>[^,()]*)(?:\((?P<again>[^()]*)\))?(?P<more>[^,()]*)(?:,(?P<words>.*))?", re.DOTALL)
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_WHOLE_AND_FRACTION = re.compile(r"(?<![0-9.])([0-9]+) and (?=[0-9]+\s*/|\\frac)")
_REMARKS = frozenset({"approximately", "approx", "approx.", "rounded", "total", "in total", "altogether", "in all"})
_MONEY_SCALES = {"k": 3, "K": 3, "M": 6, "B": 9, "mn": 6, "bn": 9}
_WORD = (
    "[A-Za-z\u00b5\u03bc\u03a9\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u00a2$\u00b0%\u00c5]"
    "[A-Za-z\u00b5\u03bc\u03a9\u00b0']{0,20}"
)
_UNIT = re.compile(rf"{_WORD}(?:\^?-?[0-9])?(?:[\s/*.-]+{_WORD}(?:\^?-?[0-9])?){{0,7}}")
# A single letter counts as a unit only if listed here: "5 x" is a product, "5 m" a length.
_ONE_LETTER_UNITS = frozenset("mgsAKNJWVCTFHLhMd\u03a9\u20ac\u00a3\u00a5\u20b9\u00a2$\u00b0%\u00c5")
# Words that do not say what is counted.
_FILLERS = re.compile(
    r"\b(?:in (?:total|all|sum)|altogether|overall|total|left|remaining|of|every|each|exactly|old|as required)\b"
)
_COMPOUND_PART = re.compile(r"(?:,\s*|and\s+|,\s*and\s+)?([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\.?\s*")
_FEET_AND_INCHES = re.compile(r"([0-9]+)\s*'\s*([0-9]+(?:\.[0-9]+)?)\s*(?:\"|'')")


_PLAIN_CONTEXT = AnswerContext()
_EXACT = Tolerance(Fraction(0))


@dataclass(frozen=True)
class Quantity:
    """A number and its unit in plain characters; the unit is empty if there is none."""

    value: Fraction
    unit: str


def compare_numeric(gold: str, prediction: str, context: AnswerContext = _PLAIN_CONTEXT) -> bool:
    """Whether both are the same number, within the context's tolerance, or exactly if it has none.

    Units are compared only if both have one (the gold answer's may come from the context); then they must have the
    same dimension and are converted. Currencies are never converted. A percent sign is a unit, so 50% equals 50 and
    differs from 0.5; a number below 1 never equals a percentage unless both have the sign. Without a relative
    tolerance the comparison is symmetric. If the context allows several values, they are separated by commas,
    semicolons or "and".

    Raises:
        UnreadableAnswerError: the gold answer is not a number.
    """
    parts = _values(gold) if context.is_multiple else [gold]
    expected = [read_quantity(part) for part in parts]
    if not expected or None in expected:
        raise UnreadableAnswerError(f"gold answer {gold[:60]!r} is not a number")
    given = [read_quantity(part) for part in (_values(prediction) if context.is_multiple else [prediction])]
    return are_same([w for w in expected if w], given, context)


def are_same(expected: list[Quantity], given: list[Quantity | None], context: AnswerContext) -> bool:
    """Whether the given numbers match the expected ones one to one, in order if the context requires it."""
    if len(expected) != len(given) or None in given:
        return False
    pairs = [(w, f) for w, f in zip(expected, given, strict=True) if f is not None]
    if context.is_ordered or len(pairs) == 1:
        return all(_is_same(w, f, context) for w, f in pairs)
    # With one tolerance for all, matching in sorted order succeeds if any matching does.
    ordered = zip(sorted(expected, key=_size), sorted((f for _, f in pairs), key=_size), strict=True)
    return all(_is_same(w, f, context) for w, f in ordered)


def _size(quantity: Quantity) -> Fraction:
    return quantity.value


def _is_same(expected: Quantity, given: Quantity, context: AnswerContext) -> bool:
    tolerance = context.tolerance or _EXACT
    value: Fraction | None = given.value
    unit = expected.unit or plain_unit(context.unit)
    if "%" in (unit, given.unit) and not (unit and given.unit) and 0 < abs(expected.value) < 1:
        return False  # neither 0.125% nor 12.5% equals 0.125
    if unit and given.unit and unit != given.unit:
        value = convert(given.value, given.unit, unit)
    return value is not None and tolerance.admits(expected.value, value)


def _values(text: str) -> list[str]:
    """Split a list at commas (not thousands separators), ";", "and" or "or"."""
    inner = unwrap(text)
    for old, new in ((r"\left", ""), (r"\right", ""), (r"\{", "("), (r"\}", ")")):
        inner = inner.replace(old, new)
    inner = inner.strip()
    if len(inner) > 1 and inner[0] in "([{" and inner[-1] in ")]}":
        inner = inner[1:-1]
    inner = re.sub(r"\\text\s*\{\s*(and|or)\s*\}", r" \1 ", inner)
    return [
        part for part in re.split(r"\s*(?:[,;]\s+|;|,(?![0-9]{3}(?![0-9]))|\band\b|\bor\b)\s*", inner) if part.strip()
    ]


@lru_cache(maxsize=8192)
def read_quantity(text: str) -> Quantity | None:
    """Parse a number with its unit; None for anything that is not exactly one number."""
    if len(text) > MAX_CHARACTERS:
        return None
    plain = last_side(text)
    if plain is None:
        return None
    return _compound(plain) or _quantity(_WHOLE_AND_FRACTION.sub(r"\1 ", plain))


def _quantity(plain: str) -> Quantity | None:
    if restated := re.fullmatch(r"([A-Za-z -]+)\(([^()]*)\)", plain):
        number = read_number_words(restated[1])
        again = _quantity(restated[2].strip()) if number is not None else None
        return again if again and again.value == number else None
    match = _NUMBER.match(plain)
    value = _value(match) if match else None
    if match is None or value is None:
        return None
    rest = plain[match.end() :].strip()
    word, _, after_scale = rest.partition(" ")
    if word.lower() in _SCALES:
        value, rest = value * 10 ** _SCALES[word.lower()], after_scale.strip()
    parts = _BEHIND.fullmatch(rest)
    words = parts["words"] or "" if parts else ""
    if parts is None or not (_is_harmless(words) or read_number_words(words) == value):
        return None
    is_attached = bool(rest) and not plain[match.end() : match.end() + 1].isspace()
    unit = unit_behind(f"{parts['unit']} {parts['more']}", is_attached)
    if match["currency"] and rest in _MONEY_SCALES:
        unit = rest
    if unit is None or not (parts["again"] is None or _restates(parts["again"], Quantity(value, unit))):
        return None
    currency = (match["currency"] or "").strip()
    if currency and unit in _MONEY_SCALES:
        value, unit = value * 10 ** _MONEY_SCALES[unit], ""
    return Quantity(value, f"{currency} {unit}".strip())


def _restates(text: str, quantity: Quantity) -> bool:
    """Whether a text in brackets repeats the number or names its unit."""
    for words in (text, re.sub(r"\s[a-z]+\s*\Z", "", text)):  # "six", "six clips"
        if (number := read_number_words(words)) is not None:
            return number == quantity.value
    if text.strip().lower() in _REMARKS:
        return True
    again = _quantity(text.strip())
    if again is not None:
        return again.value == quantity.value and "%" not in (again.unit, quantity.unit)
    return symbol_of(text.strip()) is not None and not quantity.unit


def _is_harmless(words: str) -> bool:
    """Whether words after a comma leave the number unchanged: no other number, no retraction."""
    plain = words.strip()
    if not plain:
        return True
    tokens = re.findall(r"[a-z']+", plain.lower())
    if not re.fullmatch(r"[A-Za-z' ,;:.!-]+", plain) or (CHANGING_WORDS - {"and"}) & set(tokens):
        return False
    return bool(tokens) and tokens[0] != "and" and all(len(token) > 1 or token == "a" for token in tokens)


def _compound(plain: str) -> Quantity | None:
    """Parse a compound of decreasing units of one dimension, such as 1 h 30 min, in the first unit."""
    plain = _FEET_AND_INCHES.sub(r"\1 ft \2 in", plain_unit(plain))
    parts = list(_compound_parts(plain))
    if len(parts) < 2:
        return None
    total, first = parts[0]
    factor = read_unit(first).factor
    for number, unit in parts[1:]:
        size = read_unit(unit)
        if size.powers != read_unit(first).powers or size.factor >= factor or not size.powers:
            return None
        factor = size.factor
        total += number * factor / read_unit(first).factor
    return Quantity(total, first)


def _compound_parts(plain: str) -> Iterator[tuple[Fraction, str]]:
    """Yield each number and its unit; nothing unless they cover the whole text."""
    position, parts = 0, []
    while (match := _COMPOUND_PART.match(plain, position)) and symbol_of(match[2]) is not None:
        parts.append((Fraction(match[1]), match[2]))
        position = match.end()
    if position == len(plain):
        yield from parts


def _value(match: re.Match[str]) -> Fraction | None:
    """The matched number; None for division by zero, two signs, or a power of ten out of bounds."""
    part = match.groupdict()
    numerator = part["top"] or part["top1"] or part["over"]
    denominator = part["bottom"] or part["bottom1"] or part["under"]
    exponent = _integer(part["exponent"] or part["scale"] or part["power"] or "0")
    signs = [sign for sign in (part["sign"].strip(), part["sign2"].strip()) if sign]
    if len(signs) > 1 or abs(exponent) > MAX_EXPONENT:
        return None
    value = _fraction(numerator or ("1" if part["ten"] else part["decimal"]))
    if denominator:
        divisor = _fraction(denominator)
        if divisor == 0:
            return None
        value /= divisor
    if part["whole"]:
        if not denominator or not 0 <= value < 1:
            return None
        value += int(part["whole"])
    return (-value if "-" in signs else value) * Fraction(10) ** exponent


def _fraction(decimal: str) -> Fraction:
    return Fraction(re.sub(r"[,\s]", "", decimal))


def _integer(text: str) -> int:
    return int(re.sub(r"[{}\s]", "", text))


def unit_behind(text: str, is_attached: bool) -> str | None:
    """The unit after a number in plain characters; empty if there is none, None if the text is not a unit."""
    plain = " ".join(_FILLERS.sub(" ", plain_unit(text)).split())
    if not plain:
        return ""
    if plain in ("percent", "per cent"):
        return "%"
    words = re.findall(_WORD, plain)
    if not _UNIT.fullmatch(plain) or any(word.lower() in CHANGING_WORDS for word in words if word != "and"):
        return None
    if words and "and" in (words[0], words[-1]):
        return None
    if plain.split()[0] in ("squared", "cubed") or not all(_may_be_unit(word, words, is_attached) for word in words):
        return None
    return plain


def _may_be_unit(word: str, words: list[str], is_attached: bool) -> bool:
    """Whether a word after a number may be a unit or a counted thing rather than a factor."""
    if len(word) == 1:
        return word in _ONE_LETTER_UNITS or (word == "a" and len(words) > 1)
    if symbol_of(word) is not None or len(words) > 1:
        return True
    if is_attached:
        return is_word(word)
    return len(word) > 3 or (len(word) == 3 and any(letter in "aeiouAEIOU" for letter in word))

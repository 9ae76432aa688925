from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.grading.number_words import read_number_words
from advcluster_dagster.science.grading.quantities import Quantity, compare_numeric, read_quantity
from advcluster_dagster.science.grading.statements import last_side


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        (r"9\,500", 9500, ""),
        ("1 234 567", 1234567, ""),
        ("$9 500", 9500, "$"),
        ("\u20ac18", 18, "\u20ac"),
        ("50 cents", 50, "cents"),
        ("2\u00bd", Fraction(5, 2), ""),
        ("10\u207b\u2076", Fraction(1, 10**6), ""),
        ("3\u00d710\u2078 m/s", 3 * 10**8, "m/s"),
        (r"10\,k\Omega", 10, "k\u03a9"),
        (r"20^\circ\text{C}", 20, "\u00b0 C"),
        ("f(2) = 2^2+1 = 5", 5, ""),
        (r"\approx 5", 5, ""),
        ("# 18", 18, ""),
        ('"18"', 18, ""),
        ("(42)", 42, ""),
        ("72 clips, altogether", 72, "clips"),
        ("6 (six)", 6, ""),
        # 1 h 30 min = 1.5 h, 5 ft 10 in = 5 + 10/12 ft
        ("1 h 30 min", Fraction(3, 2), "h"),
        ("5'10\"", Fraction(35, 6), "ft"),
        (r"0.\overline{3}", Fraction(1, 3), ""),
        ("$2 million", 2_000_000, "$"),
    ],
)
def test_numbers_are_read_with_their_units(text, value, unit):
    assert read_quantity(text) == Quantity(Fraction(value), unit)


@pytest.mark.parametrize(
    "text",
    ["1,5", "1.234,5", "12 34", "9 500 1", "0 500", "72, 73", "72, not", "6 (seven)", "2x = 10", "x = 1, y = 2",
     "5 = x", "< 5", "5 to 7", "5 \u00b1 1", "5x", "5 x y", "five", "", "(4,2)", "x = 5 or 6", "5 dozen",
     "9**9**9 m", "1/0"],
)  # fmt: skip
def test_text_that_is_not_a_single_number_is_rejected(text):
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("m+n = 256+37 = 293", "293"),
        ("5", "5"),
        ("x = 2^4", "2^4"),
        ("2x = 10", None),
        ("x > 5 = 5", None),
        ("x =", None),
    ],
)
def test_the_last_side_of_an_equation_is_extracted(text, side):
    assert last_side(text) == side


@given(st.integers(0, 10**15 - 1))
def test_number_words_are_read_back(number):
    assert read_number_words(_spelled(number)) == number


SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))


def _spelled(number):
    if number < 20:
        return SMALL[number]
    if number < 100:
        return TENS[number // 10 - 2] + ("-" + SMALL[number % 10] if number % 10 else "")
    size, name = next(scale for scale in SCALES if number >= scale[0])
    rest = f" {_spelled(number % size)}" if number % size else ""
    return f"{_spelled(number // size)} {name}{rest}"


@pytest.mark.parametrize("words", ["", "one two", "hundred", "six clips", "twenty eleven", "one thousand million"])
def test_other_words_are_not_a_number(words):
    assert read_number_words(words) is None


@given(st.integers(1, 10**12), st.sampled_from([",", " ", r"\,", "\u202f", "\u2009", "{,}", "~", r"\;"]))
def test_thousands_may_be_separated(number, separator):
    grouped = f"{number:,}".replace(",", separator)
    assert compare_numeric(str(number), grouped)
    assert not compare_numeric(str(number + 1), grouped)


@given(st.text(alphabet="0123456789 ,.$%()=xm/-", max_size=30))
def test_any_text_is_read_or_not(text):
    quantity = read_quantity(text)
    assert quantity is None or isinstance(quantity.value, Fraction)

from fractions import Fraction

import pytest

from advcluster_dagster.science.grading.context import read_context
from advcluster_dagster.science.grading.errors import UnreadableAnswerError
from advcluster_dagster.science.grading.units import convert, read_unit


@pytest.mark.parametrize(
    ("text", "factor", "powers"),
    [
        ("m", 1, {("m", 1)}),
        ("km/h", Fraction(1000, 3600), {("m", 1), ("s", -1)}),
        ("m s^-2", 1, {("m", 1), ("s", -2)}),
        ("meters per second", 1, {("m", 1), ("s", -1)}),
        # 1 mN = 1/1000 kg m/s^2 = 1 g m/s^2
        ("mN", 1, {("g", 1), ("m", 1), ("s", -2)}),
        ("m/m", 1, set()),
        ("apples", 1, {("apple", 1)}),
        ("", 1, set()),
        # 12 inches of 2.54 cm
        ("ft", Fraction("0.3048"), {("m", 1)}),
        ("square meters", 1, {("m", 2)}),
        ("meters per second squared", 1, {("m", 1), ("s", -2)}),
        ("kΩ", 10**6, {("g", 1), ("m", 2), ("s", -3), ("A", -2)}),
        ("degrees Celsius", 1, {("°C", 1)}),
        ("microfarads", Fraction(1, 10**9), {("g", -1), ("m", -2), ("s", 4), ("A", 2)}),
        # a unit that takes no prefix
        ("pin", 1, {("pin", 1)}),
    ],
)
def test_units_are_powers_of_base_units(text, factor, powers):
    unit = read_unit(text)
    assert (unit.factor, unit.powers) == (factor, powers)


def test_one_unit_in_three_spellings():
    assert read_unit("N m") == read_unit("J") == read_unit("kg m^2 / s^2")


@pytest.mark.parametrize(
    ("value", "unit", "into", "converted"),
    [
        (12, "inches", "foot", 1),
        (16, "oz", "pounds", 1),
        (36, "km/h", "m/s", 10),
        (50, "cents", "$", Fraction(1, 2)),
        (5, "euros", "$", None),
        (5, "pounds", "£", 5),
        (20, "°C", "°F", None),
        (1, "m", "s", None),
    ],
)
def test_units_of_one_dimension_are_converted_but_not_money(value, unit, into, converted):
    assert convert(Fraction(value), unit, into) == converted


@pytest.mark.parametrize("text", ["[]", "{", '{"tolerance": "x"}', '{"tolerance": -1}', '{"code": 1}', "[" * 100_000])
@pytest.mark.usefixtures("_no_collection")
def test_an_unreadable_context_is_an_error(text):
    with pytest.raises(UnreadableAnswerError, match="answer context"):
        read_context(text)


def test_no_context_has_the_defaults():
    assert read_context(None) == read_context("{}")

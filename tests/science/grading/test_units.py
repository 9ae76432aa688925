from fractions import Fraction

import pytest

from advcluster_dagster.science.grading.context import read_context
from advcluster_dagster.science.grading.errors import UnreadableAnswerError
from advcluster_dagster.science.grading.units import read_unit


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
    ],
)
def test_units_are_powers_of_base_units(text, factor, powers):
    unit = read_unit(text)
    assert (unit.factor, unit.powers) == (factor, powers)


def test_one_unit_in_three_spellings():
    assert read_unit("N m") == read_unit("J") == read_unit("kg m^2 / s^2")


@pytest.mark.parametrize("text", ["[]", "{", '{"tolerance": "x"}', '{"tolerance": -1}', '{"code": 1}', "[" * 100_000])
@pytest.mark.usefixtures("_no_collection")
def test_a_context_that_cannot_be_read_is_an_error(text):
    with pytest.raises(UnreadableAnswerError, match="answer context"):
        read_context(text)


def test_no_context_has_the_defaults():
    assert read_context(None) == read_context("{}")

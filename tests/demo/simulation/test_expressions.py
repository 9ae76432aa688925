"""Exact formulas of the simulation."""

from fractions import Fraction

import pytest

from advcluster_dagster.demo.simulation.expressions import as_written, evaluate, names_in, show_number, substitute


def test_precedence_and_exactness() -> None:
    values = {"a": Fraction(1), "b": Fraction(3)}
    # 1 + 3 * 3 - 1 / 3 = 10 - 1/3 = 29/3
    assert evaluate("a + b * b - a / b", values) == Fraction(29, 3)
    # (1 + 3) / 2 = 2
    assert evaluate("(a + b) / 2", values) == 2


@pytest.mark.parametrize("formula", ["a ** 2", "-a", "f(a)", "a % 2"])
def test_other_syntax_is_refused(formula: str) -> None:
    with pytest.raises(ValueError, match="a formula holds"):
        evaluate(formula, {"a": Fraction(1)})


def test_division_by_zero() -> None:
    with pytest.raises(ZeroDivisionError):
        evaluate("1 / a", {"a": Fraction(0)})


def test_text_of_a_formula() -> None:
    assert substitute("u + a * t", {"u": "1", "a": "2", "t": "3"}) == "1 + 2 * 3"
    assert names_in("u + a * t1 / 2") == {"u", "a", "t1"}


def test_three_places() -> None:
    assert as_written(Fraction(2, 3)) == Fraction(667, 1000)
    assert show_number(Fraction(2, 3)) == "0.667"
    assert show_number(Fraction(1, 2000)) == "0"  # 0.0005 rounds to even
    assert show_number(Fraction(-5, 4)) == "-1.25"

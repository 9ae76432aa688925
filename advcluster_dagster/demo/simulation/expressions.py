"""Exact arithmetic on small formulas, and formatting of numbers in simulated solutions.

Not part of the paper; used only by the demonstration study.
"""

import ast
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache

_NAME = re.compile(r"[A-Za-z_]\w*")
_PLACES = 3


def evaluate(formula: str, values: Mapping[str, Fraction]) -> Fraction:
    """Evaluate a formula of names, integers and ``+ - * /`` exactly.

    Raises:
        KeyError: a name has no value.
        ZeroDivisionError: a divisor is zero.
    """
    return _evaluate(_parsed(formula), values)


def substitute(formula: str, texts: Mapping[str, str]) -> str:
    """Replace every name in the formula by its text."""
    return _NAME.sub(lambda match: texts[match[0]], formula)


def names_in(formula: str) -> set[str]:
    """Names used in a formula."""
    return set(_NAME.findall(formula))


def as_written(value: Fraction) -> Fraction:
    """Round to the three decimal places shown in a solution."""
    return Fraction(round(value * 10**_PLACES), 10**_PLACES)


def show_number(value: Fraction) -> str:
    """Format as a decimal with at most three places and no trailing zeros.

    >>> show_number(Fraction(5, 2)), show_number(Fraction(-7)), show_number(Fraction(1, 3))
    ('2.5', '-7', '0.333')
    """
    rounded = as_written(value)
    if rounded.denominator == 1:
        return str(rounded.numerator)
    return f"{float(rounded):.{_PLACES}f}".rstrip("0")


@cache
def _parsed(formula: str) -> ast.expr:
    return ast.parse(formula, mode="eval").body


def _evaluate(node: ast.expr, values: Mapping[str, Fraction]) -> Fraction:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=int(number)):
            return Fraction(number)
        case ast.BinOp(left=left, op=operator, right=right):
            return _apply(operator, _evaluate(left, values), _evaluate(right, values))
    raise ValueError(f"a formula holds names, integers and + - * /, not {ast.unparse(node)!r}")


def _apply(operator: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
    raise ValueError(f"a formula holds + - * /, not {type(operator).__name__}")

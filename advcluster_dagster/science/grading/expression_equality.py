"""Decide whether two expressions are equal.

Two constants are compared exactly if both are rational, else by their difference at 60 and 120 digits: a true zero
shrinks with increasing precision, whatever the magnitude. Expressions with variables are evaluated at fixed points
(integers and fractions of both signs) and must agree wherever both are defined. No fixed rounding is applied.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from advcluster_dagster.science.grading.errors import OversizedAnswerError
from advcluster_dagster.science.grading.evaluation import Evaluator, UndefinedValueError, Value
from advcluster_dagster.science.grading.expression_tree import Node, names_in, walk

_DIGITS = (60, 120)
_MIN_POINTS = 3
# Integers first, for factorials and binomial coefficients; then fractions, which distinguish floors and signs.
_COORDINATES = tuple(
    [Fraction(n) for n in (7, 11, 4, 13, 9, 6, 17, 5)],
) + tuple(Fraction(a, b) for a, b in ((23, 7), (5, 3), (37, 11), (-13, 7), (29, 13), (-8, 3), (19, 12), (-41, 17)))
_COORDINATES += tuple(Fraction(a, b) for a, b in ((1, 3), (5, 7), (-4, 9), (2, 11), (-8, 13), (12, 17)))
_COORDINATES += tuple(Fraction(a, 10**6) for a in (6_999_999, 2_999_998, 8_000_001, -1_000_003, 3_999_997))


def are_equal(first: Node, second: Node) -> bool:
    """Whether two expressions have the same value at every test point where both are defined.

    Also False if one or both constants are undefined, or if fewer than three points are decisive.

    Raises:
        OversizedAnswerError: a power, factorial or exponential is out of bounds.
    """
    if first == second:
        return True
    names = sorted(names_in(first) | names_in(second))
    if not names:
        return _agree(first, second, {}, is_real=False) is True
    must_share = ("absolute" in _kinds(first)) != ("absolute" in _kinds(second))
    is_real = not any(part.kind == "constant" and part.name == "i" for tree in (first, second) for part in walk(tree))
    n_agreeing = 0
    for point in points(names):
        verdict = _agree(first, second, point, is_real, must_share)
        if verdict is False:
            return False
        n_agreeing += verdict is True
    return n_agreeing >= _MIN_POINTS


def _kinds(node: Node) -> set[str]:
    return {part.kind for part in walk(node)}


def points(names: list[str]) -> Iterator[dict[str, Fraction]]:
    """Yield the test points for the given variables; at each point all variables have different values."""
    n = len(_COORDINATES)
    for row in range(n):
        yield {name: _COORDINATES[(row + 3 * column) % n] + column // n for column, name in enumerate(names)}


def _agree(
    first: Node, second: Node, point: Mapping[str, Fraction], is_real: bool, must_share: bool = False
) -> bool | None:
    """Whether values agree at a point; if one is undefined, None, or False with ``must_share`` unless both are."""
    differences, sizes = [], []
    for digits in _DIGITS:
        evaluator = Evaluator(digits, point, is_real)
        values = [_value_or_none(evaluator, tree) for tree in (first, second)]
        if None in values:
            return False if must_share and values != [None, None] else None
        if all(isinstance(value, Fraction) for value in values):
            return bool(values[0] == values[1])
        a, b = (evaluator.inexact(value) for value in values)
        differences.append(abs(a - b))
        sizes.append(max(abs(a), abs(b)))
    coarse, fine = differences
    if not (fine <= sizes[1] * 10**300):  # not a number
        return None
    return bool(fine <= sizes[1] / 10**100 or (coarse and fine * 10**30 <= coarse))


def _value_or_none(evaluator: Evaluator, tree: Node) -> Value:
    try:
        return evaluator.value(tree)
    except UndefinedValueError:
        return None
    except OversizedAnswerError:
        if not names_in(tree):
            raise
        return None  # too large at this point, possibly not at others


def constant_value(node: Node, digits: int = _DIGITS[0]) -> Value | None:
    """The value of an expression without variables, as Fraction or mpf; None if it has variables or no real value.

    Raises:
        OversizedAnswerError: a power, factorial or exponential is out of bounds.
    """
    if names_in(node):
        return None
    evaluator = Evaluator(digits, {}, is_real=False)
    value = _value_or_none(evaluator, node)
    if value is None or isinstance(value, Fraction):
        return value
    return value.real if abs(value.imag) <= abs(value) / 10 ** (digits - 10) else None


def ratio_is_constant(first: Node, second: Node) -> Fraction | None:
    """Sign (1 or -1) of the constant ratio of two expressions; None if the ratio is not constant.

    Raises:
        OversizedAnswerError: a power, factorial or exponential is out of bounds.
    """
    names = sorted(names_in(first) | names_in(second))
    pairs = []
    for point in points(names):
        evaluator = Evaluator(_DIGITS[0], point, is_real=True)
        values = [_value_or_none(evaluator, tree) for tree in (first, second)]
        if None not in values:
            is_exact = all(isinstance(value, Fraction) for value in values)
            pairs.append(values if is_exact else [evaluator.inexact(value) for value in values])
    nonzero = next((pair for pair in pairs if pair[0] != 0 and pair[1] != 0), None)
    if len(pairs) < _MIN_POINTS or nonzero is None or not names:
        return None
    a, b = nonzero
    for x, y in pairs:
        is_exact = all(isinstance(value, Fraction) for value in (a, b, x, y))
        (p, q, r, s) = (a, b, x, y) if is_exact else (evaluator.inexact(value) for value in (a, b, x, y))
        if abs(p * s - q * r) > (0 if is_exact else (abs(p * s) + abs(q * r)) / 10**50):
            return None
    return Fraction(1 if a * b > 0 else -1)

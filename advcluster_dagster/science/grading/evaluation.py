"""Evaluate expressions, exactly if the value is rational, with bounds on size."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from advcluster_dagster.science.grading.errors import OversizedAnswerError
from advcluster_dagster.science.grading.expression_tree import Node

# Bounds on evaluation.
MAX_EXPONENT = 20_000
MAX_FACTORIAL = 5_000
_MAX_BITS = 400_000
# Bounds on the arguments of exponentials and trigonometric functions.
_MAX_EXPONENTIAL, _MAX_ANGLE = 10**7, 10**300

#: Function names and their mpmath counterparts.
_FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "arcsin": "asin",
    "arccos": "acos", "arctan": "atan", "arcsec": "asec", "arccsc": "acsc", "arccot": "acot", "sinh": "sinh",
    "cosh": "cosh", "tanh": "tanh", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "ln": "ln",
    "exp": "exp", "Re": "re", "Im": "im", "arg": "arg",
}  # fmt: skip
_WAVES = frozenset({"sin", "cos", "tan", "cot", "sec", "csc"})
_GROWING = frozenset({"exp", "sinh", "cosh", "tanh"})


class UndefinedValueError(ArithmeticError):
    """An expression is undefined: division by zero, or a root or logarithm outside the real numbers."""


Value = Any  # Fraction, mpf or mpc


class Evaluator:
    """Evaluates trees at one precision and one point.

    Args:
        digits: Decimal digits for irrational values.
        point: Values of the variables.
        is_real: Whether roots and logarithms of negative numbers are undefined rather than complex.
    """

    def __init__(self, digits: int, point: Mapping[str, Fraction], is_real: bool) -> None:
        self._context: Any = _context(digits)
        self._point: Mapping[str, Fraction] = point
        self._is_real = is_real

    def value(self, node: Node) -> Value:
        """Evaluate a tree.

        Raises:
            UndefinedValueError: the tree has no value.
            OversizedAnswerError: a power, factorial or exponential is out of bounds.
        """
        try:
            return _RULES[node.kind](self, node)
        except (ZeroDivisionError, ValueError, KeyError, OverflowError) as error:
            raise UndefinedValueError(str(error)) from None

    def inexact(self, value: Value) -> Value:
        """Convert a rational number to a float of this evaluator's precision."""
        if isinstance(value, Fraction):
            return self._context.mpf(value.numerator) / value.denominator
        return value

    def _constant(self, node: Node) -> Value:
        if node.name == "i":
            return self._context.mpc(0, 1)
        return +self._context.pi if node.name == "pi" else +self._context.e

    def _sum(self, node: Node) -> Value:
        total: Value = Fraction(0)
        for part in node.parts:
            total = self._joined(total, self.value(part), lambda a, b: a + b)
        return total

    def _product(self, node: Node) -> Value:
        total: Value = Fraction(1)
        for part in node.parts:
            total = self._joined(total, self.value(part), lambda a, b: a * b)
        return total

    def _joined(self, a: Value, b: Value, join: Callable[[Value, Value], Value]) -> Value:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            result: Value = join(a, b)
            if max(result.numerator.bit_length(), result.denominator.bit_length()) > 2 * _MAX_BITS:
                raise OversizedAnswerError("a number out of bounds")
            return result
        return join(self.inexact(a), self.inexact(b))

    def _fraction(self, node: Node) -> Value:
        top, bottom = (self.value(part) for part in node.parts)
        return self._joined(top, self._raised(bottom, Fraction(-1)), lambda a, b: a * b)

    def _power(self, node: Node) -> Value:
        return self._raised(self.value(node.parts[0]), self.value(node.parts[1]))

    def _root(self, node: Node) -> Value:
        return self._raised(self.value(node.parts[0]), self._raised(self.value(node.parts[1]), Fraction(-1)))

    def _raised(self, base: Value, exponent: Value) -> Value:
        if isinstance(base, Fraction) and isinstance(exponent, Fraction):
            if exponent.denominator == 1:
                return self._whole_power(base, exponent.numerator)
            if (root := _rational_root(base, exponent.denominator)) is not None:
                return self._whole_power(root, exponent.numerator)
        base, power = self.inexact(base), self.inexact(exponent)
        if base == 0:
            if self._context.re(power) <= 0:
                raise UndefinedValueError("zero to a power that is not positive")
            return self._context.mpf(0)
        self._check_growth(power * self._context.ln(base))
        if self._context.im(base) == 0 and base.real < 0 and not _is_whole(exponent):
            return self._root_of_negative(base, exponent)
        return base**power

    def _root_of_negative(self, base: Value, exponent: Value) -> Value:
        """The real root for an odd index; else the complex root, or undefined if ``is_real``."""
        if isinstance(exponent, Fraction) and exponent.denominator % 2:
            size = (-base.real) ** self.inexact(exponent)
            return -size if exponent.numerator % 2 else size
        if self._is_real:
            raise UndefinedValueError("an even root of a negative number")
        return base ** self.inexact(exponent)

    def _whole_power(self, base: Fraction, exponent: int) -> Value:
        if base == 0 and exponent <= 0:
            raise UndefinedValueError("zero to a power that is not positive")
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(base) != 1 and base and (abs(exponent) > MAX_EXPONENT or bits * abs(exponent) > _MAX_BITS):
            raise OversizedAnswerError("a power out of bounds")
        return Fraction(1 - 2 * (base < 0 and exponent % 2)) if abs(base) == 1 else base**exponent

    def _check_growth(self, exponent: Value) -> None:
        if abs(exponent) > _MAX_EXPONENTIAL:
            raise OversizedAnswerError("a power out of bounds")

    def _factorial(self, node: Node) -> Value:
        number = self._whole(node.parts[0])
        if number > MAX_FACTORIAL:
            raise OversizedAnswerError("a factorial out of bounds")
        if node.kind == "factorial":
            return Fraction(math.factorial(number))
        return Fraction(math.prod(range(number, 0, -2)))

    def _whole(self, node: Node) -> int:
        """Evaluate to a non-negative integer."""
        value = self.value(node)
        if not isinstance(value, Fraction) or value.denominator != 1 or value < 0:
            raise UndefinedValueError("not a non-negative integer")
        return value.numerator

    def _binomial(self, node: Node) -> Value:
        n, k = (self._whole(part) for part in node.parts)
        if n > MAX_FACTORIAL:
            raise OversizedAnswerError("a binomial coefficient out of bounds")
        return Fraction(math.comb(n, k))

    def _absolute(self, node: Node) -> Value:
        return abs(self.value(node.parts[0]))

    def _rounded(self, node: Node) -> Value:
        value = self.value(node.parts[0])
        if not isinstance(value, Fraction) and self._context.im(value) != 0:
            raise UndefinedValueError("a complex number has no floor")
        exact = value if isinstance(value, Fraction) else self._context.floor(value.real)
        if node.kind == "floor":
            return Fraction(math.floor(exact)) if isinstance(value, Fraction) else Fraction(int(exact))
        return (
            Fraction(math.ceil(exact)) if isinstance(value, Fraction) else Fraction(int(self._context.ceil(value.real)))
        )

    def _logarithm(self, node: Node) -> Value:
        value, base = (self._log(self.value(part)) for part in node.parts)
        return value / base

    def _log(self, value: Value) -> Value:
        value = self.inexact(value)
        if value == 0 or (self._is_real and (self._context.im(value) != 0 or value.real < 0)):
            raise UndefinedValueError("a logarithm outside the real numbers")
        return self._context.ln(value)

    def _function(self, node: Node) -> Value:
        name = node.name
        if len(name) == 1:
            return self._unknown_function(node)
        if name in ("max", "min", "gcd", "lcm"):
            return self._of_many(name, [self.value(part) for part in node.parts])
        (argument,) = node.parts
        value = self.inexact(self.value(argument))
        if name in ("log", "lg"):
            return self._log(value) / self._context.ln(10)
        if name == "ln":
            return self._log(value)
        if name in _GROWING:
            self._check_growth(value)
        if name in _WAVES and abs(value) > _MAX_ANGLE:
            raise OversizedAnswerError("an angle out of bounds")
        result = getattr(self._context, _FUNCTIONS[name])(value)
        if self._is_real and self._context.im(result) != 0:
            raise UndefinedValueError(f"{name} outside the real numbers")
        return result

    def _of_many(self, name: str, values: list[Value]) -> Value:
        if not all(isinstance(value, Fraction) for value in values):
            raise UndefinedValueError(f"{name} of irrational numbers")
        if name in ("max", "min"):
            return max(values) if name == "max" else min(values)
        if any(value.denominator != 1 for value in values):
            raise UndefinedValueError(f"{name} of numbers that are not integers")
        return Fraction((math.gcd if name == "gcd" else math.lcm)(*(value.numerator for value in values)))

    def _unknown_function(self, node: Node) -> Value:
        """A pseudo-random value determined by the function's name and its arguments."""
        total = self._context.mpf(ord(node.name)) / 7
        for part in node.parts:
            total = self._context.sin(self._context.sqrt(3) * total + self.inexact(self.value(part)) ** 2 / 5 + total)
        return total


_RULES: dict[str, Callable[[Evaluator, Node], Value]] = {
    "number": lambda _, node: node.value,
    "name": lambda self, node: self._point[node.name],
    "constant": Evaluator._constant,
    "degree": lambda self, _: self._context.pi / 180,
    "sum": Evaluator._sum,
    "negative": lambda self, node: -self.value(node.parts[0]),
    "product": Evaluator._product,
    "fraction": Evaluator._fraction,
    "power": Evaluator._power,
    "root": Evaluator._root,
    "factorial": Evaluator._factorial,
    "double factorial": Evaluator._factorial,
    "binomial": Evaluator._binomial,
    "absolute": Evaluator._absolute,
    "floor": Evaluator._rounded,
    "ceil": Evaluator._rounded,
    "logarithm": Evaluator._logarithm,
    "function": Evaluator._function,
}


@lru_cache(maxsize=4)
def _context(digits: int) -> Any:
    from mpmath import MPContext

    context = MPContext()
    context.dps = digits
    return context


def _is_whole(value: Value) -> bool:
    return value.denominator == 1 if isinstance(value, Fraction) else bool(value == int(value.real))


def _rational_root(base: Fraction, index: int) -> Fraction | None:
    """The root of a positive rational number; None if it is irrational."""
    if base <= 0 or index > 64:
        return None
    parts = []
    for number in (base.numerator, base.denominator):
        root = round(number ** (1 / index)) if number < 2**52 else _whole_root(number, index)
        if root**index != number:
            return None
        parts.append(root)
    return Fraction(*parts)


def _whole_root(number: int, index: int) -> int:
    """Integer part of a root, by bisection."""
    low, high = 0, 1 << (number.bit_length() // index + 1)
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**index <= number else (low, middle)
    return low

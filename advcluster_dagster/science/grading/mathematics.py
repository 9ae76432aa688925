"""Decide whether two mathematical answers are equal (paper section 3.2.1)."""

import re
from fractions import Fraction
from itertools import zip_longest

from advcluster_dagster.science.grading.context import AnswerContext
from advcluster_dagster.science.grading.errors import OversizedAnswerError, UnreadableAnswerError
from advcluster_dagster.science.grading.expression_equality import are_equal, constant_value
from advcluster_dagster.science.grading.expression_tree import Node, names_in
from advcluster_dagster.science.grading.form_comparison import are_same_forms
from advcluster_dagster.science.grading.forms import Form, read_answer, read_value, split_outside
from advcluster_dagster.science.grading.notation import MAX_CHARACTERS, check_size, normalise_math
from advcluster_dagster.science.grading.quantities import Quantity, are_same, read_quantity
from advcluster_dagster.science.grading.statements import last_side
from advcluster_dagster.science.grading.symbolic import are_equal_symbolically, is_symbolic, symbolic_value
from advcluster_dagster.science.grading.units import convert
from advcluster_dagster.science.grading.words import word_of

_COMPONENTS = re.compile(r"([(\[])\s*([^()\[\]{}]+,[^()\[\]{}]+)\s*([)\]])")
_LOOSE_BLANK = re.compile(r"\s+(?![0-9A-Za-z])|(?<![0-9A-Za-z])\s+")
# Longer texts, including formatting, are not compared.
_MAX_RAW = 2 * MAX_CHARACTERS
_RELATION = re.compile(r"=|\\(?:approx|simeq)(?![a-z])")


def compare_math_cheaply(gold: str, prediction: str) -> bool | None:
    """Compare without parsing expressions: equal texts, words, plain numbers; None if undecided.

    Differing numbers of which one is a decimal fraction or a percentage are left to :func:`compare_math`.
    """
    if max(len(gold), len(prediction)) > _MAX_RAW:
        return True if gold.strip() == prediction.strip() else None
    words = word_of(gold), word_of(prediction)
    if None not in words:
        return words[0] == words[1]
    expected, given = normalise_math(gold), normalise_math(prediction)
    if words == (None, None) and _LOOSE_BLANK.sub("", expected) == _LOOSE_BLANK.sub("", given):
        return bool(expected) or None
    if (None in words and words != (None, None)) or _RELATION.search(expected + given):
        return None
    if (is_same := _compare_components(expected, given)) is not None:
        return is_same
    gold_number, number = read_quantity(gold), read_quantity(prediction)
    if gold_number is None or number is None:
        return None
    if are_same([gold_number], [number], AnswerContext()):
        return True
    has_decimals = "." in expected + given or "%" in (gold_number.unit, number.unit) or "," in expected + given
    return None if has_decimals else False


def _compare_components(expected: str, given: str) -> bool | None:
    """Compare tuples and intervals with equal brackets by component; None unless all components are plain numbers."""
    first, second = _COMPONENTS.fullmatch(expected), _COMPONENTS.fullmatch(given)
    if first is None or second is None or (first[1], first[3]) != (second[1], second[3]):
        return None
    pairs = list(zip_longest(*(split_outside(match[2], {",": ","})[0] for match in (first, second)), fillvalue=""))
    if any(read_quantity(part) is None for pair in pairs for part in pair if part):
        return None
    decided = [compare_math_cheaply(*pair) if all(pair) else False for pair in pairs]
    return None if None in decided else all(decided)


def compare_math(gold: str, prediction: str) -> bool:
    """Whether two mathematical answers are equal; a prediction that is unreadable or exceeds the bounds is wrong.

    Raises:
        UnreadableAnswerError: the gold answer cannot be parsed.
        OversizedAnswerError: the gold answer exceeds the bounds.
        RecursionError, MemoryError: the comparison needs too much stack or memory.
    """
    if (is_same := compare_math_cheaply(gold, prediction)) is not None:
        return is_same
    if len(gold) > _MAX_RAW:
        raise OversizedAnswerError(f"{len(gold)} characters")
    if len(prediction) > _MAX_RAW:
        return False
    if is_symbolic(gold) or is_symbolic(prediction):
        return _compare_symbolically(gold, prediction)
    expected = read_answer(gold)
    _check_gold(expected)
    try:
        return are_same_forms(expected, read_answer(prediction))
    except (UnreadableAnswerError, OversizedAnswerError):
        return False


def _check_gold(form: Form) -> None:
    """Reject a gold answer whose constants are out of bounds or undefined."""
    for part in form.parts:
        _check_gold(part)
    # An undefined constant does not equal itself.
    if form.node is not None and not names_in(form.node) and not are_equal(form.node, Node("sum", (form.node,))):
        raise UnreadableAnswerError("the gold answer has no value")


def _compare_symbolically(gold: str, prediction: str) -> bool:
    expected = _last_side(gold)
    if not is_symbolic(expected):
        _check_gold(read_answer(expected))
    try:
        given = _last_side(prediction)
        form = None if is_symbolic(expected) or is_symbolic(given) else read_answer(given)
    except (UnreadableAnswerError, OversizedAnswerError):
        return False
    try:
        return are_equal_symbolically(expected, given) if form is None else are_same_forms(read_answer(expected), form)
    except OversizedAnswerError:
        if is_symbolic(expected):
            raise
        return False


def _last_side(text: str) -> str:
    """The normalised text after the last equals sign outside brackets."""
    normal = normalise_math(text)
    check_size(normal)
    return split_outside(normal, {"=": "="})[0][-1]


def is_numeric_expression(text: str) -> bool:
    """Whether a text that is not a plain number may have a value: no variables, or a sum, integral or limit."""
    side = last_side(text) if len(text) <= _MAX_RAW else None
    if side is None:
        return False
    if is_symbolic(side):
        return True
    try:
        form = read_value(normalise_math(side))
    except (UnreadableAnswerError, OversizedAnswerError) as error:
        return isinstance(error, OversizedAnswerError)
    return form.node is not None and not names_in(form.node)


def compare_number(gold: str, prediction: str, context: AnswerContext) -> bool:
    """Like :func:`compare_numeric` for answers that are constant expressions, such as a root or a multiple of pi.

    Without a tolerance both must be exactly equal; with a tolerance, values are evaluated to 40 digits. A prediction
    that has no real value or exceeds the bounds is wrong.

    Raises:
        UnreadableAnswerError: the gold answer has no real value.
        OversizedAnswerError: the gold answer exceeds the bounds.
        RecursionError, MemoryError: the comparison needs too much stack or memory.
    """
    expected = _number_of(gold)
    if expected is None:
        raise UnreadableAnswerError(f"gold answer {gold[:60]!r} is not a number")
    try:
        given = _number_of(prediction)
    except OversizedAnswerError:
        return False
    if given is None:
        return False
    if context.tolerance is None and expected[1] is not None and given[1] is not None:
        unit = expected[0].unit or context.unit
        return _compare_exactly(Quantity(expected[0].value, unit), expected[1], given[0], given[1])
    return are_same([expected[0]], [given[0]], context)


def _compare_exactly(expected: Quantity, first: Node, given: Quantity, second: Node) -> bool:
    units = expected.unit, given.unit
    factor: Fraction | None = Fraction(1)
    if all(units) and units[0] != units[1]:
        factor = convert(Fraction(1), given.unit, expected.unit)
    return factor is not None and are_equal(first, Node("product", (second, Node("number", value=factor))))


def _number_of(text: str) -> tuple[Quantity, Node | None] | None:
    """The value of a text and its expression, if parsed; None if it has no real value."""
    if (quantity := read_quantity(text)) is not None:
        return quantity, Node("number", value=quantity.value)
    side = last_side(text)
    if side is None:
        return None
    if is_symbolic(side):
        number = symbolic_value(normalise_math(side))
        return None if number is None else (Quantity(Fraction(str(number)), ""), None)
    try:
        form = read_value(normalise_math(side))
    except UnreadableAnswerError:
        return None
    value = constant_value(form.node, 40) if form.node is not None else None
    if value is None:
        return None
    return Quantity(value if isinstance(value, Fraction) else Fraction(str(value)), form.unit), form.node

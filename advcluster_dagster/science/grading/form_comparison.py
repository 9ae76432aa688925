"""Decide whether two parsed answers are equal.

Rules: an answer is right if it has the same kind and the same parts. A list is compared ignoring order but counting
repetitions, a set ignoring both, a tuple in order; a list without repetitions may equal a set, and a list in order
may equal a tuple. An equation ``name = value`` equals its value; any other equation equals only its multiples.
Inequalities, intervals and unions are compared as sets of real numbers. Units are compared if both sides have one.
"""

import re
from fractions import Fraction
from typing import Any

from advcluster_dagster.science.grading.expression_equality import (
    are_equal,
    constant_value,
    ratio_is_constant,
)
from advcluster_dagster.science.grading.expression_tree import Node, names_in
from advcluster_dagster.science.grading.forms import Form, flattened
from advcluster_dagster.science.grading.real_sets import are_same_reals, is_real_set, solved
from advcluster_dagster.science.grading.units import convert

_DECIMAL = re.compile(r"-?\s*([0-9]*)\.([0-9]{6,})")
_MIN_DIGITS = 6


def are_same_forms(expected: Form, given: Form) -> bool:
    """Whether two parsed answers are equal; symmetric.

    Raises:
        OversizedAnswerError: a number is out of bounds.
    """
    if not _have_same_element(expected, given):
        return False
    expected, given = _simplest(expected), _simplest(given)
    if "word" in (expected.kind, given.kind):
        return expected.kind == given.kind and expected.text == given.text
    if any(map(_consists_of_relations, (expected, given))) and is_real_set(expected) and is_real_set(given):
        return are_same_reals(expected, given) and _have_same_variable(expected, given)
    if expected.kind == given.kind and expected.kind in _SAME_KIND:
        return _SAME_KIND[expected.kind](expected, given)
    for first, second in ((expected, given), (given, expected)):
        if (is_same := _across_kinds(first, second)) is not None:
            return is_same
    if is_real_set(expected) and is_real_set(given):
        return are_same_reals(expected, given)
    return False


def _have_same_element(*forms: Form) -> bool:
    r"""Whether two relations ``x \in S`` concern the same element; True unless both forms are such relations."""
    names = [form.text for form in forms if form.kind == "relation" and form.operators == ("in",)]
    return len(names) < 2 or names[0] == names[1]


def _simplest(form: Form) -> Form:
    r"""Reduce solutions for one name to a list of values, a singleton set to its value, ``x \in S`` to S."""
    form = flattened(form)
    if form.kind == "set" and len(form.parts) == 1 and form.parts[0].kind in ("value", "sequence"):
        return form.parts[0]
    if form.kind == "relation" and form.operators == ("in",) and form.text:
        return _simplest(form.parts[1])
    if form.kind == "relation" and len(form.operators) == 1:
        return solved(form)
    if form.kind == "list" and form.parts[0].kind == "relation" and (names := _assigned(form)):
        have_same_name = all(name == names[0] for name in names)
        values = tuple(part.parts[-1] if part.kind == "relation" else part for part in form.parts)
        if have_same_name and len(names) > 1:
            return Form("list", values, text=form.text, unit=names[0])
    return form


def _assigned(form: Form) -> list[str]:
    """Names assigned by the parts of a list; in ``x = 1, 2`` later parts take the same name. Empty for other parts."""
    names: list[str] = []
    for part in form.parts:
        if part.kind == "relation" and part.text and set(part.operators) == {"="}:
            names.append(part.text)
        elif part.kind == "value" and names and part.node is not None and not names_in(part.node):
            names.append(names[-1])
        else:
            return []
    return names


def _across_kinds(first: Form, second: Form) -> bool | None:
    """Compare two forms of different kinds; None if the kinds are not comparable in this order."""
    kinds = first.kind, second.kind
    if kinds == ("list", "set"):
        return _are_distinct(first.parts) and _match_all(first.parts, second.parts, is_set=True)
    if kinds == ("list", "sequence"):
        is_tuple = second.text == "()" or (second.text == "[]" and len(second.parts) > 2)
        if first.text == "or" or not is_tuple or first.unit:
            return False
        return _compare_parts(_ordered_values(first), second.parts)
    if first.kind == "relation" and first.operators[-1] in "=~" and set(first.operators) <= {"=", "~"}:
        return _equals_value(first, second)
    return None


def _ordered_values(form: Form) -> tuple[Form, ...]:
    """The parts of a list; for assignments to several names, the values sorted by name."""
    names = _assigned(form) if all(part.kind == "relation" for part in form.parts) else []
    if len(set(names)) < max(len(names), 2):
        return form.parts
    return tuple(part.parts[-1] for _, part in sorted(zip(names, form.parts, strict=True), key=lambda pair: pair[0]))


def _equals_value(relation: Form, other: Form) -> bool | None:
    """Whether an equation (a name or number on its left, or a chain of numbers) states the other form's value."""
    if other.kind == "relation":
        return None
    if re.match(r"\((?:[A-Za-z],)+", relation.text) and other.kind == "list" and _assigned(other):
        names = relation.text.strip("()").split(",")
        if sorted(names) == sorted(_assigned(other)):
            return _compare_parts(_ordered_values(other), relation.parts[-1].parts) and names == sorted(names)
        return False
    if relation.operators[-1] == "~":
        return any(are_same_forms(side, other) for side in _agreeing_sides(relation))
    first, *rest = relation.parts
    if not _is_consistent(relation):
        return False
    is_stated = bool(relation.text) or _is_number(first) or (len(rest) > 1 and all(map(_is_number, rest)))
    return is_stated and are_same_forms(rest[-1], other)


def _is_consistent(relation: Form) -> bool:
    """Whether all numeric sides are equal; ``x = 1 = 2`` is inconsistent."""
    numbers = [side for side in relation.parts if _is_number(side)]
    return all(_compare_values(numbers[-1], number) for number in numbers[:-1])


def _agreeing_sides(relation: Form) -> tuple[Form, ...]:
    r"""The values on both sides of an approximation sign, provided they agree within 1 %."""
    before, last = relation.parts[-2:]
    values = [_plain_value(side) for side in (before, last)]
    if None in values:
        return (last,) if len(relation.parts) == 2 and relation.text else ()
    exact, rounded = (Fraction(str(value)) for value in values)
    return (before, last) if abs(exact - rounded) * 100 <= abs(exact) else ()


def _plain_value(form: Form) -> Any:
    """The value of a constant, with a percentage as a fraction; None for other forms."""
    value = constant_value(form.node) if form.node is not None else None
    return value / 100 if value is not None and form.unit == "%" else value


def _is_number(form: Form) -> bool:
    return form.kind == "value" and form.node is not None and not names_in(form.node)


def _compare_values(expected: Form, given: Form) -> bool:
    first, second = expected.node, given.node
    if first is None or second is None:
        return False
    units = expected.unit, given.unit
    if all(units) and units[0] != units[1]:
        factor = convert(Fraction(1), units[1], units[0])
        if factor is None:
            return False
        second = Node("product", (second, Node("number", value=factor)))
    if are_equal(first, second) or _is_rounded(expected, given) or _is_rounded(given, expected):
        return True
    if sum(unit == "%" for unit in units) == 1:  # 50% is a half
        hundredth = Node("number", value=Fraction(1, 100))
        products = [
            Node("product", (node, hundredth)) if unit == "%" else node
            for node, unit in zip((first, second), units, strict=True)
        ]
        return not any(unit not in ("", "%") for unit in units) and are_equal(*products)
    return False


def _is_rounded(decimal: Form, other: Form) -> bool:
    """Whether a decimal with at least six places and six significant digits is the other number, rounded."""
    match = _DECIMAL.fullmatch(decimal.text)
    if match is None or decimal.node is None or other.node is None or _DECIMAL.fullmatch(other.text):
        return False
    value = constant_value(other.node)
    if value is None or len((match[1] + match[2]).lstrip("0")) < _MIN_DIGITS or bool(decimal.unit) != bool(other.unit):
        return False
    apart = abs(Fraction(str(value)) - decimal.node.value)
    return bool(apart * 2 * 10 ** len(match[2]) <= 1)


def _compare_parts(expected: tuple[Form, ...], given: tuple[Form, ...]) -> bool:
    return len(expected) == len(given) and all(
        are_same_forms(first, second) for first, second in zip(expected, given, strict=True)
    )


def _match_all(expected: tuple[Form, ...], given: tuple[Form, ...], is_set: bool = False) -> bool:
    """Match the parts one to one in any order; for sets, several parts may match the same part."""
    if is_set:
        return all(any(are_same_forms(a, b) for b in given) for a in expected) and all(
            any(are_same_forms(a, b) for a in expected) for b in given
        )
    unmatched = list(given)
    for part in expected:
        match = next((i for i, other in enumerate(unmatched) if are_same_forms(part, other)), None)
        if match is None:
            return False
        del unmatched[match]
    return not unmatched


def _are_distinct(parts: tuple[Form, ...]) -> bool:
    return not any(are_same_forms(a, b) for i, a in enumerate(parts) for b in parts[:i])


def _compare_lists(expected: Form, given: Form) -> bool:
    if expected.unit and given.unit and expected.unit != given.unit:
        return False
    for first, second in ((expected, given), (given, expected)):
        if (names := _assigned(first)) and (second.unit or not any(part.kind == "relation" for part in second.parts)):
            if len(set(names)) < max(len(names), 2) or second.unit:
                return False  # names repeated, or different from the name of the other list
            return _compare_parts(_ordered_values(first), second.parts)
    return _match_all(expected.parts, given.parts)


def _compare_sequences(expected: Form, given: Form) -> bool:
    return expected.text == given.text and _compare_parts(expected.parts, given.parts)


def _compare_relations(expected: Form, given: Form) -> bool:
    operators = set(expected.operators) | set(given.operators)
    if operators <= {"=", "~"}:
        return _compare_equations(expected, given)
    if len(expected.operators) > 1 or len(given.operators) > 1:
        is_same = expected.operators == given.operators and _compare_parts(expected.parts, given.parts)
        turned = tuple(_TURNED.get(operator, operator) for operator in reversed(given.operators))
        return is_same or (expected.operators == turned and _compare_parts(expected.parts, given.parts[::-1]))
    return _compare_inequalities(expected, given)


_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def _compare_inequalities(expected: Form, given: Form) -> bool:
    differences = [_difference(form) for form in (expected, given)]
    if differences[0] is None or differences[1] is None:
        return _compare_sequences(expected, given) and expected.operators == given.operators
    sign = ratio_is_constant(differences[0], differences[1])
    operator = given.operators[0] if sign == 1 else _TURNED.get(given.operators[0], given.operators[0])
    return sign is not None and expected.operators[0] == operator


def _consists_of_relations(form: Form) -> bool:
    """Whether an answer is a relation or a list of relations."""
    return form.kind == "relation" or (form.kind == "list" and all(map(_consists_of_relations, form.parts)))


def _have_same_variable(*forms: Form) -> bool:
    """Whether inequalities concern the same variable; an interval matches any variable."""
    names = [_variables(form) for form in forms]
    return not all(names) or names[0] == names[1]


def _variables(form: Form) -> frozenset[str]:
    names = names_in(form.node) if form.node is not None else frozenset[str]()
    return names.union(*map(_variables, form.parts))


def _compare_equations(expected: Form, given: Form) -> bool:
    if expected.text and given.text:
        is_same = expected.text == given.text and are_same_forms(expected.parts[-1], given.parts[-1])
        return is_same and _is_consistent(expected) and _is_consistent(given)
    differences = [_difference(form) for form in (expected, given)]
    if differences[0] is None or differences[1] is None:
        return _compare_parts(expected.parts, given.parts)
    if ratio_is_constant(differences[0], differences[1]) is not None:
        return True
    return _compare_parts(expected.parts, given.parts)


def _difference(form: Form) -> Node | None:
    """Left side minus right side; None for a chain or for sides that are not expressions."""
    nodes = [part.node for part in form.parts if part.kind == "value"]
    if len(nodes) != 2 or nodes[0] is None or nodes[1] is None or len(form.parts) != 2:
        return None
    return Node("sum", (nodes[0], Node("negative", (nodes[1],))))


def _compare_congruences(expected: Form, given: Form) -> bool:
    """Whether the names agree or one is missing, and moduli and residues are equal."""
    if expected.text and given.text and expected.text != given.text:
        return False
    if not _compare_values(expected.parts[0], given.parts[0]):
        return False
    residues = [_residues(form) for form in (expected, given)]
    if None in residues:
        return _match_all(expected.parts[1:], given.parts[1:])
    return residues[0] == residues[1]


def _residues(form: Form) -> frozenset[Fraction] | None:
    numbers = [constant_value(part.node) if part.node is not None else None for part in form.parts]
    if not all(isinstance(number, Fraction) for number in numbers) or not numbers[0]:
        return None
    modulus = numbers[0]
    return frozenset(number - modulus * (number // modulus) for number in numbers[1:] if number is not None)


def _compare_matrices(expected: Form, given: Form) -> bool:
    return (expected.text, expected.n_columns) == (given.text, given.n_columns) and _compare_parts(
        expected.parts, given.parts
    )


def _compare_real_sets(expected: Form, given: Form) -> bool:
    """Compare as sets of real numbers if both are; else match the parts in any order."""
    if is_real_set(expected) and is_real_set(given):
        return are_same_reals(expected, given)
    return _match_all(expected.parts, given.parts)


def _compare_texts(expected: Form, given: Form) -> bool:
    return expected.text == given.text


#: Comparisons of two answers of the same kind, by kind.
_SAME_KIND = {
    "value": _compare_values,
    "list": _compare_lists,
    "set": lambda expected, given: _match_all(expected.parts, given.parts, is_set=True),
    "sequence": _compare_sequences,
    "relation": _compare_relations,
    "union": _compare_real_sets,
    "congruence": _compare_congruences,
    "matrix": _compare_matrices,
    "reals": lambda expected, given: True,
    "named set": _compare_texts,
    "based": _compare_texts,
    "infinity": _compare_texts,
}

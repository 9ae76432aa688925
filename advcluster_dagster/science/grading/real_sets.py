"""Sets of real numbers: intervals, inequalities in one variable, their unions and intersections.

The end points of both sets cut the real line into points and open segments; a set is represented by the points and
segments that belong to it.
"""

from fractions import Fraction
from typing import Any

from advcluster_dagster.science.grading.expression_equality import are_equal, constant_value
from advcluster_dagster.science.grading.expression_tree import Node, names_in, substituted
from advcluster_dagster.science.grading.forms import Form

Cells = frozenset[int]

_ORDERED = frozenset({"<", ">", "<=", ">="})


def is_real_set(form: Form) -> bool:
    """Whether a form is a set of real numbers with constant end points; a pair counts, since it may be an interval."""
    match form.kind:
        case "reals":
            return True
        case "union" | "intersection" | "difference":
            return all(is_real_set(part) for part in form.parts)
        case "set":
            return all(_is_end(part) and part.kind == "value" for part in form.parts)
        case "sequence":
            return len(form.parts) == 2 and form.text in ("()", "[]", "(]", "[)") and all(map(_is_end, form.parts))
        case "list":
            parts = form.parts
            return form.text in ("and", "or") and all(map(is_real_set, parts)) and len(set(map(_variable, parts))) == 1
        case "relation":
            return _is_inequality(form)
    return False


def _is_end(form: Form) -> bool:
    if form.kind == "infinity":
        return True
    return form.kind == "value" and form.node is not None and not names_in(form.node)


def _is_inequality(form: Form) -> bool:
    """Whether one side is a bare variable, all others are constants, and all signs point the same way."""
    if form.operators in (("in",), ("!=",)):
        return bool(_variable(form)) and (
            is_real_set(form.parts[1]) if form.operators == ("in",) else _is_end(form.parts[1])
        )
    if not set(form.operators) <= _ORDERED or len({operator[0] for operator in form.operators}) > 1:
        return False
    names = [part for part in form.parts if not _is_end(part)]
    return (
        len(names) == 1
        and bool(_variable(form))
        and len(form.parts) <= 3
        and (len(form.parts) == 2 or names[0] is form.parts[1])
    )


def _variable(form: Form) -> str:
    """The bare variable in an inequality; empty if there is none."""
    names = [part.node.name for part in form.parts if part.kind == "value" and part.node and part.node.kind == "name"]
    return names[0] if len(names) == 1 else ""


def are_same_reals(first: Form, second: Form) -> bool:
    """Whether two sets of real numbers (see :func:`is_real_set`) have the same members.

    Raises:
        OversizedAnswerError: an end point is out of bounds.
    """
    ends: list[tuple[Any, Node]] = []
    for form in (first, second):
        for node in _end_points(form):
            value = constant_value(node)
            if value is None:
                return False
            ends.append((_Sortable(value), node))
    ends.sort(key=lambda end: end[0].value)
    distinct: list[Node] = []
    for _, node in ends:
        if not distinct or not are_equal(distinct[-1], node):
            distinct.append(node)
    line = _Line(distinct)
    return line.cells(first) == line.cells(second)


def solved(form: Form) -> Form:
    """Solve a single inequality in one variable if it is linear or the absolute value of a linear expression.

    ``2x < 4`` becomes ``x < 2``, ``|x - 1| < 2`` becomes ``-1 < x < 3``; any other form is returned unchanged.
    """
    left, right = form.parts
    operator = form.operators[0]
    if _is_end(left) and operator in _TURNED:
        left, right, operator = right, left, _TURNED[operator]
    if (
        operator not in _TURNED
        or left.node is None
        or right.kind != "value"
        or not _is_end(right)
        or right.node is None
    ):
        return form
    if left.node.kind != "absolute":
        return _linear(left.node, operator, right.node) or form
    inner, bound = left.node.parts[0], right.node
    size = constant_value(bound)
    low = _linear(inner, _TURNED[operator], Node("negative", (bound,)))
    high = _linear(inner, operator, bound)
    if low is None or high is None or size is None or not size > 0:
        return form
    return Form("list", (low, high), text="and" if operator in ("<", "<=") else "or")


_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def _linear(node: Node, operator: str, bound: Node) -> Form | None:
    """Rewrite ``a x + b < c`` as ``x < (c - b) / a``; None if the left side is not linear in one variable."""
    names = names_in(node)
    if len(names) != 1:
        return None
    name = next(iter(names))
    at_zero, at_one = (substituted(node, name, Node("number", value=Fraction(n))) for n in (0, 1))
    slope = Node("sum", (at_one, Node("negative", (at_zero,))))
    line = Node("sum", (Node("product", (slope, Node("name", name=name))), at_zero))
    size = constant_value(slope)
    if not size or not are_equal(node, line):
        return None
    end = Node("fraction", (Node("sum", (bound, Node("negative", (at_zero,)))), slope))
    variable = Form("value", node=Node("name", name=name))
    turned = operator if size > 0 else _TURNED[operator]
    return Form("relation", (variable, Form("value", node=end)), text=name, operators=(turned,))


class _Sortable:
    """Sort key for rational and irrational numbers."""

    def __init__(self, value: Any) -> None:
        self.value = value if isinstance(value, Fraction) else Fraction(str(value))


def _end_points(form: Form) -> list[Node]:
    if form.kind == "value" and form.node is not None and not names_in(form.node):
        return [form.node]
    return [node for part in form.parts for node in _end_points(part)]


class _Line:
    """The real line cut at end points: point n is cell 2n + 1, the adjacent segments are cells 2n and 2n + 2."""

    def __init__(self, points: list[Node]) -> None:
        self._points = points
        self._all = frozenset(range(2 * len(points) + 1))

    def cells(self, form: Form) -> Cells:
        """The cells that belong to a set."""
        match form.kind:
            case "reals":
                return self._all
            case "set":
                return frozenset(self._place(part) for part in form.parts)
            case "sequence":
                return self._between(form.parts[0], form.parts[1], form.text[0] == "[", form.text[1] == "]")
            case "relation":
                return self._relation(form)
        parts = [self.cells(part) for part in form.parts]
        if form.kind == "difference":
            return parts[0] - parts[1]
        is_union = form.kind == "union" or form.text == "or"
        return frozenset.union(*parts) if is_union else frozenset.intersection(*parts)

    def _place(self, form: Form) -> int:
        """The cell of an end point; the infinities lie before the first and after the last cell."""
        if form.kind == "infinity":
            return -1 if form.text == "-" else 2 * len(self._points) + 1
        return next(
            2 * n + 1 for n, point in enumerate(self._points) if form.node is not None and are_equal(point, form.node)
        )

    def _between(self, low: Form, high: Form, with_low: bool, with_high: bool) -> Cells:
        first, last = self._place(low), self._place(high)
        return self._all & frozenset(range(first + (not with_low), last + with_high))

    def _relation(self, form: Form) -> Cells:
        if form.operators == ("in",):
            return self.cells(form.parts[1])
        if form.operators == ("!=",):
            return self._all - {self._place(form.parts[1])}
        parts, operators = form.parts, form.operators
        if operators[0][0] == ">":
            parts, operators = parts[::-1], tuple(operator.replace(">", "<") for operator in operators[::-1])
        cells = self._all
        for left, operator, right in zip(parts, operators, parts[1:], strict=False):
            is_closed = operator == "<="
            if _is_end(left):
                cells &= frozenset(range(self._place(left) + (not is_closed), 2 * len(self._points) + 2))
            else:
                cells &= frozenset(range(-1, self._place(right) + is_closed))
        return cells

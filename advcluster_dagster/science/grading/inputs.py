"""Validate that a predicted input of a benchmark's function is a safe Python expression.

Allowed are literals, containers, operators, comprehensions, methods of data types, pure built-in functions, lambdas,
and data that the benchmark's code defines at its top level. A bound name is valid only inside the lambda or
comprehension that binds it, and must not shadow a built-in, the function, or a name of the code.
"""

import ast
import builtins
import re
import symtable
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from advcluster_dagster.science.grading.literals import parse_expression, without_fence

FUNCTION = "f"
#: Built-in functions and types an input may use; all are pure.
BUILTINS = frozenset({
        "abs", "all", "any", "ascii", "bin", "bool", "bytearray", "bytes", "chr", "complex", "dict", "divmod",
        "enumerate", "filter", "float", "frozenset", "hex", "int", "isinstance", "iter", "len", "list", "map", "max",
        "min", "oct", "ord", "pow", "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum",
        "tuple", "zip",
    })  # fmt: skip
#: Data types whose public methods and attributes an input may use.
DATA_TYPES = (str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset, range)
#: Names of these types; ``list.reverse`` and ``dict.fromkeys`` are allowed too.
TYPE_NAMES = frozenset(kind.__name__ for kind in DATA_TYPES)
# ``format`` can access arbitrary attributes through the format string.
_ATTRIBUTES = frozenset(name for kind in DATA_TYPES for name in dir(kind) if not name.startswith("_")) - {
    "format",
    "format_map",
}
# Expressions that are allowed if all their parts are.
_COMPOSED = (
    ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp,
    ast.Subscript, ast.Slice, ast.Starred, ast.JoinedStr, ast.FormattedValue,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Load,
)  # fmt: skip
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_UNBINDABLE = frozenset({*dir(builtins), FUNCTION})
_ASSERTION = re.compile(r"\Aassert\b\s*")

# A part of an expression yet to be checked, and the names bound around it.
_Part = tuple[ast.AST, frozenset[str]]


@dataclass(frozen=True)
class ProgramNames:
    """Names at the top level of a program: all of them, and those bound by assignment, which may hold data."""

    all: frozenset[str]
    assigned: frozenset[str]


@lru_cache(maxsize=1024)
def read_names(code: str) -> ProgramNames:
    """Collect the names that a program binds at its top level.

    Raises:
        SyntaxError, ValueError: the code is not Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parser warns about invalid escape sequences
        symbols = symtable.symtable(code, "<program>", "exec").get_symbols()
    assigned = {symbol.get_name() for symbol in symbols if symbol.is_assigned()}
    other = {symbol.get_name() for symbol in symbols if symbol.is_namespace() or symbol.is_imported()}
    return ProgramNames(frozenset(assigned | other), frozenset(assigned - other - {FUNCTION}))


def read_call(text: str) -> str | None:
    """Extract the call from a prediction, as Python source; None if there is none.

    Accepts ``f(1, 2)``, an assertion or equality with the call on one side, and bare arguments ``1, 2``.
    """
    source = _ASSERTION.sub("", without_fence(text))
    is_assertion = bool(_ASSERTION.match(without_fence(text)))
    if (expression := _parse(source)) is not None:
        if is_assertion and isinstance(expression, ast.Tuple) and len(expression.elts) == 2:
            expression = expression.elts[0]  # assert f(2) == 4, "a message"
        if (call := _called(expression)) is not None:
            return ast.get_source_segment(source, call)
    # The second spelling is for arguments followed by a comment.
    for spelling in (f"{FUNCTION}({source})", f"{FUNCTION}({source}\n)"):
        if _is_call(_parse(spelling)):
            return spelling
    return None


def _parse(source: str) -> ast.expr | None:
    try:
        return parse_expression(source)
    except (SyntaxError, ValueError):
        return None


def _called(expression: ast.expr) -> ast.expr | None:
    """The call of the function in ``f(2)``, ``f(2) == 4``, ``f(2) is None`` and ``4 == f(2)``."""
    if isinstance(expression, ast.Compare) and isinstance(expression.ops[0], ast.Eq | ast.Is):
        sides = (expression.left, *expression.comparators)
        return next((side for side in sides[:2] if _is_call(side)), None)
    return expression if _is_call(expression) else None


def _is_call(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == FUNCTION


def is_input(call: str, names: ProgramNames) -> bool:
    """Whether the source is a call of the function whose arguments are allowed (see the module docstring).

    Raises:
        RecursionError, MemoryError: the source is nested too deeply to be read.
    """
    expression = _parse(call)
    if not isinstance(expression, ast.Call) or not _is_call(expression):
        return False
    parts: list[_Part] = [(part, frozenset()) for part in (*expression.args, *expression.keywords)]
    while parts:
        node, bound = parts.pop()
        inner = _parts(node, bound, names)
        if inner is None:
            return False
        parts.extend(inner)
    return True


def _parts(node: ast.AST, bound: frozenset[str], names: ProgramNames) -> Iterable[_Part] | None:
    """The parts of an expression yet to be checked; None if it is rejected regardless of its parts."""
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            return [] if name in bound or name in BUILTINS or name in names.assigned else None
        case ast.keyword(arg=name, value=value):
            return None if (name or "").startswith("__") else [(value, bound)]
        case ast.Attribute(attr=attribute, ctx=ast.Load()):
            return _parts_of_attribute(node, bound) if attribute in _ATTRIBUTES else None
        case ast.Call(func=ast.Name() | ast.Lambda() | ast.Attribute()):
            return [(part, bound) for part in (node.func, *node.args, *node.keywords)]
        case ast.Lambda():
            return _parts_of_lambda(node, bound, names)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return _parts_of_comprehension(node, bound, names)
    return [(part, bound) for part in ast.iter_child_nodes(node)] if isinstance(node, _COMPOSED) else None


def _parts_of_attribute(node: ast.Attribute, bound: frozenset[str]) -> list[_Part] | None:
    """The object of an attribute to check: nothing for a data type, else the expression; None if rejected."""
    if isinstance(node.value, ast.Name) and node.value.id in BUILTINS - bound:
        return [] if node.value.id in TYPE_NAMES else None
    return [(node.value, bound)]


def _parts_of_lambda(node: ast.Lambda, bound: frozenset[str], names: ProgramNames) -> list[_Part] | None:
    """The defaults, which do not see the parameters, and the body, which does; None if a parameter name is rejected."""
    arguments = node.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    inner = {parameter.arg for parameter in parameters if parameter is not None}
    if not _may_be_bound(inner, names):
        return None
    defaults = [default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None]
    return [*((default, bound) for default in defaults), (node.body, bound | inner)]


def _parts_of_comprehension(
    node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, bound: frozenset[str], names: ProgramNames
) -> list[_Part] | None:
    """Iterables, which see earlier targets, and conditions and elements, which also see their own; None if rejected."""
    parts: list[_Part] = []
    for loop in node.generators:
        targets = _names_of_target(loop.target)
        if loop.is_async or targets is None or not _may_be_bound(targets, names):
            return None
        parts.append((loop.iter, bound))
        bound = bound | targets
        parts += [(condition, bound) for condition in loop.ifs]
    elements = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
    return [*parts, *((element, bound) for element in elements)]


def _names_of_target(target: ast.AST) -> set[str] | None:
    """The names a comprehension binds; None if it assigns to anything but names."""
    nodes = [node for node in ast.walk(target) if not isinstance(node, ast.Store)]
    if not all(isinstance(node, ast.Name | ast.Tuple | ast.List | ast.Starred) for node in nodes):
        return None
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _may_be_bound(bound_names: Iterable[str], names: ProgramNames) -> bool:
    return not any(name in _UNBINDABLE or name in names.all or name.startswith("__") for name in bound_names)

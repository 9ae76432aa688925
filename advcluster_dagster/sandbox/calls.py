"""Run one call of a program's function and copy the returned value.

A program may replace any modules and built-in names within its reach. Everything needed after it has run is therefore
held in local variables, which it cannot reach, and no method of a returned value is ever called.
"""

import ast
import builtins
from collections.abc import Callable
from types import CodeType
from typing import Any

from advcluster_dagster.science.grading.inputs import BUILTINS, DATA_TYPES, FUNCTION, TYPE_NAMES

_MAX_DEPTH = 200
_CHECK = "__data__"


def build_runner() -> Callable[[str, str], tuple[str, str]]:
    """Build a function that runs a program's code and then a call of its function.

    It returns the status, ``value``, ``raised`` or ``memory``, and the returned value as an ASCII literal; a value
    without a literal counts as ``raised``.
    """
    execute, evaluate, build, literal_of = exec, eval, compile, ascii
    copy_plain, compile_call, memory_error, any_error = build_plain_copier(), _compile_call, MemoryError, BaseException
    copy_data_in = _build_data_copier(copy_plain)
    known: dict[str, Any] = {"__builtins__": {name: getattr(builtins, name) for name in BUILTINS}}
    known[_CHECK] = _build_check()

    def run(code: str, call: str) -> tuple[str, str]:
        try:
            compiled = compile_call(call)
            program: dict[str, Any] = {"__name__": "program"}
            execute(build(code, "<program>", "exec"), program)
            names = {**known, **copy_data_in(call, program), FUNCTION: program[FUNCTION]}
            return "value", literal_of(copy_plain(evaluate(compiled, names)))
        except memory_error:
            return "memory", ""
        except any_error:
            return "raised", ""

    return run


def _compile_call(call: str) -> CodeType:
    """Compile a call, inserting a check that attributes are accessed only on data."""
    if "." not in call:
        return compile(call, "<call>", "eval")
    expression = ast.parse(call, mode="eval")
    for node in ast.walk(expression):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in TYPE_NAMES):
            check = ast.copy_location(ast.Name(_CHECK, ast.Load()), node)
            node.value = ast.copy_location(ast.Call(check, [node.value], []), node)
    return compile(expression, "<call>", "eval")


def _build_check() -> Callable[[Any], Any]:
    is_subclass, type_of, data_types, error = issubclass, type, DATA_TYPES, TypeError

    def check_data(receiver: Any) -> Any:
        if not is_subclass(type_of(receiver), data_types):
            raise error("only attributes of data may be used")
        return receiver

    return check_data


def _build_data_copier(copy_plain: Callable[[Any], Any]) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Build a function that copies the program's data for use in a call, so that calls cannot modify the original."""
    error = TypeError

    def copy_data_in(call: str, program: dict[str, Any]) -> dict[str, Any]:
        copies = {}
        for name, value in program.items():
            if name in call and name[:2] != "__":
                try:
                    copies[name] = copy_plain(value)
                except error:
                    continue  # functions and the like, which a call cannot use
        return copies

    return copy_data_in


def build_plain_copier() -> Callable[[Any], Any]:
    """Build a function that copies a value into built-in types that have literals and compare equal to it.

    Instances of subclasses become instances of the built-in type. The copier raises TypeError for other values.
    """
    type_of, is_subclass, max_depth, error = type, issubclass, _MAX_DEPTH, TypeError
    unchanged = (str, int, bool, float, type(None), bytes, complex, type(...))

    def copy_plain(value: Any, depth: int = 0) -> Any:
        kind = type_of(value)
        for exact in unchanged:
            if kind is exact:  # not ==, which a metaclass can override
                return value
        if depth > max_depth:
            raise error("nested too deeply")
        for base, copy in copiers:
            if is_subclass(kind, base):
                return copy(value, depth + 1)
        raise error("a value has no literal")

    copiers = _copiers_by_type(copy_plain)
    return copy_plain


def _copiers_by_type(copy_plain: Callable[[Any, int], Any]) -> tuple[tuple[type, Callable[[Any, int], Any]], ...]:
    """Copy functions by type, also for instances of subclasses; they call the methods of the built-in type itself."""
    pairs, items, parts, members, frozen_members = (
        dict.items, list.__iter__, tuple.__iter__, set.__iter__, frozenset.__iter__,
    )  # fmt: skip
    as_tuple, as_int, as_str, as_bytes, copy_buffer = tuple, int.__int__, str.__str__, bytes, bytearray.copy
    return (
        (dict, lambda value, depth: {copy_plain(k, depth): copy_plain(v, depth) for k, v in pairs(value)}),
        (list, lambda value, depth: [copy_plain(item, depth) for item in items(value)]),
        (tuple, lambda value, depth: as_tuple([copy_plain(item, depth) for item in parts(value)])),
        (set, lambda value, depth: {copy_plain(item, depth) for item in members(value)}),
        (frozenset, lambda value, depth: {copy_plain(item, depth) for item in frozen_members(value)}),
        (int, lambda value, _: as_int(value)),
        (str, lambda value, _: as_str(value)),
        (bytearray, lambda value, _: as_bytes(copy_buffer(value))),
    )

"""Read Python literals without running anything."""

import ast
import re
import warnings
from typing import Any

# Literals longer than this are not parsed: no gold answer comes near it.
MAX_LITERAL_CHARACTERS = 1_000_000

_FENCE = re.compile(r"\A```[a-z0-9]*\n(.*?)\n?```\Z", re.DOTALL)


def read_literal(text: str) -> Any:
    """Value of a Python literal, or of the right side of an equation whose left side is a call.

    The text may be fenced or begin with ``assert``.

    Raises:
        ValueError, SyntaxError, TypeError: it is no literal.
        RecursionError, MemoryError: it is nested too deeply or too long to be read.
    """
    source = without_fence(text)
    if len(source) > MAX_LITERAL_CHARACTERS:
        raise MemoryError(f"a literal of {len(source)} characters")
    statement = parse_expression(source.removeprefix("assert "))
    match statement:
        case ast.Compare(left=ast.Call(), ops=[ast.Eq()], comparators=[right_side]):
            return ast.literal_eval(right_side)
    return ast.literal_eval(statement)


def parse_expression(source: str) -> ast.expr:
    """The syntax tree of an expression.

    Raises:
        ValueError, SyntaxError: it is no expression.
        RecursionError, MemoryError: it is nested too deeply to be read; of brackets that
            close, Python reads 200.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser comments on odd escapes in what it reads
            return ast.parse(source, mode="eval").body
    except SyntaxError as error:
        is_closed = all(source.count(opening) == source.count(end) for opening, end in ("()", "[]", "{}"))
        if error.msg == "too many nested parentheses" and is_closed:
            raise RecursionError(error.msg) from None
        raise


def without_fence(text: str) -> str:
    """The text stripped of white space and of a fence around it."""
    source = text.strip()
    fenced = _FENCE.match(source)
    return fenced[1].strip() if fenced else source

"""Parse Python literals without executing code."""

import ast
import re
import warnings
from typing import Any

# Longer literals are not parsed; gold answers are far shorter.
MAX_LITERAL_CHARACTERS = 1_000_000

_FENCE = re.compile(r"\A```[a-z0-9]*\n(.*?)\n?```\Z", re.DOTALL)


def read_literal(text: str) -> Any:
    """Evaluate a Python literal, or the right side of an equality whose left side is a call.

    The text may be fenced or begin with ``assert``.

    Raises:
        ValueError, SyntaxError, TypeError: the text is not a literal.
        RecursionError, MemoryError: the text is nested too deeply or too long to be parsed.
    """
    source = without_fence(text)
    if len(source) > MAX_LITERAL_CHARACTERS:
        raise MemoryError(f"literal too long: {len(source)} characters, at most {MAX_LITERAL_CHARACTERS}")
    statement = parse_expression(source.removeprefix("assert "))
    match statement:
        case ast.Compare(left=ast.Call(), ops=[ast.Eq()], comparators=[right_side]):
            return ast.literal_eval(right_side)
    return ast.literal_eval(statement)


def parse_expression(source: str) -> ast.expr:
    """Parse an expression into its syntax tree.

    Raises:
        ValueError, SyntaxError: the text is not an expression.
        RecursionError, MemoryError: the text is nested too deeply; Python's limit is 200 levels of balanced brackets.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser warns about invalid escape sequences
            return ast.parse(source, mode="eval").body
    except SyntaxError as error:
        is_closed = all(source.count(opening) == source.count(end) for opening, end in ("()", "[]", "{}"))
        if error.msg == "too many nested parentheses" and is_closed:
            raise RecursionError(error.msg) from None
        raise


def without_fence(text: str) -> str:
    """Strip surrounding white space and an enclosing code fence."""
    source = text.strip()
    fenced = _FENCE.match(source)
    return fenced[1].strip() if fenced else source

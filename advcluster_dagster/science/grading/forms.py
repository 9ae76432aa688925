r"""Parse an answer into its kind: a value, a word, a list, a set, a tuple or interval, a relation, a matrix.

Rules: commas, semicolons, "and" and "or" outside brackets separate the parts of a list, in which repetitions count;
``\{ \}`` is a set; other brackets around commas are a tuple or an interval; ``\pm`` gives two values; text in
``\text{}`` and a run of letters that is not a product (:func:`vocabulary.is_word`) is a word; a numeral with an index
is a numeral with a base.
"""

import re
from dataclasses import dataclass, replace

from advcluster_dagster.science.grading.errors import UnreadableAnswerError
from advcluster_dagster.science.grading.expression_tree import Node
from advcluster_dagster.science.grading.expressions import read_expression
from advcluster_dagster.science.grading.notation import check_size, normalise_math
from advcluster_dagster.science.grading.quantities import read_quantity, unit_behind
from advcluster_dagster.science.grading.units import is_unit, plain_unit
from advcluster_dagster.science.grading.words import AND_OR, word_of

# Answers with more parts are rejected.
_MAX_PARTS = 100

_OPEN, _CLOSE = (
    frozenset({"(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil"}),
    frozenset({")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil"}),
)
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[A-Za-z]+|.", re.DOTALL)
_LOGIC = re.compile(r"\\(?:lor|vee|land|wedge)(?![A-Za-z])")
_CONNECTIVES = {"and": "and", "or": "or", "lor": "or", "vee": "or", "land": "and", "wedge": "and"}
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", r"\le": "<=", r"\leq": "<=", r"\leqslant": "<=", r"\leqq": "<=", r"\ge": ">=",
    r"\geq": ">=", r"\geqslant": ">=", r"\geqq": ">=", r"\lt": "<", r"\gt": ">", r"\ne": "!=", r"\neq": "!=",
    r"\in": "in", r"\approx": "~", r"\simeq": "~", r"\equiv": "equiv", r"\to": "other", r"\mapsto": "other",
    r"\sim": "other",
    r"\subset": "other", r"\subseteq": "other", r"\notin": "other", r"\cong": "other", r"\propto": "other",
    r"\rightarrow": "other", r"\Rightarrow": "other", r"\implies": "other", r"\iff": "other", r"\parallel": "other",
    r"\perp": "other",
}  # fmt: skip
_SPELLINGS = (("<=", r"\le "), (">=", r"\ge "), ("!=", r"\ne "), (r"\not=", r"\ne "), ("==", "="), (r"\colon", ":"))
_SET_OPERATIONS = {r"\cup": "union", r"\cap": "intersection", r"\setminus": "difference", r"\backslash": "difference"}
_EMPTY = re.compile(r"\\(?:emptyset|varnothing)|\\\{\s*\\\}")
_REALS = re.compile(r"\\mathbb\s*(?:\{\s*R\s*\}|R)|\\(?:R|Reals)")
_CONDITION = re.compile(r"\s*[A-Za-z]\s*(?:\\in\s*\\mathbb\s*(?:\{\s*R\s*\}|R)\s*)?(?:\\mid|\||:)(.*)", re.DOTALL)
_NAMED_SET = re.compile(r"\\mathbb\s*\{?\s*([NZQCR])\s*\}?((?:\^|_)\s*\{?[-+0-9*]+\}?)?")
_INFINITY = re.compile(r"([-+]?)\s*(?:\\infty|infinity|inf)")
_MATRIX = re.compile(
    r"[(\[]?\s*\\begin\{(?:([pbvBV]?)matrix|array\}\s*\{[^{}]*)\}(.*)\\end\{(?:[pbvBV]?matrix|array)\}\s*[)\]]?",
    re.DOTALL,
)
_BASE_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_BASED = re.compile(
    r"\(?\s*([0-9A-Za-z ]*[0-9][0-9A-Za-z ]*)\)?\s*_\s*(?:\{\s*\(?\s*([0-9]{1,3})\s*\)?\s*\}|([0-9])"
    r"|\{?\s*\\(?:text|mathrm)\s*\{\s*([a-z]+)\s*\}\s*\}?|\{([a-z]+)\})"
)
_MODULUS = re.compile(
    r"\\pmod\s*(?:\{([^{}]+)\}|([0-9A-Za-z]))|\\(?:bmod|mod)\s*\{?\s*([0-9A-Za-z]+)\s*\}?"
    r"|\\text\s*\{\s*\(?\s*mod\s+([0-9A-Za-z]+)\s*\)?\s*\}|\(\s*(?:\\(?:bmod|mod|mathrm\{mod\}|text\{\s*mod\s*\})|mod)\s*([0-9A-Za-z]+)\s*\)"
)
_UNIT_TAIL = re.compile(
    r"(?:\\(?:text|mathrm|textrm|mbox|rm)\s*\{[^{}]*\}|(?<=[\s0-9}\)])[A-Za-z][A-Za-z/. ]*)"
    r"(?:\s*\^\s*(?:\{\s*-?[0-9]\s*\}|[0-9])|\s*[/*]\s*|\\cdot|\s*\\(?:text|mathrm|textrm)\s*\{[^{}]*\})*\s*\Z"
)
_DEGREES = re.compile(r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ)\s*\Z")
_PERCENT = re.compile(r"\s*(?:\\%|%|\\text\s*\{\s*percent\s*\}|percent)\s*\Z")
_WAVE = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_ALL_REALS = frozenset({"all real numbers", "all reals", "the real numbers", "real numbers", "all real x"})
_CALL = re.compile(r"\s*\\?(?:sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp)(?![a-z])")
_NAME = re.compile(
    r"(?:\\[A-Za-z]+|[A-Za-z])(?:_(?:\{[^{}]*\}|[0-9A-Za-z]))?'*|\\?[A-Za-z]+(?:\^\s*\{?\s*-1\s*\}?)?'*\s*(?:\([^()]*\)|\[[^\[\]]*\])"
    r"|\\angle\s*[A-Z]+|\\(?:vec|hat|overline|mathbf)\s*\{?[A-Za-z]+\}?|\|\s*[A-Z]{2}\s*\|"
    r"|\\frac\s*\{\s*(?:d|\\partial)\s*[a-z]?\s*\}\s*\{\s*(?:d|\\partial)\s*[a-z]\s*\}"
)


@dataclass(frozen=True, slots=True)
class Form:
    """A parsed answer.

    ``kind`` is one of value, infinity, word, list, set, sequence, relation, union, intersection, difference, reals,
    named set, matrix, based, congruence. ``text`` is a word, the brackets, a name or a connective; ``node`` and
    ``unit`` are set for a value.
    """

    kind: str
    parts: tuple["Form", ...] = ()
    text: str = ""
    node: Node | None = None
    unit: str = ""
    operators: tuple[str, ...] = ()
    n_columns: int = 0


EMPTY_SET = Form("set")


def read_answer(text: str) -> Form:
    """Parse an answer.

    Raises:
        UnreadableAnswerError: the answer has none of the known kinds.
        OversizedAnswerError: the answer is too long or too deeply nested.
    """
    if (word := word_of(text)) is not None:
        return Form("reals") if word in _ALL_REALS else Form("word", text=word)
    plain = normalise_math(text)
    check_size(plain)
    for old, new in _SPELLINGS:
        plain = plain.replace(old, new)
    plain = plain.replace(r"\lbrace", r"\{").replace(r"\rbrace", r"\}").strip(" ,;")
    return _read(re.sub(r"\A\\(?:approx|simeq)(?![a-z])\s*", "", plain))


def split_outside(text: str, separators: dict[str, str]) -> tuple[list[str], list[str]]:
    """Split a text at separators outside brackets; returns the pieces and the separators' meanings."""
    pieces, meanings, depth, start, bars = [], [], 0, 0, 0
    for token in _TOKEN.finditer(text):
        symbol = token[0]
        if symbol in _OPEN:
            depth += 1
        elif symbol in _CLOSE:
            depth -= 1
            if depth < 0:
                raise UnreadableAnswerError(f"{text[:60]!r} closes a bracket that is not open")
        elif depth == 0 and bars == 0 and symbol in separators:
            pieces.append(text[start : token.start()].strip())
            meanings.append(separators[symbol])
            start = token.end()
    if depth:
        raise UnreadableAnswerError(f"{text[:60]!r} leaves a bracket open")
    if len(pieces) >= _MAX_PARTS:
        raise UnreadableAnswerError("too many parts")
    return [*pieces, text[start:].strip()], meanings


def _read(text: str) -> Form:
    """Parse a normalised text without words."""
    if not text:
        raise UnreadableAnswerError("an empty answer")
    for read in (
        _constant_form,
        _congruence,
        _based,
        _matrix,
        _list,
        _plus_minus,
        _relation,
        _set_operation,
        _ratio,
        _bracketed,
    ):
        if (form := read(text)) is not None:
            return form
    return read_value(text)


def _read_part(text: str) -> Form:
    """Parse an element of a list or set, which may be a word."""
    if not text:
        raise UnreadableAnswerError("an empty part")
    word = word_of(text)
    return Form("word", text=word) if word is not None else _read(text)


def _constant_form(text: str) -> Form | None:
    if _EMPTY.fullmatch(text):
        return EMPTY_SET
    if _REALS.fullmatch(text):
        return Form("reals")
    if named := _NAMED_SET.fullmatch(text):
        return Form("named set", text=re.sub(r"[{}\s]", "", named[1] + (named[2] or "")))
    if infinity := _INFINITY.fullmatch(text):
        return Form("infinity", text="-" if infinity[1] == "-" else "+")
    return None


def _congruence(text: str) -> Form | None:
    r"""Parse ``x \equiv a, b \pmod{n}``: modulus, residues and the name, which may be missing."""
    match = next(iter(_MODULUS.finditer(text)), None)
    if match is None or text[match.end() :].strip(" )"):
        return None
    sides, _ = split_outside(text[: match.start()].strip(" (,"), {r"\equiv": "equiv", "=": "="})
    modulus = read_value(next(group for group in match.groups() if group))
    if len(sides) > 2:
        raise UnreadableAnswerError("a chain of congruences")
    residues, _ = split_outside(AND_OR.sub(",", sides[-1]), {",": ",", ";": ","})
    name = "".join(sides[0].split()) if len(sides) == 2 else ""
    return Form("congruence", (modulus, *(read_value(residue) for residue in residues)), text=name)


def _based(text: str) -> Form | None:
    match = _BASED.fullmatch(text)
    if match is None or (word := match[4] or match[5] or "ten") not in _BASE_WORDS:
        return None
    base = int(match[2] or match[3] or _BASE_WORDS.index(word) + 2)
    digits = match[1].replace(" ", "").upper()
    return Form("based", text=f"{digits.lstrip('0') or '0'} {base}")


def _matrix(text: str) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if match is None or "\\begin" in match[2]:
        return None
    body = match[2].strip().removesuffix("\\\\")
    rows = [row.split("&") for row in body.split("\\\\")]
    if len({len(row) for row in rows}) != 1:
        raise UnreadableAnswerError("a matrix with rows of different lengths")
    cells = tuple(_read(cell.strip()) for row in rows for cell in row)
    return Form("matrix", cells, text="determinant" if match[1] in ("v", "V") else "", n_columns=len(rows[0]))


def _list(text: str) -> Form | None:
    if not re.search(r"[0-9],\s|=", text) and read_quantity(text) is not None:
        return None  # 1,234 is a number
    marked = AND_OR.sub(lambda m: f" \\{_CONNECTIVES[m[1] or m[2] or m[3]]} ", text)
    separators = {r"\or": "or", r"\and": "and", ";": ";", ",": ","}
    if re.search(r"[0-9],[0-9]{3}(?![0-9])", marked) and re.search(r",\s", marked):
        marked = re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", marked)  # 1,234, 5,678
    pieces, meanings = split_outside(marked, separators)
    if len(pieces) == 1:
        return None
    connective = "or" if "or" in meanings else "and" if "and" in meanings else ","
    form = Form("list", tuple(_read_part(piece) for piece in pieces), text=connective)
    if _LOGIC.search(text) and any(part.kind != "relation" for part in form.parts):
        raise UnreadableAnswerError("a formula of logic")
    return form


def _plus_minus(text: str) -> Form | None:
    signs = re.findall(r"\\(?:pm|mp)(?![a-z])", text)
    if not signs or (text.startswith(r"\{") and text.endswith(r"\}")):
        return None
    if len(signs) > 2 or signs == [r"\pm", r"\pm"]:
        raise UnreadableAnswerError("several signs that may be plus or minus")
    upper = re.sub(r"\\pm(?![a-z])", "+", re.sub(r"\\mp(?![a-z])", "-", text))
    lower = re.sub(r"\\pm(?![a-z])", "-", re.sub(r"\\mp(?![a-z])", "+", text))
    return Form("list", (_read(upper), _read(lower)), text="or")


def _relation(text: str) -> Form | None:
    sides, operators = split_outside(text, _RELATIONS)
    if not operators:
        return None
    if "other" in operators or "equiv" in operators:
        raise UnreadableAnswerError("an unsupported relation")
    if operators[-1] == "in" and len(operators) == 1:
        return Form("relation", (_read(sides[0]), _read(sides[1])), text=_name(sides[0]), operators=("in",))
    parts = tuple(_side(side, is_first=side is sides[0]) for side in sides)
    return Form("relation", parts, text=_name(sides[0]), operators=tuple(operators))


def _side(text: str, is_first: bool) -> Form:
    r"""Parse a side of a relation; a name such as ``\text{Area}`` or ``f(x)`` on the left equals only itself."""
    word = word_of(text)
    if word is not None or re.fullmatch(r"[A-Z]{2,}", text):
        return Form("value", node=Node("name", name=word or text))
    if is_first and (name := _name(text)):
        try:
            return _read(text)
        except UnreadableAnswerError:
            return Form("value", node=Node("name", name=name))
    return _read(text)


def _name(text: str) -> str:
    r"""The name on a left side, such as ``x``, ``x_1``, ``f(x)`` or ``(x, y)``; empty for other expressions."""
    plain = re.sub(r"\s+|\\(?:text|mathrm)(?=\{)", "", text)
    plain = re.sub(r"_\{(.)\}", r"_\1", plain)
    if (_NAME.fullmatch(text.strip()) and not _CALL.match(text)) or word_of(text) is not None:
        return plain
    return plain if re.fullmatch(r"\((?:[A-Za-z],)+[A-Za-z]\)", plain) else ""


def _ratio(text: str) -> Form | None:
    """Parse a ratio: ``3:4`` is three quarters; with more numbers it is a proportion."""
    pieces, _ = split_outside(text, {":": ":"})
    if len(pieces) == 1:
        return None
    parts = tuple(read_value(piece) for piece in pieces)
    if any(part.unit or part.node is None for part in parts):
        raise UnreadableAnswerError("a ratio of numbers with units")
    nodes = tuple(part.node for part in parts if part.node is not None)
    fractions = tuple(Form("value", node=Node("fraction", (node, nodes[-1]))) for node in nodes[:-1])
    return fractions[0] if len(fractions) == 1 else Form("sequence", fractions, text=":")


def _set_operation(text: str) -> Form | None:
    if _REALS.match(text):
        text = re.sub(r"(?<=[R}])\s*[-\\]\s*(?=\\\{)", r" \\setminus ", text, count=1)
    pieces, meanings = split_outside(text, _SET_OPERATIONS)
    if not meanings:
        return None
    form = _read(pieces[0])
    for piece, meaning in zip(pieces[1:], meanings, strict=True):
        form = Form(meaning, (form, _read(piece)))
    return form


def _bracketed(text: str) -> Form | None:
    """Parse a set, tuple or interval; None if the brackets belong to an expression."""
    pair = next(
        ((a, b) for a in (r"\{", r"\langle", "(", "[") for b in (r"\}", r"\rangle", ")", "]")
         if text.startswith(a) and text.endswith(b)), None
    )  # fmt: skip
    if pair is None:
        return None
    inner = text[len(pair[0]) : -len(pair[1])]
    try:
        pieces, _ = split_outside(AND_OR.sub(",", inner) if pair[0] == r"\{" else inner, {",": ",", ";": ","})
    except UnreadableAnswerError:
        return None  # (a)(b)
    if pair[0] == r"\{":
        if (condition := _CONDITION.fullmatch(inner)) is not None:
            return _read(condition[1])
        return Form("set", _flat(tuple(_read_part(piece) for piece in pieces)))
    if len(pieces) == 1:
        if re.fullmatch(r"[-+]?[A-Za-z0-9.\\{} ]+", inner) and pair in (("(", ")"), ("[", "]")):
            return _read(inner) if pair[0] == "(" else None
        return None
    if any(r"\pm" in piece for piece in pieces):
        return _plus_minus(text)
    brackets = pair[0] + pair[1] if pair[0] != r"\langle" else "()"
    return Form("sequence", tuple(_read_part(piece) for piece in pieces), text=brackets)


def _flat(parts: tuple[Form, ...]) -> tuple[Form, ...]:
    r"""Expand parts that are lists, such as the two values of ``\pm``."""
    return tuple(item for part in parts for item in (part.parts if part.kind == "list" else (part,)))


def flattened(form: Form) -> Form:
    r"""Flatten nested lists: ``\pm 1, \pm 2`` is a list of four values."""
    return replace(form, parts=_flat(form.parts)) if form.kind == "list" else form


def read_value(text: str) -> Form:
    """Parse an expression with an optional unit."""
    if (quantity := read_quantity(text)) is not None and not re.search(r"[=]", text):
        return Form("value", node=Node("number", value=quantity.value), unit=quantity.unit, text=text)
    if percent := _PERCENT.search(text):
        return Form("value", node=read_expression(text[: percent.start()]), unit="%")
    if (degrees := _DEGREES.search(text)) and not _WAVE.search(text):
        return Form("value", node=read_expression(text[: degrees.start()]), unit="\u00b0")
    return _with_unit(text) or Form("value", node=read_expression(text))


def _with_unit(text: str) -> Form | None:
    """Parse an expression followed by a unit; None if there is no unit."""
    tail = _UNIT_TAIL.search(text)
    if tail is None or not tail.start():
        return None
    unit, body = plain_unit(tail[0]), text[: tail.start()]
    is_letter = re.fullmatch(r"\W*[eid]\W*", unit) is not None
    if (
        is_letter
        or not ("\\" in tail[0] or is_unit(unit))
        or (unit := unit_behind(unit, is_attached=False) or "") == ""
    ):
        return None
    if (mark := _DEGREES.search(body)) is not None:
        body, unit = body[: mark.start()], "\u00b0" + unit
    try:
        return Form("value", node=read_expression(body.strip(" *")), unit=unit)
    except UnreadableAnswerError:
        return None

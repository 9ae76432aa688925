"""Reduce a text that states a number to the number, removing equations, markers, quotation marks and labels."""

import re

from advcluster_dagster.science.grading.markup import unquote, unwrap, without_bold
from advcluster_dagster.science.grading.notation import spell_characters
from advcluster_dagster.science.grading.number_words import NUMBER_WORDS

_MAX_LAYERS = 8
_REPLACEMENTS = (
    ("{,}", ","), (r"\%", "%"), (r"\$", "$"), (r"\textdollar", "$"), (r"\texteuro", "\u20ac"), (r"\euro", "\u20ac"),
    (r"\pounds", "\u00a3"), (r"\textsterling", "\u00a3"), (r"\yen", "\u00a5"), (r"\dfrac", r"\frac"),
    (r"\tfrac", r"\frac"), (r"\cfrac", r"\frac"), (r"\degree", "\u00b0"),
)  # fmt: skip
_SPACES = re.compile(r"(?<!\\)\\[,;: ]|\\(?:quad|qquad|thinspace)(?![a-z])|~")
_NOTHING = re.compile(r"(?<!\\)\\[()\[\]!]|\\(?:left|right|displaystyle)(?![a-z])")
# A formula between dollar signs that contains escaped dollar signs.
_DOLLARS = re.compile(r"\A\$((?:[^$\\]|\\.)*\\\$(?:[^$\\]|\\.)*)\$\Z", re.DOTALL)
_DEGREES = re.compile(r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-z]))")
_MONEY_IN_TEXT = re.compile(r"\\(?:text|mathrm)\s*\{\s*([$\u20ac\u00a3\u00a5\u20b9])\s*\}")
_LABEL = re.compile(r"([A-Za-z][A-Za-z ]*):\s*(?=[-+$0-9.\\])")
_LEADING = re.compile(r"#+\s*|(?:\\approx|\\sim|\\simeq|~|approximately|approx\.?|about|roughly|around)(?![a-z])\s*")
_BRACKETS = {"(": ")", "{": "}"}
_EQUALS = re.compile(r"(?<![<>!:=\\])(?::=|=)(?![=<>])|\\(?:approx|simeq)(?![a-z])")
_OTHER_RELATION = re.compile(
    r"[<>!]|==|\\(?:le|ge|lt|gt|ne)(?:q|qq|qslant)?(?![a-z])|\\(?:in|to|equiv|sim|pm)(?![a-z])"
)
_ENUMERATION = re.compile(r"[;?]|,(?![0-9]{3}(?![0-9]))|(?<![a-zA-Z])(?:or|and|if|not)(?![a-zA-Z])")
_NAME = re.compile(
    r"(?:\\(?:text|mathrm|operatorname)\s*\{[^{}]*\}|\\?[A-Za-z][A-Za-z ]*)"
    r"(?:_(?:\{[^{}]*\}|\\text\{[^{}]*\}|[0-9A-Za-z]))?"
    r"(?:\s*\([^()]*\))?|\|[A-Z]{2}\||\\(?:angle|triangle|overline|vec|hat|bar)\s*\{?[A-Z]{1,3}\}?"
    r"|\\(?:sin|cos|tan|log|ln)\s*\\?[A-Za-z]+|m\s*\\angle\s*[A-Z]{1,3}"
)
#: Words after a number that modify it, retract it or state another number.
CHANGING_WORDS = (
    frozenset(
        {
            "or", "and", "to", "below", "above", "under", "beyond", "within", "nearly", "almost", "not", "no", "more",
            "less", "than", "about", "over", "dozen", "dozens", "undefined", "plus", "minus", "times", "pi", "sqrt",
            "log", "ln", "exp", "sin", "cos", "tan", "mod", "inf", "infinity", "but", "wrong", "if", "unless",
            "maybe", "half", "halves", "third", "thirds", "quarter", "quarters", "double", "doubled", "twice",
            "triple", "tripled", "thrice", "divided", "multiplied", "added", "subtracted", "remainder", "factorial",
            "choose", "score", "pair", "pairs", "couple", "short", "fewer", "instead", "incorrect", "except",
            "without", "until", "through", "between", "nor", "neither", "never", "least", "most", "cannot", "isn't",
            "increase", "decrease", "off", "percentage", "power", "modulo", "base", "too", "many", "much", "false",
            "untrue", "actually", "rather", "wait", "sorry", "perhaps", "possibly", "probably", "excluding",
            "mistake", "error", "aren't", "wasn't", "otherwise", "alternatively",
        }
    )
    | NUMBER_WORDS
)  # fmt: skip


def last_side(text: str) -> str | None:
    r"""The last side of an equation, normalised and without formatting: ``5`` for ``x = 2+3 = 5``.

    Text without an equation is returned normalised. None for equations that do not state a number: several equations,
    one with a coefficient or power (``2x = 10``, ``x^2 = 9``), or an inequality.
    """
    plain = _undressed(_spelled(text))
    *before, last = _sides(plain)
    if not before:
        return plain
    if any(_OTHER_RELATION.search(side) or _ENUMERATION.search(_without_brackets(side)) for side in before):
        return None
    if not (_NAME.fullmatch(before[0].strip()) or all(_may_equal_a_number(side.strip()) for side in before)):
        return None
    return _undressed(last) if last.strip() else None


def _sides(text: str) -> list[str]:
    """Split at equals signs outside braces."""
    pieces, start = [], 0
    for sign in _EQUALS.finditer(text):
        if text.count("{", start, sign.start()) == text.count("}", start, sign.start()):
            pieces.append(text[start : sign.start()])
            start = sign.end()
    return [*pieces, text[start:]]


def _may_equal_a_number(side: str) -> bool:
    r"""Whether a number stated after this side is its value: it is a name, a number or has two or more names."""
    if not side or _NAME.fullmatch(side):
        return True
    letters = set(re.findall(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])|\\(?:alpha|beta|theta|lambda|phi)", side))
    words = re.search(r"(?<![\\A-Za-z])[A-Za-z]{2,}", side)
    return len(letters) != 1 or words is not None


def _without_brackets(text: str) -> str:
    return re.sub(r"\([^()]*\)", "", text)


def _spelled(text: str) -> str:
    plain = spell_characters(without_bold(unwrap(_DOLLARS.sub(r"\1", text.strip()))))
    for old, new in _REPLACEMENTS:
        if old in plain:
            plain = plain.replace(old, new)
    plain = _NOTHING.sub("", _SPACES.sub(" ", _DEGREES.sub("\u00b0", plain)))
    return " ".join(_MONEY_IN_TEXT.sub(r"\1", plain).split())


def _undressed(text: str) -> str:
    """Strip full stop, markers, approximation signs, labels, and enclosing quotation marks and brackets."""
    for _ in range(_MAX_LAYERS):
        plain = unquote(unwrap(text).strip().rstrip("."))
        plain = plain[match.end() :] if (match := _LEADING.match(plain)) else plain
        if (label := _LABEL.match(plain)) and not CHANGING_WORDS & set(label[1].lower().split()):
            plain = plain[label.end() :]
        for start, end in _BRACKETS.items():
            inner = plain[1:-1]
            is_around = len(plain) > 2 and plain.startswith(start) and plain.endswith(end) and "," not in inner
            if is_around and ((start not in inner and end not in inner) or (start == "(" and _closes_last(plain))):
                plain = inner
        if plain == text:
            break
        text = plain
    return text


def _closes_last(text: str) -> bool:
    """Whether the opening bracket of a text is closed by its last character."""
    depth = 0
    for i, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return i == len(text) - 1
    return False

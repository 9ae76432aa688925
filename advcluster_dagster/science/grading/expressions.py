r"""Parse expressions of school and university mathematics from LaTeX or plain text.

Parsing evaluates nothing, so adversarial text cannot make it slow.

Rules: adjacent letters are a product unless they form a word (:func:`vocabulary.is_word`); names differ by case,
accent and index; ``e`` is Euler's number and ``i`` the imaginary unit, as are ``\mathrm{e}`` and ``\mathrm{i}``;
``f``, ``g``, ``h``, ``F`` and ``G`` before a bracket are unknown functions; ``2\frac{1}{2}`` is a mixed number;
``\log`` has base ten; ``1/2x`` is ambiguous and rejected.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from advcluster_dagster.science.grading.errors import OversizedAnswerError, UnreadableAnswerError
from advcluster_dagster.science.grading.expression_tree import Node
from advcluster_dagster.science.grading.notation import check_size
from advcluster_dagster.science.grading.vocabulary import (
    ACCENTS,
    BARE_NAME,
    FUNCTIONS,
    GREEK,
    ROMAN,
    UNKNOWN_FUNCTIONS,
    holds_word,
)

# Deeper than any answer, and well below Python's recursion limit.
_MAX_LEVELS = 60
_MAX_POSTFIXES = 4

_SPELLINGS = (
    (r"\lvert", "|"), (r"\rvert", "|"), (r"\vert", "|"), (r"\mid", "|"), (r"\lbrack", "["), (r"\rbrack", "]"),
    (r"\brace", "}"), (r"\cdotp", r"\cdot"), (r"\ast", "*"), (r"\div", "/"), (r"\infinity", r"\infty"),
    (r"\dbinom", r"\binom"), (r"\tbinom", r"\binom"),
    (r"\arsinh", r"\arcsinh"), (r"\arcosh", r"\arccosh"), (r"\artanh", r"\arctanh"),
    (r"\overrightarrow", r"\vec"), (r"\imath", "i"), (r"\degree", r"^\circ"),
)  # fmt: skip
_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|\\(?P<command>[A-Za-z]+|.)|(?P<sign>\S))")
_RAW = re.compile(r"\\(?:text|textrm|mathrm|mathit|rm)\s*|[{}\s]")


def read_expression(text: str) -> Node:
    """Parse a normalised expression into a tree.

    Raises:
        UnreadableAnswerError: the text is not an expression, or is ambiguous.
        OversizedAnswerError: the text is too long or too deeply nested.
    """
    result = _read_cached(text)
    if isinstance(result, Node):
        return result
    raise result


@lru_cache(maxsize=2048)
def _read_cached(text: str) -> Node | UnreadableAnswerError | OversizedAnswerError:
    try:
        check_size(text)
        plain = BARE_NAME.sub(lambda name: "\\" + name[0], text)
        for old, new in _SPELLINGS:
            if old in plain:
                plain = re.sub(re.escape(old) + r"(?![A-Za-z])", new.replace("\\", r"\\"), plain)
        if holds_word(plain):
            raise UnreadableAnswerError(f"{text[:60]!r} contains a word")
        return _Reader(plain).read()
    except (UnreadableAnswerError, OversizedAnswerError) as error:
        return error


class _Reader:
    """Recursive-descent parser for one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._level = 0
        self._bars = 0
        self._is_in_sum = False
        self._tokens: list[tuple[str, str, bool]] = []
        position = 0
        while match := _TOKEN.match(text, position):
            kind = match.lastgroup or "sign"
            self._tokens.append((kind, match[kind], match.start(kind) > position + (kind == "command")))
            position = match.end()

    def read(self) -> Node:
        tree = self._sum()
        if self._at < len(self._tokens):
            raise self._error()
        return tree

    def _descend(self) -> None:
        self._level += 1
        if self._level > _MAX_LEVELS:
            raise OversizedAnswerError("nested too deeply")

    def _error(self) -> UnreadableAnswerError:
        return UnreadableAnswerError(f"{self._text[:60]!r} is not an expression")

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        position = self._at + ahead
        return self._tokens[position][:2] if position < len(self._tokens) else ("end", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _skip(self, kind: str, text: str) -> bool:
        if self._peek() == (kind, text):
            self._at += 1
            return True
        return False

    def _expect(self, kind: str, text: str) -> None:
        if not self._skip(kind, text):
            raise self._error()

    def _sum(self) -> Node:
        self._descend()
        terms = [self._signed(self._product)]
        while self._peek() in (("sign", "+"), ("sign", "-")):
            self._is_in_sum = True
            terms.append(self._signed(self._product))
        self._level -= 1
        return terms[0] if len(terms) == 1 else Node("sum", tuple(terms))

    def _signed(self, read: Callable[[], Node]) -> Node:
        """Parse an operand with at most one sign of its own."""
        signs = [self._next()[1] for _ in range(1 + self._is_in_sum) if self._peek() in (("sign", "+"), ("sign", "-"))]
        self._is_in_sum = False
        tree = read()
        return Node("negative", (tree,)) if signs.count("-") == 1 else tree

    def _product(self) -> Node:
        factors = [self._juxtaposed()]
        while True:
            if self._skip("sign", "*") or self._skip("command", "cdot") or self._skip("command", "times"):
                factors.append(self._signed(self._juxtaposed))
            elif self._skip("sign", "/"):
                factors.extend(self._divisor(is_numeral=len(factors) == 1 and factors[0].kind == "number"))
            else:
                return factors[0] if len(factors) == 1 else Node("product", tuple(factors))

    def _divisor(self, is_numeral: bool) -> tuple[Node, ...]:
        first = self._signed(self._power)
        bottom = Node("power", (first, Node("number", value=Fraction(-1))))
        if not self._starts_factor():
            return (bottom,)
        if not (is_numeral and first.kind == "number" and self._tokens[self._at][2]):
            raise self._error()  # "1/2 x" is half of x, but "1/2x" may mean 1/(2x)
        return bottom, self._juxtaposed()

    def _juxtaposed(self) -> Node:
        factors = [self._power()]
        while self._starts_factor():
            kind, text = self._peek()
            is_numeral = kind == "number" and factors[-1].kind != "factorial"
            if is_numeral or (text == "frac" and factors[-1].kind == "number"):
                factors.append(self._mixed_fraction(factors.pop()))
            else:
                factors.append(self._power())
        return factors[0] if len(factors) == 1 else Node("product", tuple(factors))

    def _mixed_fraction(self, whole: Node) -> Node:
        r"""Parse a mixed number such as ``2\frac{1}{2}``; two adjacent numbers are otherwise an error."""
        is_command = self._peek()[0] == "command"
        fraction = self._power()
        numbers = [part.value for part in fraction.parts if part.kind == "number"]
        if not is_command or fraction.kind != "fraction":
            raise self._error()
        if len(numbers) < 2:
            return Node("product", (whole, fraction))
        if not 0 < numbers[0] < numbers[1] or any(number.denominator != 1 for number in (*numbers, whole.value)):
            raise self._error()
        return Node("sum", (whole, fraction))

    def _starts_factor(self) -> bool:
        kind, text = self._peek()
        if kind == "sign":
            return text in "([{" or text.isalpha() or (text == "|" and not self._bars)
        if kind == "command":
            return text not in ("cdot", "times", "rfloor", "rceil", "}", "|", "pmod", "bmod", "mod")
        return kind == "number"

    def _power(self) -> Node:
        base = self._postfix()
        if not self._skip("sign", "^"):
            return base
        exponent = self._exponent()
        if self._peek() in (("sign", "!"), ("sign", "^"), ("sign", "'")):
            raise self._error()
        return Node("power", (base, exponent))

    def _exponent(self) -> Node:
        self._descend()
        if self._skip("command", "circ"):
            raise self._error()  # degrees are handled in forms.py and in function arguments
        exponent = self._signed(self._atom)
        if self._skip("sign", "^"):
            exponent = Node("power", (exponent, self._exponent()))
        self._level -= 1
        return exponent

    def _postfix(self) -> Node:
        tree = self._atom()
        for _ in range(_MAX_POSTFIXES):
            if self._skip("sign", "!"):
                is_double = self._skip("sign", "!")
                tree = Node("double factorial" if is_double else "factorial", (tree,))
            elif self._skip("sign", "%") or self._skip("command", "%"):
                tree = Node("product", (tree, Node("number", value=Fraction(1, 100))))
            elif self._peek() == ("sign", "^") and self._is_degree():
                tree = Node("product", (tree, Node("degree")))
            else:
                return tree
        raise self._error()

    def _is_degree(self) -> bool:
        r"""Whether ``^\circ`` or ``^{\circ}`` follows; consumes it if so."""
        circle = ("command", "circ")
        for length, offset in ((2, 1), (4, 2)):
            if self._peek(offset) == circle and (length == 2 or self._peek(1) == ("sign", "{")):
                self._at += length
                return True
        return False

    def _atom(self) -> Node:
        kind, text = self._next()
        if kind == "number":
            if self._peek() == ("sign", "_"):
                raise self._error()
            return Node("number", value=Fraction(text))
        if kind == "command":
            return self._command(text)
        if kind == "sign" and text in "([{":
            return self._closed(")]}"["([{".index(text)])
        if kind == "sign" and text == "|":
            self._bars += 1
            tree = self._sum()
            self._bars -= 1
            self._expect("sign", "|")
            return Node("absolute", (tree,))
        if kind == "sign" and text.isalpha() and text.isascii():
            return self._letter(text)
        raise self._error()

    def _closed(self, end: str) -> Node:
        bars, self._bars = self._bars, 0
        tree = self._sum()
        self._bars = bars
        self._expect("sign", end)
        return tree

    def _letter(self, letter: str) -> Node:
        if letter in UNKNOWN_FUNCTIONS and self._peek() == ("sign", "("):
            return Node("function", self._arguments(), name=letter)
        name = letter + self._index()
        if name in ("e", "i"):
            return Node("constant", name=name)
        return Node("name", name=name)

    def _index(self) -> str:
        """Read the index and primes after a name, as text."""
        index = ""
        if self._skip("sign", "_"):
            index = "_" + _RAW.sub("", self._raw_group())
        while self._skip("sign", "'"):
            index += "'"
        return index

    def _raw_group(self) -> str:
        """Read one token or a group in braces, as text."""
        kind, text = self._next()
        if kind == "command" and text in ROMAN:
            return self._raw_group()
        if (kind, text) != ("sign", "{"):
            return text if kind != "command" else "\\" + text
        depth, parts = 1, []
        while depth:
            kind, text = self._next()
            if kind == "end":
                raise self._error()
            depth += {"{": 1, "}": -1}.get(text, 0) if kind == "sign" else 0
            parts.append(("\\" if kind == "command" else "") + text)
        return "".join(parts[:-1])

    def _command(self, name: str) -> Node:
        if name == "pi":
            return Node("constant", name="pi")
        if name in GREEK:
            return Node("name", name=f"\\{name}{self._index()}")
        if name in ("frac", "binom"):
            self._descend()
            parts = self._argument(), self._argument()
            self._level -= 1
            return Node("fraction" if name == "frac" else "binomial", parts)
        if name == "sqrt":
            return self._root()
        if name in ("lfloor", "lceil"):
            tree = self._sum()
            self._expect("command", "r" + name[1:])
            return Node(name[1:], (tree,))
        if name in FUNCTIONS:
            return self._function(name)
        if name in ACCENTS:
            return Node("name", name=f"\\{name} {_RAW.sub('', self._name_group())}{self._index()}")
        if name in ROMAN:
            return self._roman()
        raise self._error()

    def _name_group(self) -> str:
        """Read the name under an accent: a group, one letter, or the capital letters after an angle sign."""
        letters = [self._raw_group()]
        while letters[0].isupper() and self._peek()[1].isupper() and self._peek()[0] == "sign":
            letters.append(self._next()[1])
        return "".join(letters)

    def _roman(self) -> Node:
        r"""Parse Roman type: ``\mathrm{e}`` is the letter, the name of a function is the function."""
        name = self._raw_group().strip().removeprefix("\\")
        if len(name) == 1 and name.isalpha() and name.isascii():
            return self._letter(name)
        if name in FUNCTIONS:
            return self._function(name)
        raise self._error()

    def _argument(self) -> Node:
        r"""Parse a group in braces, or a single digit, letter or command as in ``\frac12``."""
        kind, text = self._peek()
        if kind == "number" and len(text) > 1:
            if "." in text:
                raise self._error()
            self._tokens[self._at] = ("number", text[1:], False)
            return Node("number", value=Fraction(text[0]))
        return self._atom()

    def _root(self) -> Node:
        self._descend()
        degree = None
        if self._skip("sign", "["):
            degree = self._sum()
            self._expect("sign", "]")
        kind, text = self._peek()
        radicand = self._atom() if kind == "number" and text.isdigit() else self._argument()
        self._level -= 1
        return Node("root", (radicand, degree or Node("number", value=Fraction(2))))

    def _function(self, name: str) -> Node:
        self._descend()
        base = self._log_base() if name == "log" else None
        power = self._exponent() if self._skip("sign", "^") else None
        if base is None and name == "log" and self._peek() == ("sign", "_"):
            base = self._log_base()
        if power and power == Node("negative", (Node("number", value=Fraction(1)),)):
            name, power = f"arc{name}", None
        if name not in FUNCTIONS:
            raise self._error()
        tree = Node("function", self._arguments(), name=name)
        self._level -= 1
        if base:
            tree = Node("logarithm", (tree.parts[0], base))
        return Node("power", (tree, power)) if power else tree

    def _log_base(self) -> Node | None:
        if not self._skip("sign", "_"):
            return None
        kind, text = self._peek()
        if kind == "number" and text.isdigit() and len(text) > 1:
            follower = self._peek(1)
            if follower[0] == "end" or follower[1] in ("+", "-", ")", "}", "*", "/"):
                return self._argument()  # log_28 is the logarithm of 8 to base 2
        return self._atom()

    def _arguments(self) -> tuple[Node, ...]:
        """Parse a function's arguments: a bracket, or the factors up to the next function or operator."""
        start = self._peek()
        if start in (("sign", "("), ("command", "{"), ("sign", "{")):
            self._next()
            end = ("sign", ")") if start[1] == "(" else (start[0], "}")
            bars, self._bars = self._bars, 0
            arguments = [self._sum()]
            while self._skip("sign", ","):
                arguments.append(self._sum())
            self._bars = bars
            self._expect(*end)
            return tuple(arguments)
        if start[1] in "+-" and start[0] == "sign":
            return (self._signed(self._power),)
        factors = [self._power()]
        while self._starts_factor() and not (self._peek()[0] == "command" and self._peek()[1] in FUNCTIONS):
            if self._peek()[0] == "number":
                raise self._error()
            factors.append(self._power())
        return (factors[0],) if len(factors) == 1 else (Node("product", tuple(factors)),)

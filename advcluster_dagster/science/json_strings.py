"""Decode JSON strings written by models, preserving unescaped backslashes of LaTeX."""

import re
from bisect import bisect_left
from dataclasses import dataclass

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]*")
_SIMPLE = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")

# Commands whose letters after the first cannot begin a line of text or follow a tab.
_COMMAND = re.compile(
    r"""
    n(?:abla|atural|earrow|eq|ewcommand|ewline|obreak|oindent|olimits|onumber|ormalsize|ot|otin|leq|geq|subseteq|supseteq
      |warrow|vdash)
    |r(?:angle|brace|brack|ceil|ef|floor|group|ho|ight|ightarrow|ightharpoondown|ightharpoonup|ightleftharpoons
      |ightsquigarrow|m|oot|times|ule|vert|Vert|aisebox|estriction)
    |t(?:ag|anh|au|binom|frac|herefore|heta|hetasym|hickapprox|hicksim|hinspace|ilde|imes|iny|o|op|woheadrightarrow
      |riangle(?:down|left|q|right)?|ext(?:bf|color|degree|it|normal|rm|sc|sf|style|subscript|superscript|tt|up)?)
    """,
    re.VERBOSE,
)
# Commands unless the rest of the string suggests otherwise: a line may begin with "u", "e" or "eg".
_LIKELY_COMMAND = re.compile("ne|neg|nu|tan")
# Commands only if the rest of the string is LaTeX: a line may well begin with "i", "mid" or "less".
_UNLIKELY_COMMAND = re.compile("n(?:cong|exists|gtr|i|leftarrow|less|mid|parallel|prec|rightarrow|sim|succ)")
_DOUBLED = re.compile(r"(?<!\\)(?:\\\\)+[A-Za-z]")


def decode_string(raw: str) -> str:
    r"""Decode the text between the quotes of a JSON string.

    The backslash is literal in ``\f`` and ``\b`` before a letter, in ``\u`` without four hex digits and in escapes
    unknown to JSON (``\alpha``, ``\(``), and in ``\n``, ``\r`` and ``\t`` that begin a LaTeX command. Lone surrogates
    and control characters are preserved.
    """
    if "\\" not in raw:
        return raw
    context: _Context | None = None
    pieces, start = [], 0
    for escape in _ESCAPE.finditer(raw):
        pieces.append(raw[start : escape.start()])
        start = escape.end()
        if escape[1] in "nrt" and not context:
            context = _Context.of(raw)
        pieces.append(_decode(raw, escape, context))
    text = "".join((*pieces, raw[start:]))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if _SURROGATE.search(text) else text


@dataclass(frozen=True)
class _Context:
    r"""Properties of a whole string that disambiguate its ``\n``, ``\r`` and ``\t``."""

    has_latex: bool  # contains commands with a single backslash
    has_doubled: bool  # contains commands with two backslashes, as JSON requires
    has_breaks: bool  # contains escapes that can only be line breaks or tabs
    dollars: tuple[int, ...]  # offsets of dollar signs

    @classmethod
    def of(cls, raw: str) -> "_Context":
        has_latex = has_breaks = False
        for escape in _ESCAPE.finditer(raw):
            name = escape[1]
            if name in "nrt":
                word = _word(raw, escape)
                has_latex |= _COMMAND.fullmatch(word) is not None
                has_breaks |= not any(kind.fullmatch(word) for kind in (_COMMAND, _LIKELY_COMMAND, _UNLIKELY_COMMAND))
            elif len(name) == 1:
                has_latex |= name not in _SIMPLE or _is_letter_command(raw, escape)
        dollars = tuple(match.start() for match in re.finditer(r"\$", raw))
        return cls(has_latex, _DOUBLED.search(raw) is not None, has_breaks, dollars)

    def is_command(self, word: str, position: int) -> bool:
        """Whether an escape at a position, with the letters after it, is a LaTeX command."""
        if _COMMAND.fullmatch(word):
            return True
        is_likely = _LIKELY_COMMAND.fullmatch(word) is not None
        if not is_likely and not _UNLIKELY_COMMAND.fullmatch(word):
            return False
        n_before = bisect_left(self.dollars, position)
        if n_before % 2 == 1 and n_before < len(self.dollars):
            return True
        if self.has_doubled:
            return False
        return self.has_latex or (is_likely and not self.has_breaks)


def _decode(raw: str, escape: re.Match[str], context: _Context | None) -> str:
    name = escape[1]
    if len(name) > 1:
        return chr(int(name[1:], 16))
    if _is_letter_command(raw, escape):
        return escape[0]
    if context and name in "nrt" and context.is_command(_word(raw, escape), escape.start()):
        return escape[0]
    return _SIMPLE.get(name, escape[0])


def _is_letter_command(raw: str, escape: re.Match[str]) -> bool:
    r"""Whether letters follow ``\b`` or ``\f``, which then cannot be a backspace or form feed."""
    return escape[1] in "bf" and len(_word(raw, escape)) > 1


def _word(raw: str, escape: re.Match[str]) -> str:
    """The letter of an escape with the letters after it."""
    letters = _LETTERS.match(raw, escape.end())
    return escape[1] + (letters[0] if letters else "")

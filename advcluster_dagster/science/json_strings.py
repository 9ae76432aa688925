r"""The text of a JSON string as a model meant it: LaTeX keeps the backslashes that it was written without.

Here: escapes, and telling the ``\n`` of ``\nu`` from a line break. Not here: where a string ends (``lenient_json.py``).
"""

import re
from bisect import bisect_left
from dataclasses import dataclass

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]*")
_SIMPLE = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")

#: Commands whose letters behind the first are no text that could begin a line or follow a tab.
_COMMANDS = frozenset(
    (
        "nabla natural nearrow neq newcommand newline nobreak noindent nolimits nonumber normalsize not notin nleq ngeq "
        "nsubseteq nsupseteq nwarrow nvdash "
        "rangle rbrace rbrack rceil ref rfloor rgroup rho right rightarrow rightharpoondown rightharpoonup "
        "rightleftharpoons rightsquigarrow rm root rtimes rule rvert rVert raisebox restriction "
        "tag tanh tau tbinom text textbf textcolor textdegree textit textnormal textrm textsc textsf textstyle textsubscript "
        "textsuperscript texttt textup tfrac therefore theta thetasym thickapprox thicksim thinspace tilde times tiny to top "
        "triangle triangledown triangleleft triangleq triangleright twoheadrightarrow "
    ).split()
)
#: Commands unless the rest of the string speaks against LaTeX: a line may begin with ``u``, ``e`` or ``eg``.
_LIKELY_COMMANDS = frozenset(("ne", "neg", "nu", "tan"))
#: Commands only where the rest of the string is LaTeX: a line may well begin with ``i``, ``mid`` or ``less``.
_UNLIKELY_COMMANDS = frozenset(
    "ncong nexists ngtr ni nleftarrow nless nmid nparallel nprec nrightarrow nsim nsucc".split()
)
_DOUBLED = re.compile(r"(?<!\\)(?:\\\\)+[A-Za-z]")


def decode_string(raw: str) -> str:
    r"""The text of what stands between the quotes of a JSON string.

    ``\f`` and ``\b`` before a letter, ``\u`` without four hex digits and escapes that JSON does not know (``\alpha``,
    ``\(``) are backslashes of their own; ``\n``, ``\r`` and ``\t`` are where they begin a LaTeX command. A surrogate
    without its other half is kept as it is, as are control characters.
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
    r"""What a string as a whole says about its ``\n``, ``\r`` and ``\t``."""

    has_latex: bool  # commands with a single backslash
    has_doubled: bool  # commands with two, as JSON asks for
    has_breaks: bool  # breaks that can be nothing else
    dollars: tuple[int, ...]  # where they stand

    @classmethod
    def of(cls, raw: str) -> "_Context":
        has_latex = has_breaks = False
        for escape in _ESCAPE.finditer(raw):
            name = escape[1]
            if name in "nrt":
                word = _word(raw, escape)
                has_latex |= word in _COMMANDS
                has_breaks |= word not in _COMMANDS | _LIKELY_COMMANDS | _UNLIKELY_COMMANDS
            elif len(name) == 1:
                has_latex |= name not in _SIMPLE or _is_letter_command(raw, escape)
        dollars = tuple(match.start() for match in re.finditer(r"\$", raw))
        return cls(has_latex, _DOUBLED.search(raw) is not None, has_breaks, dollars)

    def is_command(self, word: str, position: int) -> bool:
        """Whether an escape at a position, with the letters behind it, is a LaTeX command."""
        if word in _COMMANDS:
            return True
        if word not in _LIKELY_COMMANDS | _UNLIKELY_COMMANDS:
            return False
        n_before = bisect_left(self.dollars, position)
        if n_before % 2 == 1 and n_before < len(self.dollars):
            return True
        if self.has_doubled:
            return False
        return self.has_latex or (word in _LIKELY_COMMANDS and not self.has_breaks)


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
    r"""Whether ``\b`` or ``\f`` has letters behind it: no text has a backspace or a form feed there."""
    return escape[1] in "bf" and len(_word(raw, escape)) > 1


def _word(raw: str, escape: re.Match[str]) -> str:
    """The letter of an escape with the letters behind it."""
    letters = _LETTERS.match(raw, escape.end())
    return escape[1] + (letters[0] if letters else "")

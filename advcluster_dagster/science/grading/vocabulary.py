"""Mathematical vocabulary: functions, Greek letters, accents, and English words in formulas."""

import re

_RUN = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_INDEX = re.compile(r"_\s*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)?\}|\\(?:text|mathrm)\s*\{[^{}]*\})")
_COMMAND = re.compile(r"\\(?:angle|triangle|measuredangle)\s*[A-Z]+|\\[A-Za-z]+\s*(?:\{\s*[A-Za-z]+\s*\})?")
FUNCTIONS = frozenset(
    {
        "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh",
        "arccosh", "arctanh", "ln", "log", "lg", "exp", "sgn", "Re", "Im", "arg", "max", "min", "gcd", "lcm",
    }
)  # fmt: skip
UNKNOWN_FUNCTIONS = frozenset("fghFG")
BARE_NAME = re.compile(
    r"(?<![\\A-Za-z])(?:sqrt|arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|infinity|pi"
    r"|max|min|gcd|lcm)(?![A-Za-z])"
)
ACCENTS = frozenset(
    {
        "vec", "hat", "bar", "overline", "tilde", "mathbf", "mathcal", "mathbb", "boldsymbol", "bm", "widehat",
        "overrightarrow", "underline", "mathfrak", "mathscr", "angle", "triangle", "measuredangle",
    }
)  # fmt: skip
ROMAN = frozenset({"mathrm", "text", "textrm", "operatorname", "mathit", "textit", "rm", "mathsf"})
GREEK = frozenset(
    {
        "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota",
        "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi", "omega",
        "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "ell", "hbar",
    }
)  # fmt: skip
# Short words that occur as answers; longer runs of letters are words unless they look like a product.
_WORDS = frozenset(
    {
        "no", "on", "yes", "odd", "all", "any", "one", "two", "six", "ten", "red", "sun", "mon", "tue", "wed", "thu",
        "fri", "sat", "max", "min", "not", "and", "the", "or", "if", "up", "so", "none", "inf", "nan", "dod", "off",
        "out", "top", "low", "mid", "yea", "nay", "sum", "set", "god", "dog", "cat", "act", "tan", "win", "now", "own",
        "won", "saw", "was", "men", "man", "boy", "mad", "dam", "pot", "net", "tie", "end", "den", "new",
    }
)  # fmt: skip


def is_word(run: str) -> bool:
    """Whether a run of letters is a word and not a product of variables.

    Products are lower-case runs of at most three letters that are not known short words, longer lower-case runs in
    alphabetical order or without a vowel, and two letters of mixed case (``kT``, ``Fd``). All others are words:
    ``no``, ``odd``, ``ABCD``, ``HTH``, ``stop``.
    """
    if run.lower() in _WORDS:
        return True
    if not run.islower():
        return len(run) > 2 or run.isupper()
    return len(run) > 3 and list(run) != sorted(run) and any(letter in "aeiou" for letter in run)


def is_function(run: str) -> bool:
    """Whether a run of letters is the bare name of a function or constant, such as ``sqrt`` or ``pi``."""
    return BARE_NAME.fullmatch(run) is not None


def holds_word(text: str) -> bool:
    """Whether an expression contains a word outside indices, accents and Roman type.

    A run of two or three capitals is a product within an expression, but a word if it is the whole text.
    """
    runs = _RUN.findall(_COMMAND.sub(" ", _INDEX.sub(" ", text)))
    return any(is_word(run) and (run == text or not (run.isupper() and len(run) < 4)) for run in runs)

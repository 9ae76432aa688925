"""Remove LaTeX and Markdown formatting from answers."""

import re

_WRAPPING = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|texttt|textrm|mathrm|mathbf|mathit|mathtt|mathsf|operatorname|mbox)\s*\{"
)
_PAIRS = (
    ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"),
    ("```", "```"), ("`", "`"), ("<answer>", "</answer>"),
)  # fmt: skip
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}
# End-of-turn tokens of chat templates, which some servers leave after the answer.
_END_TOKENS = (
    "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>", "<|end|>", "<|return|>", "<|eos|>",
    "<|end_of_turn|>", "<end_of_turn>", "</s>", "<eos>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
)  # fmt: skip
# Bold words within a text, as in "**72** pencils"; but "2**3" is a power.
_BOLD = re.compile(r"(?<![\w*])\*\*(?=[^\s*])([^*\n]*)(?<=\S)\*\*(?![\w*])")
# Maximum layers of formatting to remove; bounds the work on adversarial text.
_MAX_LAYERS = 20


def unwrap(text: str) -> str:
    r"""Strip ``$``, ``\(``, ``\text{}``, ``\boxed{}``, ``**`` and similar formatting that encloses the whole answer.

    Also strips a full stop after such formatting, and trailing end-of-turn tokens (``<|eot_id|>``, ``</s>``). Marks are
    removed only in pairs.
    """
    inner = strip_end_tokens(text).strip()
    for _ in range(_MAX_LAYERS):
        peeled = _peel(inner)
        if peeled is None and inner.endswith("."):
            peeled = _peel(inner[:-1].rstrip())
        if peeled is None:
            break
        inner = peeled.strip()
    return inner


def without_bold(text: str) -> str:
    """Strip pairs of double asterisks around words."""
    return _BOLD.sub(r"\1", text)


def unquote(text: str) -> str:
    """Strip pairs of quotation marks that enclose the whole text."""
    inner = text.strip()
    while len(inner) > 1 and _QUOTES.get(inner[0]) == inner[-1] and inner[0] not in inner[1:-1]:
        inner = inner[1:-1].strip()
    return inner


def strip_end_tokens(text: str) -> str:
    """Strip trailing end-of-turn tokens of chat templates."""
    stripped = text
    for _ in range(_MAX_LAYERS):
        trimmed = stripped.rstrip()
        token = next((token for token in _END_TOKENS if trimmed.endswith(token)), None)
        if token is None:
            break
        stripped = trimmed.removesuffix(token)
    return stripped


def _peel(text: str) -> str | None:
    """Strip one layer of formatting; None if nothing encloses the whole text."""
    for start, end in _PAIRS:
        if len(text) > len(start) + len(end) and text.startswith(start) and text.endswith(end):
            inner = text[len(start) : -len(end)]
            if start not in inner and end not in inner:
                return inner
    command = _WRAPPING.match(text)
    if command and text.endswith("}"):
        inner = text[command.end() : -1]
        return inner if _is_balanced(inner) else None
    return None


def _is_balanced(text: str) -> bool:
    """Whether the braces of a text are balanced."""
    depth = 0
    for brace in re.findall(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return False
    return depth == 0

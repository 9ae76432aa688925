"""Separate a model's thinking from the text after it."""

import re
from collections.abc import Iterator, Sequence

_NAME = r"(?:think|thinking|thought|seed:think)"
#: Marks of thinking. Lower-case ``[think]`` is not a mark, since it may be a list in a program.
MARK = re.compile(
    rf"(?P<end></\s*{_NAME}\s*>|\[/think(?:ing)?\]|◁/think▷|<\|end_of_thought\|>)"
    rf"|(?P<start><\s*{_NAME}\s*>|(?-i:\[THINK(?:ING)?\])|◁think▷|<\|begin_of_thought\|>)"
    r"|<\|(?P<channel>start|channel|message|end|return|call)\|>",
    re.IGNORECASE,
)
_FINAL_CHANNELS = ("final", "assistant")
# Remains of channels if the server has stripped the special tokens.
_BARE_ANALYSIS, _BARE_FINAL = re.compile(r"\s*analysis(?=[A-Z])"), "assistantfinal"
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”"}

Span = tuple[int, int]


def without_thinking(text: str) -> str | None:
    """Return the text after the last complete thinking block, or the whole text if there is none.

    A closing mark without an opening one counts, since some chat templates open the block in the prompt. For a text
    with channels, returns the text of the last final channel. A mark directly enclosed in quotes or backticks is
    ignored.

    Returns:
        The text unchanged, including white space; None if thinking is opened and never closed, or if a text with
        channels has no final channel.
    """
    span = find_after_thinking(text)
    return None if span is None else text[slice(*span)]


def find_after_thinking(text: str, data: Sequence[Span] = ()) -> Span | None:
    """Start and end of the text that :func:`without_thinking` returns.

    Args:
        text: A model's reply.
        data: Ordered, disjoint spans in which marks are data, such as complete JSON values.
    """
    channels = [mark for mark in _marks(text, data) if mark["channel"]]
    if any(mark["channel"].lower() in ("channel", "message") for mark in channels):
        span = _final_channel(text, channels)
    else:
        span = _after_bare_channels(text)
    if span is None:
        return None
    (start, end), is_open = span, False
    for mark in _marks(text, data):
        if mark["channel"] or not span[0] <= mark.start() < end:
            continue
        is_open = not mark["end"]
        start = start if is_open else mark.end()
    return None if is_open else (start, end)


def _marks(text: str, data: Sequence[Span]) -> Iterator[re.Match[str]]:
    """Yield marks that are neither inside the spans nor quoted."""
    spans = iter(data)
    span = next(spans, None)
    for mark in MARK.finditer(text):
        while span and span[1] <= mark.start():
            span = next(spans, None)
        if not (span and span[0] <= mark.start()) and not _is_quoted(text, *mark.span()):
            yield mark


def _is_quoted(text: str, start: int, end: int) -> bool:
    """Whether quotes enclose exactly this piece; in ``"18"</think>"18"`` the mark is not quoted."""
    before, after = text[max(start - 2, 0) : start], text[end : end + 2]
    return bool(
        before
        and after
        and _QUOTES.get(before[-1]) == after[0]
        and not before[:-1].isalnum()
        and not after[1:].isalnum()
    )


def _final_channel(text: str, marks: Sequence[re.Match[str]]) -> Span | None:
    """The last message of a final channel, up to the next mark."""
    final, header_start = None, 0
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        if mark["channel"].lower() == "message":
            header = text[header_start : mark.start()].split(maxsplit=1)
            if not header or header[0].lower() in _FINAL_CHANNELS:
                final = (mark.end(), following.start() if following else len(text))
        header_start = mark.end()
    return final


def _after_bare_channels(text: str) -> Span | None:
    """The whole text, or the part after ``assistantfinal`` if the text begins with an analysis channel."""
    if not _BARE_ANALYSIS.match(text):
        return 0, len(text)
    start = text.rfind(_BARE_FINAL)
    return (start + len(_BARE_FINAL), len(text)) if start >= 0 else None

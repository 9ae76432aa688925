"""Parse options of a multiple-choice question from a data set's list or from the question's text."""

import re
from string import ascii_uppercase
from typing import Any, NamedTuple

# A letter that marks an option, "A)", "(A)", "A.", "A:": at line starts, else after white space.
_MARKS = (
    re.compile(r"^[ \t]*(?:[-*\u2022][ \t]*)?[(\[]?([A-Z])[).:\]]+", re.MULTILINE),
    re.compile(r"(?:(?<=\s)|^)[(\[]?([A-Z])[).:\]]+"),
)
_NO_OPTION = re.compile(r"[\s,;./]*(?:or|and)?[\s,;./]*")
_LEAST_OPTIONS = 2
_MAX_CHARACTERS = 200_000


class _Span(NamedTuple):
    """An option in a text: its letter, start of its mark, start and end of its text."""

    letter: str
    begin: int
    start: int
    end: int


def named_options(options: Any) -> dict[str, str] | None:
    """Texts by letter, A, B, ... for a list, with leading letters stripped; None for anything else."""
    if isinstance(options, list):
        options = dict(zip(ascii_uppercase, options, strict=False))
    if not isinstance(options, dict) or len(options) < _LEAST_OPTIONS:
        return None
    texts = {str(letter).strip().upper(): str(text) for letter, text in options.items()}
    return {letter: re.sub(rf"\A\s*[(\[]?{re.escape(letter)}[)\].:]\s*", "", text) for letter, text in texts.items()}


def options_in_text(text: str) -> dict[str, str] | None:
    """The last list of options in a text, by letter; None if there is none."""
    return {span.letter: text[span.start : span.end] for span in _last_list(text)} or None


def without_options(text: str) -> str:
    """The text before its last list of options; the whole text if there is none."""
    spans = _last_list(text)
    return text[: spans[0].begin] if spans else text


def same_options(first: dict[str, str], second: dict[str, str]) -> bool:
    """Whether both have the same text for each letter, ignoring white space."""
    return {letter: _key(text) for letter, text in first.items()} == {
        letter: _key(text) for letter, text in second.items()
    }


def may_be_same(options: dict[str, str], listed: dict[str, str]) -> bool:
    """Like :func:`same_options` for options parsed from a text, where further words may follow the last option.

    Lists with different letters cannot be compared and count as possibly the same.
    """
    if options.keys() != listed.keys():
        return True
    *others, last = sorted(options)
    ends = [" ".join(each[last].split()) for each in (options, listed)]
    is_last_same = _continues(*ends) or _continues(*reversed(ends))
    return is_last_same and all(_key(options[letter]) == _key(listed[letter]) for letter in others)


def _key(text: str) -> str:
    return "".join(text.split())


def _continues(text: str, start: str) -> bool:
    """Whether a text is ``start``, optionally followed by something that does not extend its last word."""
    rest = text.removeprefix(start)
    return text.startswith(start) and not rest[:1].isalnum()


def _last_list(text: str) -> list[_Span]:
    """The last list of two or more options A, B, ..., each with a text; empty if there is none."""
    if len(text) > _MAX_CHARACTERS:
        return []
    lists = (_last_run(text, list(pattern.finditer(text))) for pattern in _MARKS)
    return next((spans for spans in lists if spans), [])


def _last_run(text: str, marks: list[re.Match[str]]) -> list[_Span]:
    """The last consecutive options among the marks; letters out of sequence belong to the option texts."""
    for first in range(len(marks) - 1, -1, -1):
        if marks[first][1] == "A":
            run = [marks[first]]
            for mark in marks[first + 1 :]:
                if mark[1] == ascii_uppercase[len(run) % 26]:
                    run.append(mark)
            ends = [mark.start() for mark in run[1:]] + [_end_of_line(text, run[-1].end())]
            spans = [_Span(mark[1], mark.start(), mark.end(), end) for mark, end in zip(run, ends, strict=True)]
            if len(spans) >= _LEAST_OPTIONS and not any(_NO_OPTION.fullmatch(text[s.start : s.end]) for s in spans):
                return spans
    return []


def _end_of_line(text: str, start: int) -> int:
    """End of the line, or of the next non-blank line if the rest of this one is blank."""
    while text[start : start + 1] in ("\n", " "):
        start += 1
    end = text.find("\n", start)
    return len(text) if end < 0 else end

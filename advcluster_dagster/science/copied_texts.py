"""Recognise texts that a judge copied from the reply form, and one text given twice."""

import re
import unicodedata
from collections.abc import Iterable

# An empty place of a template: <advantage>, {{evidence}}.
_EMPTY_PLACE = re.compile(r"<[^<>]{0,80}>|\{[^{}]{0,80}\}|\{\{[^{}]{0,80}\}\}")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text without case and punctuation; equal texts in this sense have equal words."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return tuple(re.findall(r"[^\W_]+", plain))


def is_same_text(a: str, b: str) -> bool:
    """Whether two texts are equal up to case, space and punctuation."""
    return "".join(words_of(a)) == "".join(words_of(b))


def is_form_text(text: str, form: Iterable[str]) -> bool:
    """Whether a text is left over from a reply form.

    It is where it holds no word ("..."), is an empty place ("<advantage>"), or equals a text of the form, or at least
    two words in a row of it. A number behind it ("Advantage 1") makes no difference.
    """
    words = words_of(text)
    while words and words[-1].isdecimal():
        words = words[:-1]
    if not words or _EMPTY_PLACE.fullmatch(text.strip()):
        return True
    phrase = f" {' '.join(words)} "
    for original in map(words_of, form):
        shown = f" {' '.join(original)} "
        if phrase == shown or (len(words) > 1 and phrase in shown):
            return True
    return False

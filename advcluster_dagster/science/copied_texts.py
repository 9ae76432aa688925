"""Detect texts copied from the reply form, and repeated texts, in judges' replies."""

import re
import unicodedata
from collections.abc import Iterable

# A placeholder of a template: <advantage>, {{evidence}}.
_PLACEHOLDER = re.compile(r"<[^<>]{0,80}>|\{[^{}]{0,80}\}|\{\{[^{}]{0,80}\}\}")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, case-folded and without punctuation."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return tuple(re.findall(r"[^\W_]+", plain))


def is_same_text(a: str, b: str) -> bool:
    """Whether two texts are equal ignoring case, white space and punctuation."""
    return "".join(words_of(a)) == "".join(words_of(b))


def is_form_text(text: str, form: Iterable[str]) -> bool:
    """Whether a text is copied from a reply form.

    True if the text has no words ("..."), is a placeholder ("<advantage>"), or equals a text of the form or at least
    two consecutive words of it. Trailing numbers ("Advantage 1") are ignored.
    """
    words = words_of(text)
    while words and words[-1].isdecimal():
        words = words[:-1]
    if not words or _PLACEHOLDER.fullmatch(text.strip()):
        return True
    phrase = f" {' '.join(words)} "
    for original in map(words_of, form):
        shown = f" {' '.join(original)} "
        if phrase == shown or (len(words) > 1 and phrase in shown):
            return True
    return False

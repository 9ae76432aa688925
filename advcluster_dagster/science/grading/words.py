"""Answers that are words: "yes", "no solution", "ABCD", "11:30 a.m."."""

import re

from advcluster_dagster.science.grading.notation import normalise_math
from advcluster_dagster.science.grading.quantities import read_quantity
from advcluster_dagster.science.grading.vocabulary import is_function, is_word

#: "and" and "or" between the parts of an answer, in words or signs.
AND_OR = re.compile(
    r",?\s*(?:\\(?:text|mathrm|textrm|mbox)\s*\{\s*,?\s*(and|or)\s*,?\s*\}|(?<![A-Za-z\\])(and|or)(?![A-Za-z])|\\(lor|vee|land|wedge)(?![A-Za-z]))\s*,?"
)
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mbox|operatorname|texttt|textsf)\s*\{([^{}\\]*)\}"
)
_PHRASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9'\-,:. ]*")
_TIME = re.compile(r"([0-9]{1,2}:[0-9]{2})\s*([apAP])\.?\s*[mM]\.?")
_INFINITIES = frozenset({"infinity", "inf"})


def word_of(text: str) -> str | None:
    r"""The answer in lower case if it is a word or phrase; None if it is mathematics.

    Text in ``\text{}`` of two or more letters is a word, unless it is a number with its unit. Outside ``\text{}``, a
    phrase consists of words and numerals only and has at least one word of two or more letters.
    """
    if (time := _TIME.fullmatch(_TEXT.sub(r" \1 ", normalise_math(text)).strip())) is not None:
        return f"{time[1]} {time[2].lower()}m"
    inner = re.sub(r"\A[\s$*`]+|[\s$*`.!]+\Z", "", text)
    in_text = _TEXT.fullmatch(inner)
    content = (in_text[1] if in_text else normalise_math(text)).strip(" .!,")
    words = re.findall(r"[A-Za-z]+", content)
    if not _PHRASE.fullmatch(content) or max(map(len, words), default=0) < 2 or AND_OR.search(content):
        return None
    if content.lower() in _INFINITIES or read_quantity(content) is not None:
        return None
    if in_text or any(is_word(word) and not is_function(word) for word in words if len(word) > 1):
        return " ".join(content.lower().split())
    return None

"""Parse and compare multiple-choice answers (paper section 3.2.1)."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

from advcluster_dagster.science.grading.context import AnswerContext
from advcluster_dagster.science.grading.errors import UnreadableAnswerError
from advcluster_dagster.science.grading.markup import unquote, unwrap

#: Longer texts are not parsed.
MAX_CHARACTERS = 2_000
#: Option letters of a question that does not list its options.
DEFAULT_LETTERS = "ABCDEFGH"

Options = Mapping[str, str]

_COMMAND = re.compile(r"\\(?:boxed|fbox|text\w*|math(?:rm|bf|it|sf|tt)|mbox|operatorname)\s*\{([^{}]*)\}")
_LATEX_SPACE = re.compile(r"\\[ ,;:!]|~")
_EMPHASIS = re.compile(r"\*\*|__|[$`]")
_LETTER = re.compile(
    r"[(\[{<\"'\u201c]*\s*(?P<letter>[A-Za-z])(?![A-Za-z0-9_'\u2019^])"
    r"(?P<mark>\s*[)\]}>\"'\u201d]+\s*[.:,;]?|\s*[.:,;]|\s+[-\u2013\u2014]+(?=\s))?\s*(?P<tail>.*)",
    re.DOTALL,
)
_LEAD = re.compile(
    r"(?:\b(?:answers?|options?|choices?|ans)\b\.?\s*(?:(?:is|are|should\s+be|must\s+be|would\s+be)\b)?"
    r"|\b(?:it|this)\s+(?:is|must\s+be|should\s+be|would\s+be)\b|\b(?:choose|pick|select|say|go\s+(?:with|for))\b)"
    r"\s*[:=]?\s*",
    re.IGNORECASE,
)
_NOT_MEANT = re.compile(
    r"\b(?:not|nor|neither|other|than|unlike|except|instead\s+of|without|eliminates?)\s*\(?\Z", re.IGNORECASE
)
_AFFIRMED = re.compile(
    r"(?:only|\(?correct\)?|(?:is|must\s+be|should\s+be)\s+(?:indeed\s+|clearly\s+)?(?:the\s+)?(?:only\s+|most\s+|best\s+)?"
    r"(?:correct|right|true|appropriate|answer|option|choice|one)(?:\s+(?:answer|option|choice|one|statement))?)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:(?:is|are|was|can|could|does)\s*(?:n['\u2019]t|not)|cannot|not\b|(?:is\s+)?(?:incorrect|wrong|false)\b)",
    re.IGNORECASE,
)
_JOINED = re.compile(r"(?:and|or)\b|[/&+,;|]", re.IGNORECASE)
# "B, not C" and "B (not option A)" name B.
_NOT_OTHERS = re.compile(
    r"(?:[,;(]|\bbut|\band)\s*not\s+(?:the\s+)?(?:option|choice|answer)?\s*\(?[A-Z]\)?\s*(?=[,;.)]|\Z)\)?"
)
_LONE_LETTER = re.compile(r"[(\[]?[A-Za-z][)\].:]?")
# Start of an option text that refers to other options.
_ABOUT_OPTIONS = re.compile(r"(?:both|neither|all|none|either|only|any|statements?)\b", re.IGNORECASE)
_FURTHER_LETTER = re.compile(
    r"(?<![A-Za-z0-9])\((?P<bracketed>[A-Z])\)|(?<![A-Za-z0-9(])(?P<marked>[A-Z])[.):](?=\s|\Z)"
    r"|(?:\b(?:and|or)\s+|[,&]\s*)\(?(?P<joined>[A-Z])\)?(?=\s*(?:[,;.&]|and\b|or\b|\Z))"
)
_LIST_WORDS = re.compile(
    r"(?:the\s+)?(?:correct\s+)?\b(?:options?|answers?|choices?|statements?)\b(?:\s+(?:is|are)\b)?\s*:?"
    r"|\b(?:is|are)\s+(?:all\s+|both\s+)?(?:the\s+)?(?:correct|right|true)\b(?:\s+(?:options?|answers?|choices?|ones?))?"
    r"|\b(?:only|both)\b|[{}\\]",
    re.IGNORECASE,
)
_ONE = r"[(\[\"']*\s*[A-Z]\s*[)\].\"']*"
_LETTERS = re.compile(
    rf"[(\[]?\s*{_ONE}(?:(?:\s*(?:[,;&/+]|\band\b)\s*)*{_ONE})*\s*[)\]]?[.,]?", re.IGNORECASE | re.ASCII
)
_MARKED_LETTER = re.compile(
    r"(?:\A|(?<=[\s,;]))(?:[(\[](?P<inside>[A-Za-z])[)\]][.:]?|(?P<before>[A-Za-z])(?:[.:)\]]))(?=\s|\Z)"
)
# Positions where an option text may end: white space, punctuation or the end of the text.
_TEXT_END = re.compile(r"(?=\s|[,;.]\s|[,;.]?\Z)")
_BULLET = re.compile(r"\A\s*(?:[-*\u2022]|[0-9][.)])\s+")
_BETWEEN = re.compile(r"\s*(?:[-*\u2022]\s+)?(?:[,;&.\s]|\band\b)*", re.IGNORECASE)


def compare_choice(gold: str, prediction: str, context: AnswerContext) -> bool:
    """Whether both name the same single option.

    Accepted: ``B``, ``(B)``, ``b.``, ``Option B``, ``B is correct``, a letter followed by the option's text
    (``(B) 5 m``, ``B - 5 m``) and, if the question lists its options, the text alone. A letter with the text of
    another option, several options, or a negation (``not B``) counts as no option.

    Raises:
        UnreadableAnswerError: the gold answer does not name exactly one option.
    """
    if (expected := read_choice(gold, context.options)) is None:
        raise UnreadableAnswerError(f"gold answer {gold[:60]!r} is not an option letter")
    return read_choice(prediction, context.options) == expected


def compare_choices(gold: str, prediction: str, context: AnswerContext) -> bool:
    """Whether both name the same set of options: ``A, B, D``, ``ABD``, ``(A) and (B), (D)`` are equal.

    Letters are those of the question's options, or A to H if it lists none. A letter may be followed by its option's
    text (``A) 5 m, C) 7 m``, or one per line); repeated letters count once. Text other than letters, separators, option
    texts and words such as "only" or "are correct" makes the answer unreadable.

    Raises:
        UnreadableAnswerError: the gold answer names no options.
    """
    if (expected := read_choices(gold, context.options)) is None:
        raise UnreadableAnswerError(f"gold answer {gold[:60]!r} names no option letters")
    return read_choices(prediction, context.options) == expected


def read_choice(text: str, options: Options | None = None) -> str | None:
    """The letter of the only option that a text names, in upper case; None if it names none or several."""
    if len(text) > MAX_CHARACTERS:
        return None
    plain = _plain(text)
    named = {letter for letter, _ in _behind_leads(plain)}
    letter = _named_at_start(plain, options)
    if (
        options
        and (letter is None or letter not in options)
        and len(by_text := _options_with_text(plain, options)) == 1
    ):
        letter = by_text[0]
    if letter is None and len(named) == 1:
        readings = {_named_at_start(rest, options) for _, rest in _behind_leads(plain)} - {None}
        letter = readings.pop() if len(readings) == 1 else None
    if letter is None or (options is not None and letter not in options):
        return None
    return letter if named <= {letter} or _is_text_of(plain, letter, options) else None


def read_choices(text: str, options: Options | None = None) -> frozenset[str] | None:
    """The upper-case letters of the options that a text names; None if it names none or contains other text."""
    if len(text) > MAX_CHARACTERS:
        return None
    allowed = "".join(options) if options else DEFAULT_LETTERS
    plain = _plain(text)
    if (letters := _bare_letters(plain)) is not None and letters <= set(allowed):
        return letters
    if (letter := read_choice(text, options)) is not None and letter in allowed:
        return frozenset(letter)
    return _read_texts(plain, options) or _read_with_texts(_without_lead(plain), options, allowed)


def _bare_letters(plain: str) -> frozenset[str] | None:
    """The letters of a text that contains nothing else: ``ABD``, ``A, B and D``; None for a word such as "bad"."""
    unlisted = "\n".join(_BULLET.sub("", line) for line in plain.splitlines())
    bare = re.sub(r"\(\s*\)", " ", _LIST_WORDS.sub(" ", _NOT_OTHERS.sub(" ", unlisted)))
    words = re.findall(r"[A-Za-z]+", re.sub(r"\band\b", " ", bare, flags=re.IGNORECASE))
    is_plain = len(words) == 1 or all(len(word) == 1 or word.isupper() for word in words)
    if not words or not is_plain or not _LETTERS.fullmatch(" ".join(bare.split())):
        return None
    return frozenset("".join(words).upper())


def _plain(text: str) -> str:
    """Strip LaTeX and Markdown formatting and collapse white space within lines."""
    plain = unwrap(text)
    for _ in range(3):  # \\boxed{\\text{...}}
        plain = _COMMAND.sub(r" \1 ", plain)
    plain = _EMPHASIS.sub("", _LATEX_SPACE.sub(" ", unicodedata.normalize("NFC", plain)))
    return "\n".join(" ".join(line.split()) for line in unquote(plain).splitlines() if line.strip()).strip()


def _named_at_start(plain: str, options: Options | None) -> str | None:
    """The option letter at the start of a text, unless the rest negates it or names another option; else None."""
    match = _LETTER.fullmatch(_NOT_OTHERS.sub(" ", plain).strip())
    if match is None:
        return None
    letter, tail = match["letter"].upper(), match["tail"].strip().rstrip(".!").strip()
    if not tail or _AFFIRMED.fullmatch(tail):
        return letter
    if options is not None:
        if (rest := _behind_text(tail, letter, options)) is not None:
            is_alone = not (_FURTHER_LETTER.search(rest) or _MARKED_LETTER.search(rest) or _DENIED.match(rest.strip()))
            return letter if is_alone else None
        if any(other != letter for other in _options_with_text(tail, options)):
            return None
    is_marked = bool(match["mark"])
    if not is_marked or _DENIED.match(tail) or _JOINED.match(tail) or _LONE_LETTER.fullmatch(tail):
        return None
    if _ABOUT_OPTIONS.match(tail):
        return letter
    allowed = "".join(options) if options else DEFAULT_LETTERS
    further = {m["bracketed"] or m["marked"] or m["joined"] for m in _FURTHER_LETTER.finditer(" " + tail)} - {letter}
    if match["letter"].islower():
        further |= {(m["inside"] or m["before"]).upper() for m in _MARKED_LETTER.finditer(tail)} - {letter}
    return None if further & set(allowed) else letter


def _behind_leads(plain: str) -> Iterator[tuple[str, str]]:
    """Yield each letter after "answer is", "option" and the like, with the text from that letter on."""
    for lead in _LEAD.finditer(plain):
        rest = plain[lead.end() :]
        match = _LETTER.match(rest)
        is_name = match is not None and (match["letter"].isupper() or bool(match["mark"]) or not match["tail"].strip())
        if match is not None and is_name and not _NOT_MEANT.search(plain[: lead.start()]):
            yield match["letter"].upper(), rest


def _without_lead(plain: str) -> str:
    """Strip a leading phrase such as "The correct options are:"."""
    match = re.match(rf"(?:so|thus|therefore|hence|the|correct|final|,|\s)*{_LEAD.pattern}", plain, re.IGNORECASE)
    return plain[match.end() :] if match else plain


def _read_texts(plain: str, options: Options | None) -> frozenset[str] | None:
    """Letters of options given by their texts alone, one per line or separated by semicolons; None otherwise."""
    parts = [part for line in plain.splitlines() for part in line.split(";") if part.strip()]
    named = [_options_with_text(_BULLET.sub("", part), options) for part in parts] if options else []
    return frozenset(letters[0] for letters in named) if named and all(len(n) == 1 for n in named) else None


def _read_with_texts(plain: str, options: Options | None, allowed: str) -> frozenset[str] | None:
    """Parse marked letters with option texts: ``A) 5 m, C) 7 m``, or one per line; None for other text."""
    letters, position = set[str](), _BETWEEN.match(plain).end()  # type: ignore[union-attr]  # also matches the empty string
    while position < len(plain):
        mark = _MARKED_LETTER.match(plain, position)
        letter = (mark["inside"] or mark["before"]).upper() if mark else ""
        if mark is None or letter not in allowed:
            return None
        letters.add(letter)
        end = _end_of_text(plain, mark.end(), options, letter)
        if end is None:
            return None
        position = _BETWEEN.match(plain, end).end()  # type: ignore[union-attr]
    return frozenset(letters) or None


def _end_of_text(plain: str, start: int, options: Options | None, letter: str) -> int | None:
    """End of the text after a marked letter; None if the text negates the option."""
    if options is not None:
        ends = [start + match.start() for match in _TEXT_END.finditer(plain[start:])]
        texts = (end for end in ends if _options_with_text(plain[start:end], options) == [letter])
        return max(texts, default=start)
    following = _MARKED_LETTER.search(plain, start + 1)
    end = following.start() if following else len(plain)
    return None if re.search(r"\b(?:not|incorrect|wrong|false|except)\b", plain[start:end], re.IGNORECASE) else end


@lru_cache(maxsize=4096)
def _key(text: str) -> str:
    """Comparison key of an option text: without formatting, white space and final punctuation."""
    return re.sub(r"\s", "", _plain(text)).rstrip(".,;")


def _options_with_text(text: str, options: Options) -> list[str]:
    """Letters of the options with this text; case is ignored unless an option matches exactly."""
    if not (key := _key(text)):
        return []
    exact = [letter for letter, option in options.items() if _key(option) == key]
    return exact or [letter for letter, option in options.items() if _key(option).casefold() == key.casefold()]


def _behind_text(tail: str, letter: str, options: Options) -> str | None:
    """The rest of the tail after the option's text; None if the tail does not begin with that text."""
    ends = [match.start() for match in _TEXT_END.finditer(tail)]
    matching = [end for end in ends if _options_with_text(tail[:end], options) == [letter]]
    return tail[max(matching) :] if matching else None


def _is_text_of(plain: str, letter: str, options: Options | None) -> bool:
    """Whether wording that mentions options is part of the option's own text."""
    text = (options or {}).get(letter, "")
    return bool(_LEAD.search(text)) and _key(text) in _key(plain)

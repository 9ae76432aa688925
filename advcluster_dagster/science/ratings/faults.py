"""Inject faults into right traces that a rater must detect: a changed number, and filler text.

Since the change is known, the rater can be checked without human judgement.
"""

import hashlib
import random
import re
from collections.abc import Iterator

import polars as pl

#: Default number of traces per fault.
DEFAULT_N_FAULTED = 20
N_FILLER_WORDS = 200
_TRACE = ["question_id", "role", "trial"]
_FAULTED = pl.Schema(
    {"question_id": pl.String, "role": pl.String, "trial": pl.Int64, "fault": pl.String, "response": pl.String}
)

# A number that is not part of a word, of list numbering or of a longer number.
_NUMBER = r"(?<![\w.,\\])\d+(?:,\d{3})*(?:\.\d+)?(?![\w.,]*\d)(?![A-Za-z_])"
_ANY_NUMBER = re.compile(_NUMBER)
_RESULT = re.compile(rf"(?<![<>=!])=\s*[$-]{{0,2}}\s*({_NUMBER})")
_NUMBERING = re.compile(r"(?m)^[\s#*(]*(?:step\s*)?\d+\s*[.):]", re.IGNORECASE)

#: Sentences of ten words each, without numbers, claims about a question, or subject vocabulary.
_FILLER = (
    "Before going any further, let me pause here and reflect.",
    "It is always worth taking things slowly and very carefully.",
    "I want to be sure that nothing has been overlooked.",
    "Let me read all of this again from the start.",
    "There may well be some other way to see this.",
    "Sometimes a fresh look helps to see everything more clearly.",
    "I feel fairly comfortable with how this is going now.",
    "Still, a little patience is rarely a bad idea here.",
    "Let me think about how best to say all this.",
    "This kind of thing can be quite tricky at times.",
    "On reflection, that seems to be a sensible remark indeed.",
    "Hmm, let me just go over my own thoughts again.",
    "As I said earlier, being careful is what matters most.",
    "Many people would perhaps look at this rather differently today.",
    "That being said, there is no need to hurry now.",
    "I could say more about this, but let me continue.",
    "It is nice when things start to come together well.",
    "Okay, so where was I before all of these remarks?",
    "Let me take a deep breath and carry on slowly.",
    "Anyway, what I wrote above still looks good to me.",
    "Perhaps it helps to say the same thing once more.",
    "Nobody should ever be too sure about anything, of course.",
    "I keep coming back to this, which is quite natural.",
    "All in all, this has been an interesting little exercise.",
)


def change_number(text: str, seed: int) -> str | None:
    """Change one number of a text; None if it has no number that can be changed.

    The number is sampled from those after an equals sign, where a wrong value is a wrong calculation or state, else
    from all numbers outside words and numbering. Its first non-zero digit is replaced by another digit from 1 to 9, so
    the value changes by at least a tenth, more than rounding can explain.

    Args:
        text: A trace.
        seed: Together with the text determines the change.

    >>> change_number("Step 2. 3 + 4 = 7", 0)
    'Step 2. 3 + 4 = 1'
    """
    spans = [match.span(1) for match in _RESULT.finditer(text)] or list(_free_numbers(text))
    offsets = [offset for span in spans if (offset := _leading_digit(text, *span)) is not None]
    if not offsets:
        return None
    rng = random.Random(_digest(seed, "changed_number", text))
    offset = rng.choice(offsets)
    digit = rng.choice([digit for digit in "123456789" if digit != text[offset]])
    return f"{text[:offset]}{digit}{text[offset + 1 :]}"


def append_filler(text: str, seed: int) -> str:
    """Append a paragraph of 200 words that are unrelated to the question.

    Twenty distinct sentences of ten words each, in an order determined by seed and text.
    """
    rng = random.Random(_digest(seed, "added_filler", text))
    sentences = rng.sample(_FILLER, N_FILLER_WORDS // 10)
    return f"{text.rstrip()}\n\n{' '.join(sentences)}"


def faulted_traces(
    traces: pl.DataFrame, family: str, seed: int, n_faulted: int = DEFAULT_N_FAULTED
) -> tuple[pl.DataFrame, int]:
    """Inject each fault into right traces, at most one trace per question, questions in a seeded order.

    The sample of a smaller size is a subset of that of a larger size. Traces without a number that can be changed are
    excluded from both faults and counted, so that both faults use the same traces.

    Args:
        traces: Columns question_id, role, trial, is_correct, response of rated traces; only right traces are used.
        family: Name of the family.
        seed: Seed of the study.
        n_faulted: Maximum number of traces.

    Returns:
        Columns question_id, role, trial, fault, response (with the fault), and the number of sampled traces without a
        number.
    """
    right = traces.filter(pl.col("is_correct")).drop_nulls("response").select(*_TRACE, "response")
    drawn_by = [_digest(seed, "faulted_traces", family, *name) for name in right.select(_TRACE).iter_rows()]
    question_by = [_digest(seed, "faulted_traces", family, name) for name in right["question_id"]]
    ordered = (
        right.with_columns(pl.Series("question_by", question_by, pl.String), pl.Series("drawn_by", drawn_by, pl.String))
        .sort("question_by", "drawn_by")
        .unique("question_id", keep="first", maintain_order=True)
    )
    rows: list[tuple[str, str, int, str, str]] = []
    n_without = 0
    for question_id, role, trial, response in ordered.select(*_TRACE, "response").iter_rows():
        if len(rows) >= 2 * n_faulted:
            break
        changed = change_number(response, seed)
        if changed is None:
            n_without += 1
            continue
        rows.append((question_id, role, trial, "changed_number", changed))
        rows.append((question_id, role, trial, "added_filler", append_filler(response, seed)))
    return pl.DataFrame(rows, schema=_FAULTED, orient="row"), n_without


def _free_numbers(text: str) -> Iterator[tuple[int, int]]:
    numbering = [match.span() for match in _NUMBERING.finditer(text)]
    for match in _ANY_NUMBER.finditer(text):
        if not any(start <= match.start() < end for start, end in numbering):
            yield match.span()


def _leading_digit(text: str, start: int, end: int) -> int | None:
    """Offset of a number's first non-zero digit; for the number "0" its only digit, else None."""
    offset = next((offset for offset in range(start, end) if text[offset] in "123456789"), None)
    return start if offset is None and text[start:end] == "0" else offset


def _digest(seed: int, *parts: object) -> str:
    return hashlib.sha256("\x1f".join(map(str, (seed, *parts))).encode("utf-8", "replace")).hexdigest()

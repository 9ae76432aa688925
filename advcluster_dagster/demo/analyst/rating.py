"""Rate a trace by criteria that need no understanding: wrong calculations, and text without new content.

Factuality, strategy and step coherence need understanding; the reply marks them as not rated.
"""

import re

from advcluster_dagster.demo.analyst.reading import Trace, read_trace
from advcluster_dagster.printable import one_line
from advcluster_dagster.science.copied_texts import words_of

_UNSEEN = "Not rated: the embedded analyst is a stand-in that follows rules and does not understand the solution."
_NO_CALCULATION = "Not rated: the solution holds no calculation that the embedded analyst can check."
_NO_WORDS = "Not rated: the solution holds no words."
#: Score by number of wrong calculations; 1 for more.
_SCORE_OF_SLIPS = {0: 5, 1: 3, 2: 2}
#: Maximum share of words without content for the scores 5, 4, 3, 2; 1 for more.
_NOISE_BOUNDS = ((0.15, 5), (0.3, 4), (0.5, 3), (0.7, 2))
_MOST_NAMED = 5
_LONGEST_PASSAGE = 120
_SHORTEST_CONTENT_WORD = 5
#: A value, a symbol, a quoted text, or a one-letter name.
_WITH_CONTENT = re.compile(r"[\d=<>\\^\"\[\]{}_]|(?<![\w'])[B-HJ-Zb-hj-z](?![\w'])")
#: Words of five letters or more that are common in questions and in text without content.
_COMMON = frozenset(
    words_of(
        "about above after again along answer because before being below between could every first given other please "
        "problem question right should since solve start still their there these thing things think those three "
        "through under until using where which while whole whose without would write"
    )
)


def rate_trace(question: str, trace: str) -> dict[str, dict[str, dict[str, object]]]:
    """Build the embedded analyst's reply to a rating request, ready for JSON.

    computational_precision depends on the number of wrong calculations of the form "a op b = c": none 5, one 3, two 2,
    more 1; null without calculations. signal_to_noise depends on the share of words in statements that repeat an
    earlier one or contain neither a value, a symbol nor a word of the question: up to 15 % 5, 30 % 4, 50 % 3, 70 % 2,
    else 1; null without words. The other dimensions are null.
    """
    parsed = read_trace(trace)
    unseen = {name: _rating(_UNSEEN, (), None) for name in ("factuality", "strategy", "step_coherence")}
    return {
        "logic": {**unseen, "computational_precision": _precision(parsed)},
        "brevity": {"signal_to_noise": _signal(question, parsed)},
    }


def _precision(trace: Trace) -> dict[str, object]:
    calculations = trace.calculations
    if not calculations:
        return _rating(_NO_CALCULATION, (), None)
    slips = list(dict.fromkeys(item.statement for item in calculations if not item.is_sound))
    reason = f"Of {len(calculations)} calculations that can be checked, {len(slips)} statements hold a wrong value."
    return _rating(reason, [("arithmetic error", slip) for slip in slips], _SCORE_OF_SLIPS.get(len(slips), 1))


def _signal(question: str, trace: Trace) -> dict[str, object]:
    topics = {word for word in words_of(question) if len(word) >= _SHORTEST_CONTENT_WORD} - _COMMON
    known: set[tuple[str, ...]] = set()
    n_words, n_idle = 0, 0
    idle: list[tuple[str, str]] = []
    for statement in trace.statements:
        words = words_of(statement)
        n_words += len(words)
        if words in known:
            idle.append(("repetition", statement))
        elif not _WITH_CONTENT.search(statement) and topics.isdisjoint(words):
            idle.append(("talk about the solution itself", statement))
        else:
            known.add(words)
            continue
        n_idle += len(words)
    if not n_words:
        return _rating(_NO_WORDS, (), None)
    share = n_idle / n_words
    score = next((score for bound, score in _NOISE_BOUNDS if share <= bound), 1)
    return _rating(f"Of {n_words} words, {n_idle} repeat a statement or bring nothing to check.", idle, score)


def _rating(reason: str, faults: list[tuple[str, str]] | tuple[()], score: int | None) -> dict[str, object]:
    """Build one dimension of the reply, listing the first faults."""
    named = [f"{fault}: {one_line(passage, _LONGEST_PASSAGE)}" for fault, passage in faults[:_MOST_NAMED]]
    return {"justification": reason, "deductions": named, "score": score}

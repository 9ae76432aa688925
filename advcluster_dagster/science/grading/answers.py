"""Find the final answer in a response (paper section 3.2.1: a trial is graded by its final answer alone)."""

import re
from dataclasses import dataclass
from itertools import dropwhile
from typing import Literal

from advcluster_dagster.science.grading.boxes import box_at_start, last_answer_in_boxes
from advcluster_dagster.science.grading.json_answers import after_thinking, answer_in_field, names_field
from advcluster_dagster.science.grading.markup import strip_end_tokens
from advcluster_dagster.science.thinking import without_thinking

AnswerVerdict = Literal["no_answer", "truncated", "missing_response"]

_ANSWER_START, _ANSWER_END = "[ANSWER]", "[/ANSWER]"
_EMPHASIS = ("**", "__", "`")
#: Opening and closing marks of blocks that may span several lines.
_BLOCKS = (("```", "```"), ("$$", "$$"), (r"\[", r"\]"), ("<answer>", "</answer>"))
_OPTION_LINE = re.compile(r"\s*(?:[-*\u2022]\s+)?[(\[]?[A-Za-z][)\].:]")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)


@dataclass(frozen=True)
class AnswerPlace:
    r"""Where the responses of a benchmark contain their answer; at most one of the fields is set.

    If none is set, the answer is the last ``\boxed{}``, else the text between ``[ANSWER]`` and ``[/ANSWER]``.

    ``marker``: text that precedes the answer. ``field``: a field of the last JSON object that has it; a response that
    does not name the field is searched for a box. ``is_whole``: the whole response is the answer.
    """

    marker: str | None = None
    field: str | None = None
    is_whole: bool = False


BOXED = AnswerPlace()


@dataclass(frozen=True)
class FoundAnswer:
    """The answer text, stripped and never empty; ``verdict`` is None if the answer can be compared."""

    prediction: str | None
    verdict: AnswerVerdict | None


def find_answer(
    response: str | None, finish_reason: str | None = None, place: AnswerPlace = BOXED, answer_type: str = "text"
) -> FoundAnswer:
    r"""Find the final answer of a response.

    Only the text after the model's thinking is searched; trailing end-of-turn tokens are ignored. With a marker, the
    answer is the rest of the line after the marker's last occurrence, or the first line below if that rest is empty;
    a box or fenced block there is taken as a whole. Without a marker it is the last ``\boxed{}`` that is not blank,
    together with boxes separated from it only by commas, "and" or "or", else the text between the last ``[ANSWER]``
    and ``[/ANSWER]``. If the last box is never closed, there is no answer, even if earlier boxes exist.

    Args:
        response: The trace, or None when the call failed.
        finish_reason: Why generation ended; ``length`` means at the token limit.
        place: Where the benchmark's responses contain the answer.
        answer_type: Answer type of the question.

    Returns:
        The answer with verdict None; else ``missing_response`` if there is no response, ``truncated`` if it hit the
        token limit (an answer found nevertheless is kept for inspection) or never ended its thinking, ``no_answer``
        if it ended without an answer.
    """
    if response is None:
        return FoundAnswer(None, "missing_response")
    if (reply := after_thinking(response) if place.field else without_thinking(response)) is None:
        return FoundAnswer(None, "truncated")
    prediction = _answer_in(strip_end_tokens(reply), place, answer_type)
    if finish_reason == "length":
        return FoundAnswer(prediction, "truncated")
    return FoundAnswer(prediction, None if prediction else "no_answer")


def _answer_in(text: str, place: AnswerPlace, answer_type: str) -> str | None:
    if place.is_whole:
        return text.strip() or None
    if place.field is not None and names_field(text, place.field):
        return answer_in_field(text, place.field, answer_type)
    if place.marker is not None:
        return _behind_marker(text, place.marker, answer_type)
    boxed = last_answer_in_boxes(text, answer_type)
    return _between_tags(text) if boxed is None else boxed or None


def _behind_marker(text: str, marker: str, answer_type: str) -> str | None:
    """The answer after the marker; emphasis opened before the marker ends at its closing mark."""
    word, colon = (marker[:-1], ":") if marker.endswith(":") else (marker, "")
    # "**Answer**: B" contains the marker "Answer:" too.
    pattern = re.escape(word) + r"[*_`]{0,3}" * bool(colon) + colon
    ends = [match.end() for match in re.finditer(pattern, text)]
    if not ends:
        return None
    before = text[: ends[-1]].rsplit("\n", 1)[-1]
    block = _first_block(text[ends[-1] :], answer_type)
    answer = last_answer_in_boxes(block, answer_type)
    if answer is None:
        answer = strip_end_tokens(_strip_closing_marks(before, block)).strip().removeprefix(":").strip()
    return answer or None


def _first_block(text: str, answer_type: str) -> str:
    """The first line that is not blank, or the whole box, fence or display block that begins on it.

    For an answer of several letters, following lines that begin with a marked letter are included.
    """
    below = text.lstrip()
    if (end := box_at_start(below)) is not None:
        return below[:end] + below[end:].split("\n", 1)[0]
    for start, end_mark in _BLOCKS:
        inner, closed, rest = below.removeprefix(start).partition(end_mark)
        if below.startswith(start) and closed:
            return start + inner + end_mark + rest.split("\n", 1)[0]
    # Formatting marks alone on the marker's line, as in "**Answer:**", are not an answer.
    lines = list(dropwhile(lambda line: not line.strip(" *_`:\r"), below.split("\n")))
    n_lines = 1
    while answer_type == "choices" and n_lines < len(lines) and _OPTION_LINE.match(lines[n_lines]):
        n_lines += 1
    return "\n".join(lines[:n_lines])


def _strip_closing_marks(before: str, line: str) -> str:
    """Drop closing marks whose opening mark precedes the marker: ``**Answer: B**`` gives ``B``."""
    for mark in _EMPHASIS:
        if before.count(mark) % 2 and mark in line:
            inside, _, rest = line.partition(mark)
            line = inside if inside.strip(" :") else rest
    if before.count("(") > before.count(")") and line.count(")") > line.count("("):
        line = line[: line.rindex(")")]
    depth = 0
    for brace in _BRACES.finditer(line):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth < 0:
            inside, rest = line[: brace.start()], line[brace.end() :]
            return inside if inside.strip(" :") else rest
    return line


def _between_tags(text: str) -> str | None:
    end = text.rfind(_ANSWER_END)
    start = text.rfind(_ANSWER_START, 0, max(end, 0))
    return text[start + len(_ANSWER_START) : end].strip() or None if start >= 0 else None

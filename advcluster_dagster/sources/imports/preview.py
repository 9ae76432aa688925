"""Grade a sample of imported traces with the study's settings, before any run.

Only the sample is held in memory.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from advcluster_dagster.science.grading.answers import AnswerPlace, find_answer
from advcluster_dagster.science.grading.grade import grade_trials
from advcluster_dagster.science.json_values import find_values
from advcluster_dagster.science.thinking import without_thinking
from advcluster_dagster.study.benchmarks import Benchmark

#: Maximum sample size per model and benchmark.
MOST_RESPONSES = 500
#: Share of responses without an answer from which another setting is searched for.
NOTABLE_SHARE = 0.5
_LEAST_LOCATED = 0.9

_MOST_ROW_GROUPS = 50
_MAX_CHARACTERS = 2**20
_COLUMNS = ["question_id", "benchmark", "trial", "model", "response", "finish_reason", "recorded_correct"]
_FIELDS = ("answer", "final_answer", "finalAnswer", "Answer", "result", "solution", "output")
_MARKERS = (
    "####", "A:", "Answer:", "ANSWER:", "answer:", "Final Answer:", "Final answer:", "FINAL ANSWER:",
    "The answer is", "the answer is", "The final answer is", "answer is",
)  # fmt: skip
_PREFIX = re.compile(r"\s*(\S[^\n:]{0,38}:|[#>=]{2,6})")
_MOST_PREFIXES = 3
_SHORT_REPLY = 200


@dataclass(frozen=True)
class Preview:
    """Grading statistics of a sample of a model's responses.

    ``n_missing`` traces of the sample have no response, or one too large to check. Of the other ``n_responses``,
    ``n_located`` hold an answer where the study expects it; ``n_right`` of ``n_decided`` are right (responses that need
    worker processes are undecided); ``n_contradicted`` of ``n_recorded`` recorded verdicts differ from our grade.
    ``proposal`` suggests another setting if few responses hold an answer under the study's; ``fitting`` is its place
    if nearly all responses hold an answer there.
    """

    n_missing: int
    n_responses: int
    n_located: int
    examples: tuple[str, ...]
    n_decided: int
    n_right: int
    n_recorded: int
    n_contradicted: int
    proposal: str | None
    fitting: AnswerPlace | None = None


def answer_place(benchmark: Benchmark) -> AnswerPlace:
    """The place where a study expects the answers of a benchmark."""
    return AnswerPlace(benchmark.answer_marker, benchmark.answer_field, benchmark.whole_response)


def preview_traces(path: Path, questions: pl.DataFrame, role: str, place: AnswerPlace) -> Preview:
    """Grade a sample of imported traces.

    Args:
        path: Parquet file of the traces of one model on one benchmark.
        questions: Columns question_id, answer, answer_type, answer_context.
        role: Role of the model.
        place: Where the study expects answers.
    """
    traces = _sample(path).join(questions.select("question_id"), on="question_id", how="semi", maintain_order="left")
    is_read = pl.col("response").is_not_null() & (pl.col("response").str.len_chars() <= _MAX_CHARACTERS)
    sample = traces.filter(is_read)
    graded = _graded(sample, questions, role, place)
    answers = graded.filter(pl.col("prediction").is_not_null())
    compared = graded.filter(pl.col("is_correct").is_not_null(), pl.col("recorded_correct").is_not_null())
    decided = graded.filter(pl.col("is_correct").is_not_null())
    is_notable = sample.height > 0 and answers.height <= (1 - NOTABLE_SHARE) * sample.height
    proposal, fitting = _propose(sample, questions, role, place) if is_notable else (None, None)
    return Preview(
        n_missing=traces.height - sample.height,
        n_responses=sample.height,
        n_located=answers.height,
        examples=tuple(answers["prediction"].unique(maintain_order=True).head(5)),
        n_decided=decided.height,
        n_right=decided.filter(pl.col("is_correct")).height,
        n_recorded=compared.height,
        n_contradicted=compared.filter(pl.col("is_correct") != pl.col("recorded_correct")).height,
        proposal=proposal,
        fitting=fitting,
    )


def _sample(path: Path) -> pl.DataFrame:
    """Sample traces evenly over the file, deterministically."""
    with pq.ParquetFile(path) as file:
        n_groups = min(file.num_row_groups, _MOST_ROW_GROUPS)
        groups = [number * file.num_row_groups // n_groups for number in range(n_groups)]
        frames, generator = [], random.Random(0)
        for number in groups:
            rows = pl.DataFrame(file.read_row_group(number, columns=_COLUMNS))
            n_rows = min(rows.height, -(-MOST_RESPONSES // n_groups))
            frames.append(rows[sorted(generator.sample(range(rows.height), n_rows))])
    return pl.concat(frames).head(MOST_RESPONSES)


def _graded(sample: pl.DataFrame, questions: pl.DataFrame, role: str, place: AnswerPlace) -> pl.DataFrame:
    names = sample["benchmark"].unique()
    graded = grade_trials(sample, questions, role, dict.fromkeys(names, place))
    return graded.with_columns(recorded_correct=sample["recorded_correct"])


def _propose(
    sample: pl.DataFrame, questions: pl.DataFrame, role: str, place: AnswerPlace
) -> tuple[str | None, AnswerPlace | None]:
    """Propose the setting with most right answers among those that locate an answer in nearly all responses.

    If there is none, propose to try the setting that locates most answers, provided it locates at least half; no
    place is returned with it.
    """
    responses = sample["response"].to_list()
    best: tuple[bool, int, int, str] | None = None
    fitting: AnswerPlace | None = None
    for setting, other in _other_places(responses, place):
        n_located = sum(_has_answer(response, other) for response in responses)
        if n_located >= (1 - NOTABLE_SHARE) * len(responses):
            is_fit = n_located >= _LEAST_LOCATED * len(responses)
            n_right = _graded(sample, questions, role, other).filter(pl.col("is_correct")).height
            rank = (n_right, n_located) if is_fit else (n_located, n_right)
            if best is None or (is_fit, *rank) > best[:3]:
                verb = "set" if is_fit else "try"
                best = (is_fit, *rank, f"{verb} {setting} (it locates {n_located} of {len(responses)})")
                fitting = other if is_fit else None
    return (best[3] if best else None), fitting


def _has_answer(response: str, place: AnswerPlace) -> bool:
    if place.field is not None and f'"{place.field}"' not in response:
        return False
    return find_answer(response, None, place).prediction is not None


def _other_places(responses: list[str], place: AnswerPlace) -> Iterator[tuple[str, AnswerPlace]]:
    """Candidate settings as written in a study file, with their place; the first of equals is preferred."""
    if place != AnswerPlace():
        yield "none of answer_marker, answer_field, whole_response: answers are in \\boxed{}", AnswerPlace()
    for name in dict.fromkeys((*_FIELDS, *_common_fields(responses))):
        yield f'answer_field: "{name}"', AnswerPlace(field=name)
    for marker in dict.fromkeys((*_MARKERS, *_common_prefixes(responses))):
        yield f'answer_marker: "{marker}"', AnswerPlace(marker=marker)
    replies = [(without_thinking(response) or "").strip() for response in responses]
    n_bare = sum(0 < len(reply) <= _SHORT_REPLY and "\n" not in reply for reply in replies)
    if n_bare >= _LEAST_LOCATED * len(replies):
        yield "whole_response: true", AnswerPlace(is_whole=True)


def _common_prefixes(responses: list[str]) -> list[str]:
    """Most frequent prefixes of the responses' last lines, up to a colon or a run of marks."""
    counts: Counter[str] = Counter()
    for response in responses:
        lines = [line for line in response.splitlines() if line.strip()]
        if lines and (match := _PREFIX.match(lines[-1])):
            counts[match[1].strip("*_` ")] += 1
    return [prefix for prefix, _ in counts.most_common(_MOST_PREFIXES) if '"' not in prefix and prefix]


def _common_fields(responses: list[str]) -> list[str]:
    """Most frequent names of the last field in the JSON objects that end the responses."""
    counts: Counter[str] = Counter()
    for response in responses[:50]:
        values = find_values(response).complete if "{" in response else ()
        if values and isinstance(values[-1].value, dict) and values[-1].value:
            counts[list(values[-1].value)[-1]] += 1
    return [name for name, _ in counts.most_common(_MOST_PREFIXES)]

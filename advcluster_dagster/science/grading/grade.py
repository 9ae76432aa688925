"""Grade data frames of traces (paper section 3.2.1)."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from advcluster_dagster.contracts.grading import GRADED_TRIALS
from advcluster_dagster.contracts.vocabularies import IS_CORRECT
from advcluster_dagster.science.grading.answers import BOXED, AnswerPlace, find_answer
from advcluster_dagster.science.grading.comparison import COMPARISONS, Comparison, DecideMany, decide_here
from advcluster_dagster.science.grading.json_answers import python_text

#: Incremented whenever a rule change alters the verdict of any answer.
GRADER_VERSION = "3"

#: Traces held in memory at a time by `grade_in_batches`.
BATCH_ROWS = 500

_TRACE_COLUMNS = ("question_id", "benchmark", "trial", "model", "response", "finish_reason")
_KEYS = ("question_id", "benchmark", "role", "trial", "model")
#: Rows of ``graded_trials`` before comparison, with the index of the comparison that decides each row.
_FOUND_SCHEMA = {
    **{name: GRADED_TRIALS.own_schema[name] for name in (*_KEYS, "prediction", "verdict")},
    "answer_type": pl.String(),
    "comparison": pl.Int64(),
}
# Answer types whose comparison uses the question's context; for the others, equal texts are compared only once.
_WITH_CONTEXT = frozenset({"numeric", "choice", "choices", "python_input"})


def grade_trials(
    traces: pl.DataFrame,
    questions: pl.DataFrame,
    role: str,
    places: Mapping[str, AnswerPlace],
    decide_many: DecideMany = decide_here,
) -> pl.DataFrame:
    """Grade every trace of one role, preserving row order.

    Args:
        traces: Columns question_id, benchmark, trial, model, response, finish_reason; others are ignored.
        questions: Columns question_id, answer, answer_type, optionally answer_context; others are ignored.
        role: Role of the model that wrote the traces, ``larger`` or ``smaller``.
        places: Location of the answer in the responses, by benchmark; benchmarks with boxed answers may be omitted.
        decide_many: Decides the comparisons, passed without duplicates; the default gives not_gradable_yet for
            those that need worker processes.

    Returns:
        Columns question_id, benchmark, role, trial, model, prediction, verdict, is_correct, grader, grader_version.
        is_correct is null for the verdicts missing_response, not_gradable_yet, grader_error and grader_timeout, and
        false for a missing or truncated answer. The grader is the answer type, or `none` for not_gradable_yet.

    Raises:
        ValueError: the question of a trace is not among the questions.
    """
    return grade_in_batches({role: traces.lazy()}, questions, places, decide_many)


def grade_in_batches(
    traces: Mapping[str, pl.LazyFrame],
    questions: pl.DataFrame,
    places: Mapping[str, AnswerPlace],
    decide_many: DecideMany = decide_here,
) -> pl.DataFrame:
    """Like :func:`grade_trials`, for traces by role that exceed memory: loads one batch of responses at a time.

    Answers are extracted batch by batch; then ``decide_many`` is called once with the distinct comparisons.
    """
    finder = _AnswerFinder(questions, places)
    graded = [pl.DataFrame(schema=_FOUND_SCHEMA)]
    for role, frame in traces.items():
        batches = frame.select(_TRACE_COLUMNS).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        graded.extend(
            pl.DataFrame(list(finder.rows(batch, role)), schema=_FOUND_SCHEMA, orient="row") for batch in batches
        )
    decided = pl.Series("decided", decide_many(list(finder.comparisons)), dtype=pl.String)
    verdict = pl.coalesce(pl.lit(decided).gather(pl.col("comparison")), "verdict").alias("verdict")
    return (
        pl.concat(graded)
        .with_columns(verdict)
        .with_columns(
            is_correct=pl.col("verdict").replace_strict(IS_CORRECT, default=None, return_dtype=pl.Boolean),
            grader=pl.when(pl.col("verdict") == "not_gradable_yet").then(pl.lit("none")).otherwise("answer_type"),
            grader_version=pl.lit(GRADER_VERSION),
        )
        .select(GRADED_TRIALS.own_schema.names())
    )


class _AnswerFinder:
    """Extracts the answers from batches of traces and collects the distinct comparisons in order."""

    def __init__(self, questions: pl.DataFrame, places: Mapping[str, AnswerPlace]) -> None:
        contexts = questions.get_column("answer_context", default=pl.Series([None] * questions.height, dtype=pl.String))
        columns = (questions["question_id"], questions["answer"], questions["answer_type"], contexts)
        self._gold = {name: entry for name, *entry in zip(*columns, strict=True)}
        self._places = places
        self.comparisons: dict[Comparison, int] = {}

    def rows(self, traces: pl.DataFrame, role: str) -> Iterator[tuple[Any, ...]]:
        """Yield rows of ``_FOUND_SCHEMA``, with the verdict or the index of the comparison that decides it."""
        for question_id, benchmark, trial, model, response, finish_reason in traces.iter_rows():
            if question_id not in self._gold:
                raise ValueError(
                    f"{role} traces: question {question_id!r} is not among the questions of benchmark {benchmark}; "
                    "import the benchmark's questions, or re-import the traces"
                )
            gold, answer_type, context = self._gold[question_id]
            place = self._places.get(benchmark, BOXED)
            if place.field and answer_type == "python_output":
                gold = python_text(gold)
            answer = find_answer(response, finish_reason, place, answer_type)
            verdict: str | None = answer.verdict
            comparison = None
            if answer_type not in COMPARISONS and verdict != "missing_response":
                verdict = "not_gradable_yet"
            elif verdict is None:
                context_used = context if answer_type in _WITH_CONTEXT else None
                key = Comparison(answer_type, gold, answer.prediction or "", context_used)
                comparison = self.comparisons.setdefault(key, len(self.comparisons))
            yield question_id, benchmark, role, trial, model, answer.prediction, verdict, answer_type, comparison

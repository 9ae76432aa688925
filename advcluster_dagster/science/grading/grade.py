"""Grade whole frames of traces (paper section 3.2.1)."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from advcluster_dagster.contracts.grading import GRADED_TRIALS
from advcluster_dagster.contracts.vocabularies import IS_CORRECT
from advcluster_dagster.science.grading.answers import BOXED, AnswerPlace, find_answer
from advcluster_dagster.science.grading.comparison import COMPARISONS, Comparison, DecideMany, decide_here
from advcluster_dagster.science.grading.json_answers import python_text

#: Changes whenever a rule changes the verdict of any answer.
GRADER_VERSION = "3"

#: Traces held in memory at a time by `grade_in_batches`.
BATCH_ROWS = 500

_TRACE_COLUMNS = ("question_id", "benchmark", "trial", "model", "response", "finish_reason")
_KEYS = ("question_id", "benchmark", "role", "trial", "model")
#: Rows of ``graded_trials`` before verdicts are known, with the number of the comparison that decides each.
_FOUND_SCHEMA = {
    **{name: GRADED_TRIALS.own_schema[name] for name in (*_KEYS, "prediction", "verdict")},
    "answer_type": pl.String(),
    "comparison": pl.Int64(),
}
# Answer types whose comparison looks at the question's context; for the rest, equal texts are compared once for all.
_WITH_CONTEXT = frozenset({"numeric", "choice", "choices", "python_input"})


def grade_trials(
    traces: pl.DataFrame,
    questions: pl.DataFrame,
    role: str,
    places: Mapping[str, AnswerPlace],
    decide_many: DecideMany = decide_here,
) -> pl.DataFrame:
    """Grade every trace of one role; rows stay in the order of the traces.

    Args:
        traces: Columns question_id, benchmark, trial, model, response, finish_reason; more are ignored.
        questions: Columns question_id, answer, answer_type, and answer_context if there is any; more are ignored.
        role: Of the model that wrote the traces, ``larger`` or ``smaller``.
        places: Where the responses hold their answer, by benchmark; one whose answers are boxed may be left out.
        decide_many: Decides the comparisons, each distinct one given once; without it, those that need worker
            processes are not_gradable_yet.

    Returns:
        Columns question_id, benchmark, role, trial, model, prediction, verdict, is_correct, grader, grader_version.
        is_correct is null where the verdict is missing_response, not_gradable_yet, grader_error or grader_timeout; an
        answer missing or cut off at the token limit is false. The grader is the answer type, or `none` for a verdict
        of not_gradable_yet.

    Raises:
        ValueError: a trace whose question is not among the questions.
    """
    return grade_in_batches({role: traces.lazy()}, questions, places, decide_many)


def grade_in_batches(
    traces: Mapping[str, pl.LazyFrame],
    questions: pl.DataFrame,
    places: Mapping[str, AnswerPlace],
    decide_many: DecideMany = decide_here,
) -> pl.DataFrame:
    """Grade traces by role, as :func:`grade_trials`, too large for memory: the responses of one batch are held at once.

    Answers are found first, batch by batch; then ``decide_many`` is called once, with the distinct comparisons of all.
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
    """Finds the answers of batches of traces and collects the distinct comparisons they call for, in order."""

    def __init__(self, questions: pl.DataFrame, places: Mapping[str, AnswerPlace]) -> None:
        contexts = questions.get_column("answer_context", default=pl.Series([None] * questions.height, dtype=pl.String))
        columns = (questions["question_id"], questions["answer"], questions["answer_type"], contexts)
        self._gold = {name: rest for name, *rest in zip(*columns, strict=True)}
        self._places = places
        self.comparisons: dict[Comparison, int] = {}

    def rows(self, traces: pl.DataFrame, role: str) -> Iterator[tuple[Any, ...]]:
        """Rows of ``_FOUND_SCHEMA``, with the verdict or the number of the comparison that decides it."""
        for question_id, benchmark, trial, model, response, finish_reason in traces.iter_rows():
            if question_id not in self._gold:
                raise ValueError(
                    f"{role} traces: question {question_id!r} is not among those of benchmark {benchmark}; "
                    "import its questions, or the traces again"
                )
            gold, answer_type, context = self._gold[question_id]
            place = self._places.get(benchmark, BOXED)
            if place.field and answer_type == "python_output":
                gold = python_text(gold)
            graded = find_answer(response, finish_reason, place, answer_type)
            verdict: str | None = graded.verdict
            comparison = None
            if answer_type not in COMPARISONS and verdict != "missing_response":
                verdict = "not_gradable_yet"
            elif verdict is None:
                kept = context if answer_type in _WITH_CONTEXT else None
                key = Comparison(answer_type, gold, graded.prediction or "", kept)
                comparison = self.comparisons.setdefault(key, len(self.comparisons))
            yield question_id, benchmark, role, trial, model, graded.prediction, verdict, answer_type, comparison

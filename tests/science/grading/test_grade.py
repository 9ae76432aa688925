import polars as pl
import pytest

from advcluster_dagster.contracts.grading import GRADED_TRIALS
from advcluster_dagster.science.grading import grade
from advcluster_dagster.science.grading.answers import AnswerPlace
from advcluster_dagster.science.grading.comparison import Comparison
from advcluster_dagster.science.grading.grade import GRADER_VERSION, grade_in_batches, grade_trials

QUESTIONS = pl.DataFrame(
    {
        "question_id": ["n", "c", "m"],
        "answer": ["18", "B", "x^2"],
        "answer_type": ["numeric", "choice", "math"],
        "benchmark": ["sums", "quiz", "quiz"],
    }
)
TRACE_SCHEMA = {
    "question_id": pl.String,
    "benchmark": pl.String,
    "trial": pl.Int64,
    "model": pl.String,
    "response": pl.String,
    "finish_reason": pl.String,
    "engine": pl.String,
}
ROWS = [
    ("n", "sums", 0, "big", "A: $18", None, "imported"),
    ("n", "sums", 1, "big", "A: 19", "stop", "imported"),
    ("n", "sums", 2, "big", "no idea", "stop", "imported"),
    ("n", "sums", 3, "big", "A: 18", "length", "imported"),
    ("n", "sums", 4, "big", None, None, "imported"),
    ("c", "quiz", 0, "big", "\\boxed{b}", "stop", "imported"),
    ("m", "quiz", 0, "big", "\\boxed{x^2}", "stop", "imported"),
    ("m", "quiz", 1, "big", None, None, "imported"),
    ("m", "quiz", 2, "big", "no box", None, "imported"),
]
# prediction, verdict, is_correct, grader, in row order
EXPECTED = [
    ("$18", "correct", True, "numeric"),
    ("19", "wrong", False, "numeric"),
    (None, "no_answer", False, "numeric"),
    ("18", "truncated", False, "numeric"),
    (None, "missing_response", None, "numeric"),
    ("b", "correct", True, "choice"),
    ("x^2", "correct", True, "math"),
    (None, "missing_response", None, "math"),
    (None, "no_answer", False, "math"),
]
PLACES = {"sums": AnswerPlace(marker="A:")}


def _traces(rows):
    return pl.DataFrame(rows, schema=TRACE_SCHEMA, orient="row")


def test_each_trial_gets_its_verdict_in_the_order_of_the_traces():
    graded = grade_trials(_traces(ROWS), QUESTIONS, "larger", PLACES)
    assert graded.select("prediction", "verdict", "is_correct", "grader").rows() == EXPECTED
    assert graded.select("question_id", "benchmark", "trial", "model").rows() == [row[:4] for row in ROWS]
    assert graded["role"].unique().to_list() == ["larger"]
    assert graded["grader_version"].unique().to_list() == [GRADER_VERSION]


def test_graded_trials_keep_their_contract():
    partition = {"family": "f", "domain": "math"}
    graded = grade_trials(_traces(ROWS), QUESTIONS, "larger", PLACES)
    conforming = GRADED_TRIALS.conform(graded.lazy(), partition)
    assert GRADED_TRIALS.faults(conforming) == []


def test_no_traces_give_no_graded_trials():
    graded = grade_trials(_traces([]), QUESTIONS, "smaller", {})
    assert graded.height == 0
    assert graded.schema == grade_trials(_traces(ROWS), QUESTIONS, "smaller", {}).schema


def test_an_unknown_question_is_an_error():
    with pytest.raises(ValueError, match="smaller traces: question 'n' is not among the questions of benchmark sums"):
        grade_trials(_traces(ROWS), QUESTIONS.tail(2), "smaller", PLACES)


class _RecordingDecider:
    """Decider that returns one verdict and records the comparisons it receives."""

    def __init__(self, verdict="wrong"):
        self.asked = []
        self.verdict = verdict

    def __call__(self, comparisons):
        self.asked.append(list(comparisons))
        return [self.verdict] * len(comparisons)


def test_each_answer_is_compared_once_over_batches_and_roles(monkeypatch):
    monkeypatch.setattr(grade, "BATCH_ROWS", 2)
    rows = [("n", "sums", trial, "big", f"A: {trial % 2}", None, None) for trial in range(6)]
    traces, decider = _traces(rows).lazy(), _RecordingDecider()
    graded = grade_in_batches({"larger": traces, "smaller": traces}, QUESTIONS, PLACES, decider)
    assert graded["role"].to_list() == ["larger"] * 6 + ["smaller"] * 6
    assert graded["verdict"].unique().to_list() == ["wrong"]
    # Twelve trials, two different predictions.
    assert decider.asked == [[Comparison("numeric", "18", "0"), Comparison("numeric", "18", "1")]]


def test_equal_answers_under_different_contexts_are_two_comparisons():
    contexts = ['{"tolerance": 1}', '{"tolerance": 2}']
    questions = pl.DataFrame(
        {"question_id": ["a", "b"], "answer": ["18"] * 2, "answer_type": ["numeric"] * 2, "answer_context": contexts}
    )
    rows = [(name, "sums", 0, "big", "A: 20", None, None) for name in "ab"]
    # |20 - 18| = 2: beyond a tolerance of 1, within one of 2.
    assert grade_trials(_traces(rows), questions, "larger", PLACES)["verdict"].to_list() == ["wrong", "correct"]


def test_a_context_unused_by_the_rules_adds_no_comparison():
    questions = QUESTIONS.with_columns(answer_context=pl.Series(["{}", '{"source": 1}', '{"source": 2}']))
    questions = questions.with_columns(answer_type=pl.lit("text"))
    rows = [("c", "quiz", trial, "big", "\\boxed{B}", None, None) for trial in range(2)]
    decider = _RecordingDecider()
    grade_trials(_traces(rows), questions, "larger", PLACES, decider)
    assert decider.asked == [[Comparison("text", "B", "B")]]


def test_comparisons_that_need_workers_are_not_gradable_without_them():
    rows = [("m", "quiz", 0, "big", "\\boxed{x x}", None, None), ("m", "quiz", 1, "big", "\\boxed{y}", None, None)]
    graded = grade_trials(_traces(rows), QUESTIONS, "larger", PLACES)
    assert graded.select("verdict", "is_correct", "grader").unique().rows() == [("not_gradable_yet", None, "none")]


@pytest.mark.parametrize("verdict", ["grader_error", "grader_timeout"])
def test_an_undecided_verdict_leaves_is_correct_null(verdict):
    graded = grade_trials(_traces(ROWS[:1]), QUESTIONS, "larger", PLACES, _RecordingDecider(verdict))
    assert graded.select("verdict", "is_correct", "grader").rows() == [(verdict, None, "numeric")]


@pytest.mark.parametrize("n_rows", [0, 1, len(ROWS)])
def test_grading_in_batches_equals_grading_at_once(monkeypatch, n_rows):
    traces = _traces(ROWS[:n_rows])
    whole = grade_trials(traces, QUESTIONS, "larger", PLACES)
    monkeypatch.setattr(grade, "BATCH_ROWS", 2)
    assert grade_in_batches({"larger": traces.lazy()}, QUESTIONS, PLACES).equals(whole)

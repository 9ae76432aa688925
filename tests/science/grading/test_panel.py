import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.contracts.grading import GRADING_PANEL
from advcluster_dagster.science.grading.panel import (
    Agreement,
    count_votes,
    decide_by_panel,
    measure_agreement,
    panel_pairs,
)

QUESTIONS = pl.DataFrame(
    {
        "question_id": ["a", "b", "p"],
        "answer": ["a dozen", "5", "f(1)"],
        "answer_type": ["numeric", "numeric", "python_input"],
        "prompt": ["How many?", "And now?", "Which input?"],
    }
)
GRADED_SCHEMA = {
    "question_id": pl.String, "role": pl.String, "trial": pl.Int64, "prediction": pl.String, "verdict": pl.String,
    "is_correct": pl.Boolean, "grader": pl.String,
}  # fmt: skip
ROWS = [
    ("a", "larger", 0, "12", "grader_error", None, "numeric"),
    ("a", "larger", 1, "12", "grader_error", None, "numeric"),
    ("a", "larger", 2, "12", "truncated", False, "numeric"),
    ("a", "smaller", 0, "13", "grader_timeout", None, "numeric"),
    ("a", "smaller", 1, None, "missing_response", None, "numeric"),
    ("b", "larger", 0, "5", "correct", True, "numeric"),
    ("b", "smaller", 0, "6", "wrong", False, "numeric"),
    ("b", "smaller", 1, None, "no_answer", False, "numeric"),
    ("p", "larger", 0, "2", "grader_timeout", None, "python_input"),
]


def _graded(rows=ROWS):
    return pl.DataFrame(rows, schema=GRADED_SCHEMA, orient="row")


def _pairs(rows=ROWS, n_agreement_pairs=9, seed=0):
    return panel_pairs(_graded(rows), QUESTIONS, n_agreement_pairs, seed, "f")


def test_distinct_answers_are_selected_once_without_program_answers():
    assert _pairs().rows() == [
        ("a", "12", "a dozen", "grader_error", "How many?"),
        ("a", "13", "a dozen", "grader_timeout", "How many?"),
        ("b", "5", "5", "correct", "And now?"),
        ("b", "6", "5", "wrong", "And now?"),
    ]


def test_the_sample_is_bounded_and_depends_only_on_the_seed():
    rows = [("b", "larger", n, str(n), "wrong", False, "numeric") for n in range(40)]
    sample = _pairs(rows, 10)
    assert sample.height == 10
    assert sample.equals(_pairs(rows[::-1], 10))
    assert not sample.equals(_pairs(rows, 10, seed=1))
    # If a sampled answer disappears, the other nine stay in the sample.
    first = sample["prediction"][0]
    smaller_sample = _pairs([row for row in rows if row[3] != first], 10)
    assert set(sample["prediction"]) - {first} < set(smaller_sample["prediction"])
    assert _pairs(rows, 0).is_empty()


def test_without_graded_trials_there_are_no_pairs():
    pairs = _pairs([])
    assert pairs.is_empty()
    panel = count_votes(pairs, [[], []])
    assert GRADING_PANEL.faults(GRADING_PANEL.conform(panel.lazy(), {"family": "f", "domain": "d"})) == []
    assert decide_by_panel(_graded([]), panel).equals(_graded([]))
    assert count_votes(pairs, []).schema == panel.schema


@pytest.mark.parametrize(
    ("votes", "n_votes", "n_same", "is_same"),
    [
        ((True, True, False), 3, 2, True),
        ((False, True, False), 3, 1, False),
        ((True, None, True), 2, 2, True),
        ((True, None, False), 2, 1, None),  # a tie
        ((True, None, None), 1, 1, None),  # one vote is no majority
        ((None, None, None), 0, 0, None),
        ((True, True, False, False), 4, 2, None),
    ],
)
def test_the_majority_of_the_replies_decides(votes, n_votes, n_same, is_same):
    pairs = _pairs(ROWS[:1])
    assert count_votes(pairs, [[vote] for vote in votes]).rows() == [
        ("a", "12", "a dozen", "grader_error", n_votes, n_same, is_same)
    ]


def test_the_panel_decides_only_undecided_answers():
    # "12" is judged equal, "13" is a tie, the panel is wrong about "5" and "6".
    panel = count_votes(_pairs(), [[True, True, False, True], [True, False, False, True]])
    decided = decide_by_panel(_graded(), panel)
    assert decided.columns == list(GRADED_SCHEMA)
    by_panel = ("correct", True, "panel")
    assert decided.select("verdict", "is_correct", "grader").rows() == [
        by_panel,
        by_panel,
        *(row[4:] for row in ROWS[2:]),
    ]


def test_a_panel_that_says_no_makes_an_answer_wrong():
    decided = decide_by_panel(_graded(ROWS[:1]), count_votes(_pairs(ROWS[:1]), [[False], [False]]))
    assert decided.select("verdict", "is_correct", "grader").rows() == [("wrong", False, "panel")]


def _panel(*rows):
    schema = {"symbolic_verdict": pl.String, "is_same": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_agreement_by_hand():
    # 10 answers: 4 right for both, 1 for the rules alone, 2 for the panel alone, 3 for neither: 7 of 10 agree.
    # By chance: 0.5 * 0.6 + 0.5 * 0.4 = 0.5, so kappa = (0.7 - 0.5) / (1 - 0.5) = 0.4.
    rows = [("correct", True)] * 4 + [("correct", False)] + [("wrong", True)] * 2 + [("wrong", False)] * 3
    agreement = measure_agreement(_panel(*rows, ("correct", None), ("grader_error", True)))
    assert (agreement.n_pairs, agreement.share) == (10, 0.7)
    assert agreement.kappa == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], Agreement(0, None, None)),
        ([("grader_error", True), ("wrong", None)], Agreement(0, None, None)),
        ([("correct", True)] * 3, Agreement(3, 1.0, None)),  # one label only
        ([("correct", True), ("wrong", False)], Agreement(2, 1.0, 1.0)),
        ([("correct", False), ("wrong", True)], Agreement(2, 0.0, -1.0)),
        ([("correct", True), ("correct", False)], Agreement(2, 0.5, 0.0)),  # by chance 1 * 1/2
    ],
)
def test_agreement_at_its_edges(rows, expected):
    assert measure_agreement(_panel(*rows)) == expected


@given(st.lists(st.tuples(st.sampled_from(["correct", "wrong"]), st.none() | st.booleans())))
def test_agreement_is_within_bounds(rows):
    agreement = measure_agreement(_panel(*rows))
    assert (agreement.share is None) == (agreement.n_pairs == 0)
    assert agreement.kappa is None or (math.isfinite(agreement.kappa) and -1 <= agreement.kappa <= 1)

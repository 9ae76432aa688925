import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.advantage_extraction import TRACE_PAIRS
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.science.advantage_extraction.pairs import draw_trace_pairs, pair_generator

VERDICTS = {"1": "correct", "0": "wrong", "-": "grader_error"}
MARKS = {"1": True, "0": False, "-": None}


def graded(outcomes):
    """Rows of ``graded_trials`` from {question: (larger's marks, smaller's marks)}: 1 right, 0 wrong, - not graded."""
    rows = [
        (question, role, trial, MARKS[mark], VERDICTS[mark])
        for question, marks_of_question in outcomes.items()
        for role, marks in zip(("larger", "smaller"), marks_of_question, strict=True)
        for trial, mark in enumerate(marks)
    ]
    schema = {"question_id": pl.String, "role": pl.String, "trial": pl.Int64, "is_correct": pl.Boolean,
              "verdict": pl.String}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def questions(outcomes):
    """Rows of ``analysis_question_set``, with the surplus of correct trials of the larger model."""
    rows = [
        (question, max(0, larger.count("1") - smaller.count("1"))) for question, (larger, smaller) in outcomes.items()
    ]
    return pl.DataFrame(rows, schema={"question_id": pl.String, "n_more_correct": pl.Int64}, orient="row")


def sampled(outcomes, family="f", seed=0):
    return draw_trace_pairs(questions(outcomes), graded(outcomes), family, seed)


def test_rows_match_the_contract():
    table = TABLES["trace_pairs"]
    pairs = sampled({"q:1": ("1" * 10, "0" * 10)})
    table.check(table.conform(pairs.lazy(), {"family": "f", "domain": "d"}))
    assert pairs["pair_id"].to_list() == [f"q:1:{i}" for i in range(10)]
    assert pairs["pair_index"].to_list() == list(range(10))


@pytest.mark.parametrize(
    ("larger", "smaller", "n_pairs"),
    [
        ("1111111111", "0000000000", 10),  # min(10 - 0, 10, 10)
        ("1111111111", "1111000000", 6),  # min(10 - 4, 10, 6)
        ("1111111000", "1000000000", 6),  # min(7 - 1, 7, 9)
        ("1111110000", "0000000000", 6),  # min(6 - 0, 6, 10)
        ("1110000000", "0000000000", 3),
        ("1000000000", "1000000000", 0),  # no gap, no pairs
        ("1000000000", "1110000000", 0),  # a negative gap, rejected earlier, gives no pairs here
    ],
)
def test_the_number_of_pairs(larger, smaller, n_pairs):
    assert sampled({"q": (larger, smaller)}).height == n_pairs


@given(st.integers(1, 60), st.data())
@settings(deadline=None)
def test_pairs_match_distinct_right_and_wrong_trials(trials, data):
    smaller_correct = data.draw(st.integers(0, trials))
    larger_correct = data.draw(st.integers(smaller_correct, trials))
    marks = [data.draw(st.permutations("1" * n + "0" * (trials - n))) for n in (larger_correct, smaller_correct)]
    larger, smaller = ("".join(order) for order in marks)
    pairs = sampled({"q": (larger, smaller)})
    # n_L - n_S never exceeds either number of trials, since wrong of S = T - correct of S.
    assert pairs.height == larger_correct - smaller_correct
    assert all(larger[trial] == "1" for trial in pairs["larger_trial"])
    assert all(smaller[trial] == "0" for trial in pairs["smaller_trial"])
    assert pairs["larger_trial"].n_unique() == pairs["smaller_trial"].n_unique() == pairs.height


def test_ungraded_trials_are_in_no_pair():
    # n_L - n_S = 6, but only 4 of the smaller model's trials are known to be wrong.
    pairs = sampled({"q": ("1111110000", "0000------")})
    assert pairs.height == 4
    assert sorted(pairs["smaller_trial"]) == [0, 1, 2, 3]


OUTCOMES = {
    "b-2": ("1111111111", "0100000000"),
    "b-1": ("1110111111", "0000100000"),
    "b-10": ("0111111111", "0000000000"),
}


def pairs_of(frame, question):
    return frame.filter(question_id=question).rows()


def test_a_question_has_the_same_pairs_alone_and_among_others():
    together = sampled(OUTCOMES)
    for question in OUTCOMES:
        assert pairs_of(together, question) == sampled({question: OUTCOMES[question]}).rows()
    grown = sampled({"a": ("1" * 10, "0" * 10), **OUTCOMES, "z": ("1" * 10, "0" * 10)})
    assert all(pairs_of(grown, question) == pairs_of(together, question) for question in OUTCOMES)


def test_the_order_of_rows_does_not_matter():
    rows = graded(OUTCOMES)
    shuffled = rows.sample(fraction=1, shuffle=True, seed=3)
    assert not shuffled.equals(rows)
    assert draw_trace_pairs(questions(OUTCOMES), shuffled, "f", 0).equals(sampled(OUTCOMES))


def test_questions_keep_their_order():
    assert sampled(OUTCOMES)["question_id"].unique(maintain_order=True).to_list() == list(OUTCOMES)


def test_pairs_depend_on_seed_family_and_question():
    outcome = ("1" * 10, "0" * 10)
    samples = [
        sampled({"q": outcome}, "f", seed=0),
        sampled({"q": outcome}, "f", seed=1),
        sampled({"q": outcome}, "g", seed=0),
        sampled({"r": outcome}, "f", seed=0),
    ]
    trials = [tuple(draw.select("larger_trial", "smaller_trial").rows()) for draw in samples]
    assert len(set(trials)) == 4
    assert sampled({"q": outcome}).equals(samples[0])


def test_names_with_equal_concatenation_have_different_generators():
    first, second = pair_generator(1, "f", "2"), pair_generator(1, "f2", "")
    assert first.random() != second.random()
    assert pair_generator(11, "f", "q").random() != pair_generator(1, "1f", "q").random()


def test_trials_are_matched_in_sampling_order():
    pairs = sampled({"q": ("1" * 10, "0" * 10)})
    assert pairs["larger_trial"].to_list() != sorted(pairs["larger_trial"])
    assert pairs["larger_trial"].to_list() != pairs["smaller_trial"].to_list()


def test_no_questions():
    pairs = draw_trace_pairs(questions({}), graded(OUTCOMES), "f", 0)
    assert pairs.is_empty()
    assert pairs.schema == TRACE_PAIRS.own_schema


def test_questions_without_graded_trials_have_no_pairs():
    assert draw_trace_pairs(questions(OUTCOMES), graded({}), "f", 0).is_empty()

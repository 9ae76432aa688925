"""Sampling of traces to rate."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.science.ratings.sampling import draw_rated_traces

KEY = ["question_id", "role", "trial"]


def trials(verdicts):
    """Trials of questions: {question: (verdicts of larger, of smaller)}, c correct, w wrong, t truncated, m missing."""
    names = {"c": ("correct", True), "w": ("wrong", False), "t": ("truncated", False), "m": ("missing_response", None)}
    rows = [
        (question, role, trial, *names[letter], letter != "m")
        for question, letters in verdicts.items()
        for role, of_role in zip(("larger", "smaller"), letters, strict=True)
        for trial, letter in enumerate(of_role)
    ]
    schema = {"question_id": pl.String, "role": pl.String, "trial": pl.Int64, "verdict": pl.String,
              "is_correct": pl.Boolean, "has_text": pl.Boolean}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def pairs(*rows):
    schema = {"question_id": pl.String, "pair_index": pl.Int64, "larger_trial": pl.Int64, "smaller_trial": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def keys(sample):
    return set(sample.traces.select(KEY).iter_rows())


def test_a_question_adds_a_trial_with_the_other_verdict_per_role():
    # Larger: trials 0, 1 right, 2 wrong. Smaller: all wrong, so there is no other verdict.
    sample = draw_rated_traces(pairs(("q", 0, 0, 1)), trials({"q": ("ccw", "wtw")}), "f", 0)
    assert sample.traces.rows() == [
        ("q", "larger", 0, True, False, True, True),
        ("q", "larger", 2, False, False, False, True),
        ("q", "smaller", 1, False, True, True, False),
    ]
    assert (sample.n_left_out, sample.n_without_text) == (0, 0)


def test_questions_precede_further_pairs_and_pairs_are_taken_completely():
    table = trials(dict.fromkeys("abcd", ("cc", "ww")))
    every = pairs(*((name, i, i, i) for name in "abcd" for i in range(2)))
    # Four questions of two pairs: 16 traces. A cap of seven allows three first pairs; a fourth would give eight.
    seven = draw_rated_traces(every, table, "f", 0, 7)
    assert (seven.traces.height, seven.traces["question_id"].n_unique(), seven.n_left_out) == (6, 3, 10)
    ten = draw_rated_traces(every, table, "f", 0, 10)
    assert (ten.traces.height, ten.traces["question_id"].n_unique(), ten.n_left_out) == (10, 4, 6)
    assert draw_rated_traces(every, table, "f", 0, 1).traces.is_empty()
    assert keys(draw_rated_traces(every, table, "f", 0, 8)) != keys(draw_rated_traces(every, table, "f", 0, 7))


def test_traces_of_several_pairs_are_sampled_once():
    sample = draw_rated_traces(pairs(("q", 0, 0, 0), ("q", 1, 0, 1)), trials({"q": ("c", "ww")}), "f", 0)
    assert sample.traces.select(KEY).rows() == [("q", "larger", 0), ("q", "smaller", 0), ("q", "smaller", 1)]


def test_traces_without_text_are_counted():
    sample = draw_rated_traces(pairs(("q", 0, 0, 0)), trials({"q": ("c", "m")}), "f", 0)
    assert (sample.traces.height, sample.n_without_text, sample.n_left_out) == (1, 1, 0)


def test_an_ungraded_trial_has_no_other_verdict():
    sample = draw_rated_traces(pairs(("q", 0, 0, 0)), trials({"q": ("cm", "wm")}), "f", 0)
    assert (sample.traces.height, sample.traces["is_mixed"].any()) == (2, False)


def test_without_pairs_the_sample_is_empty():
    sample = draw_rated_traces(pairs(), trials({"q": ("cw", "cw")}), "f", 0)
    assert (sample.traces.height, sample.n_left_out, sample.n_without_text) == (0, 0, 0)
    assert sample.traces.columns == [*KEY, "is_correct", "is_truncated", "is_paired", "is_mixed"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_seed_changes_the_questions(seed):
    table, every = trials({str(i): ("c", "w") for i in range(60)}), pairs(*((str(i), 0, 0, 0) for i in range(60)))
    first, other = (keys(draw_rated_traces(every, table, "f", s, 20)) for s in (0, seed))
    assert first != other
    assert keys(draw_rated_traces(every, table, "g", seed, 20)) != other


@st.composite
def studies(draw):
    letters = st.text(alphabet="cwtm", min_size=1, max_size=5)
    verdicts = draw(st.dictionaries(st.sampled_from("abcdefg"), st.tuples(letters, letters), max_size=5))
    rows = []
    for question, (larger, smaller) in verdicts.items():
        right = [i for i, letter in enumerate(larger) if letter == "c"]
        wrong = [i for i, letter in enumerate(smaller) if letter in "wt"]
        rows += [(question, i, *both) for i, both in enumerate(zip(right, wrong, strict=False))]
    return trials(verdicts), pairs(*rows)


@settings(deadline=None)
@given(studies(), st.integers(0, 30), st.integers(0, 30), st.randoms())
def test_smaller_samples_are_subsets_of_larger_ones_in_any_row_order(study, cap, more, random):
    table, every = study
    small, large = (draw_rated_traces(every, table, "f", 5, n) for n in (cap, cap + more))
    assert keys(small) <= keys(large)
    assert small.traces.height <= cap
    assert small.traces.height + small.n_left_out == large.traces.height + large.n_left_out
    order = random.sample(range(table.height), table.height)
    pair_order = random.sample(range(every.height), every.height)
    assert draw_rated_traces(every[pair_order], table[order], "f", 5, cap).traces.equals(small.traces)
    mixed = small.traces.filter("is_mixed").group_by("question_id", "role").agg(pl.col("is_correct").n_unique())
    assert (mixed["is_correct"] == 2).all()

"""Ratings of a trace by the embedded analyst, and dimensions that it does not rate."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.ratings import DIMENSIONS
from advcluster_dagster.demo.analyst.rating import rate_trace
from advcluster_dagster.science.ratings.faults import append_filler, change_number
from advcluster_dagster.science.ratings.rating import parse_rating

QUESTION = "A tram carries 61 passengers on each of 8 trips and 35 more at night. How many passengers is that?"
TRACE = """Each trip carries 61 passengers.
60 * 8 = 480
1 * 8 = 8
480 + 8 = 488
488 + 35 = 523
The tram carries \\boxed{523} passengers."""


def rate(trace, question=QUESTION):
    return parse_rating(json.dumps(rate_trace(question, trace))).by_dimension


def test_a_sound_trace():
    rating = rate(TRACE)
    assert (rating["computational_precision"].score, rating["signal_to_noise"].score) == (5, 5)
    assert rating["computational_precision"].deductions == []
    assert rating["computational_precision"].justification.startswith("Of 4 calculations")


@pytest.mark.parametrize("name", ["factuality", "strategy", "step_coherence"])
def test_what_needs_understanding_is_not_rated_and_says_so(name):
    rating = rate(TRACE)[name]
    assert rating.score is None
    assert "does not understand" in rating.justification


@pytest.mark.parametrize(("n_slips", "score"), [(1, 3), (2, 2), (3, 1), (4, 1)])
def test_slips_are_counted_and_named(n_slips, score):
    lines = TRACE.splitlines()
    for i in range(1, n_slips + 1):
        lines[i] = lines[i].rsplit("= ", 1)[0] + "= 999"
    rating = rate("\n".join(lines))["computational_precision"]
    assert rating.score == score
    assert len(rating.deductions) == n_slips
    assert rating.deductions[0] == "arithmetic error: 60 * 8 = 999"


def test_injected_faults_are_seen_by_their_dimension_alone():
    before, changed, filled = rate(TRACE), rate(change_number(TRACE, 0)), rate(append_filler(TRACE, 0))
    assert changed["computational_precision"].score < before["computational_precision"].score
    assert changed["signal_to_noise"].score == before["signal_to_noise"].score
    assert filled["computational_precision"].score == before["computational_precision"].score
    assert filled["signal_to_noise"].score == 1


def test_repetition_is_noise():
    rating = rate("60 * 8 = 480\n" * 2)["signal_to_noise"]
    # Half of the words repeat.
    assert (rating.score, rating.deductions) == (3, ["repetition: 60 * 8 = 480"])


def test_without_a_calculation_precision_is_not_rated():
    rating = rate("The passengers are many.")
    assert rating["computational_precision"].score is None
    assert rating["signal_to_noise"].score == 5


def test_an_empty_trace_has_nothing_to_rate():
    reply = rate_trace(QUESTION, "")
    ratings = {**reply["logic"], **reply["brevity"]}
    assert tuple(ratings) == DIMENSIONS
    assert [rating["score"] for rating in ratings.values()] == [None] * 5


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=100),
    st.one_of(st.text(max_size=200), st.text(alphabet="0123456789+-*/=(). \nabx\\{}\x08", max_size=200)),
)
@example("", "1 + 1 = 3 \x00\x07")
@example("q", "1\x85+1=5")
def test_any_trace_gives_a_valid_reply_or_nothing_rated(question, trace):
    reply = rate_trace(question, trace)
    assert rate_trace(question, trace) == reply
    scores = {name: rating["score"] for part in reply.values() for name, rating in part.items()}
    assert set(scores.values()) <= {None, 1, 2, 3, 4, 5}
    if set(scores.values()) != {None}:
        assert {name: rated.score for name, rated in rate(trace, question).items()} == scores

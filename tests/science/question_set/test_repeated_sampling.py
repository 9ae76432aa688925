"""Split halves, pass@k and majority votes, by hand."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.question_set.repeated_sampling import (
    majority_vote,
    majority_votes,
    pass_at_k,
    pass_at_k_rates,
    sample_sizes,
)
from advcluster_dagster.science.question_set.split_halves import split_half, split_half_gaps


@pytest.mark.parametrize(
    ("larger", "smaller", "p", "replicated"),
    [(8, 2, 0.7037, 0.5018), (7, 3, 0.3194, 0.1478), (6, 0, 0.7381, 0.5226), (9, 1, 1.0, 0.8), (10, 0, 1.0, 1.0)],
)
def test_split_halves_of_ten_trials(larger, smaller, p, replicated):
    kept, _, rest = split_half(larger, smaller, 10, 0.6)
    assert (kept, rest / kept) == pytest.approx((p, replicated), abs=5e-5)


def rates(counts, trials):
    rows = [("d", str(i), str(i), x, trials, y, trials) for i, (x, y) in enumerate(counts)]
    names = ["domain", "question_id", "source_key", "larger_n_correct", "larger_n_scored", "smaller_n_correct",
             "smaller_n_scored"]  # fmt: skip
    return pl.DataFrame(rows, schema=names, orient="row")


def test_split_half_gaps_add_up_questions():
    table = split_half_gaps(rates([(8, 2), (10, 0)], 10), 0.6, 10, 0.95, 200, np.random.default_rng(0))
    assert table["domain"].to_list() == ["d", "all"]
    row = table.row(0, named=True)
    assert row["expected_selected"] == pytest.approx(0.7037 + 1, abs=1e-4)
    assert row["replicated_gap"] == pytest.approx((0.7037 * 0.5018 + 1) / 1.7037, abs=1e-4)
    assert (row["replicated_low"], row["replicated_high"]) == (None, None)  # two keys


def test_one_trial_cannot_be_split_and_questions_never_selected_have_no_gap():
    assert split_half_gaps(rates([(1, 0)], 1), 0.6, 1, 0.95, 200, np.random.default_rng(0)).is_empty()
    table = split_half_gaps(rates([(0, 5)], 10), 0.6, 10, 0.95, 200, np.random.default_rng(0))
    assert table["replicated_gap"].to_list() == [None, None]


def test_pass_at_k_by_hand():
    assert [pass_at_k(3, 10, k) for k in (1, 2, 3, 5, 8)] == pytest.approx(
        [0.3, 0.533333, 0.708333, 0.916667, 1], abs=1e-6
    )
    assert pass_at_k(1, 2, 3) is None


@given(st.integers(0, 12), st.integers(1, 12))
def test_pass_at_k_is_monotone_in_k(n_correct, n_scored):
    values = [pass_at_k(min(n_correct, n_scored), n_scored, k) for k in range(1, n_scored + 1)]
    assert values == sorted(values)


def brute_force(answers, k):
    """Mean over all subsets of (share of the vote for 0, the right answer; whether there is a tie)."""
    outcomes = []
    for subset in combinations(answers, k):
        votes = [a for a in subset if a is not None]
        counts = {a: votes.count(a) for a in votes}
        most = max(counts.values(), default=0)
        winners = [a for a, n in counts.items() if n == most]
        outcomes.append((1 / len(winners) if 0 in winners else 0.0, len(winners) > 1))
    return np.mean(outcomes, axis=0)


def test_a_vote_of_three_by_hand():
    # A A A(right) B B C: of 20 triples AAA 1, AAB 6, AAC 3 are right; ABC 6 ties of three; ABB, BBC are not: 12 of 20.
    assert majority_vote(3, (2, 1), 0, 3, 0)[0] == pytest.approx(0.6)


@given(st.lists(st.sampled_from([0, 1, 2, None]), min_size=1, max_size=7), st.integers(1, 7))
def test_votes_equal_the_enumeration_of_all_subsets(answers, k):
    k = min(k, len(answers))
    wrong = tuple(sorted((n for n in (answers.count(1), answers.count(2)) if n), reverse=True))
    given_vote = majority_vote(answers.count(0), wrong, answers.count(None), k, 0)
    assert given_vote == pytest.approx(tuple(brute_force(answers, k)))


def test_very_many_answers_are_sampled_with_a_seed():
    wrong = (1,) * 60
    first, again = (majority_vote(4, wrong, 0, 5, 7) for _ in range(2))
    assert first == again
    assert 0 < first[0] < 1


def trials(rows):
    names = ["benchmark", "role", "question_id", "source_key", "answer_type", "prediction", "verdict", "is_correct"]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def test_tables_of_one_benchmark():
    rows = []
    for question, right in (("q1", 3), ("q2", 1)):
        for i in range(4):
            is_right = i < right
            rows.append(("b", "smaller", question, question, "numeric", "7" if is_right else "8.0" if i % 2 else "8",
                         "correct" if is_right else "wrong", is_right))  # fmt: skip
            rows.append(("b", "larger", question, question, "numeric", "7", "correct", True))
    sizes = sample_sizes(4, ())
    assert sizes == [1, 2, 3, 4]
    passed = pass_at_k_rates(trials(rows), sizes, 0.95).filter(pl.col("role") == "smaller")
    assert passed["mean"].to_list() == pytest.approx([0.5, (1 + 0.5) / 2, (1 + 0.75) / 2, 1.0])
    assert passed["reaches_larger"].to_list() == [False, False, False, True]
    votes = majority_votes(trials(rows), sizes, 0.95, 0).filter(pl.col("role") == "smaller", pl.col("k") == 4)
    # q1: 7 7 7 8 is right; q2: 7 8 8.0 8, where 8 and 8.0 are one answer, is wrong.
    assert votes["mean"].to_list() == [0.5]
    assert votes["hard_solved_share"].to_list() == [0.0]


def test_without_scored_trials_tables_are_empty():
    rows = trials([("b", "larger", "q", "q", "text", None, "missing_response", None)])
    assert pass_at_k_rates(rows, [1], 0.95).is_empty()
    assert majority_votes(rows, [1], 0.95, 0).is_empty()

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.contracts.grading import PANEL_AGREEMENTS, PANEL_VOTES
from advcluster_dagster.science.grading.judge_agreement import (
    agreeing_share,
    cohen_kappa,
    fleiss_kappa,
    panel_agreements,
    panel_votes,
)

PARTITION = {"family": "f", "domain": "d"}
PAIRS = pl.DataFrame({"question_id": ["q1", "q1", "q2", "q3"], "prediction": ["1", "2", "3", "4"]})
CAST = {
    "c": [True, True, None, False],
    "a": [True, False, True, False],
    "b": [True, False, False, False],
}
TRIALS = [
    # question, answer, benchmark, role, trials
    ("q1", "1", "x", "larger", 3),
    ("q1", "2", "x", "larger", 1),
    ("q1", "2", "x", "smaller", 1),
    ("q2", "3", "x", "smaller", 3),
    ("q3", "4", "y", "larger", 2),
    ("q3", None, "y", "smaller", 2),  # no answer, so no vote
]


def graded(trials=TRIALS):
    rows = [row[:4] for row in trials for _ in range(row[4])]
    schema = dict.fromkeys(("question_id", "prediction", "benchmark", "role"), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def agreements(votes, pairs=PAIRS, trials=TRIALS):
    table = panel_agreements(panel_votes(pairs, votes), list(votes), graded(trials))
    PANEL_AGREEMENTS.check(PANEL_AGREEMENTS.conform(table.lazy(), PARTITION), PARTITION)
    return table


def matrix(*columns):
    return np.array(columns, dtype=bool).T


def test_agreements_by_hand():
    # a and b differ on answer 3 alone: 3 of 4 equal; yes 2 and 1 of 4, by chance (2*1 + 2*3) / 16 = 1/2;
    # kappa (3/4 - 1/2) / (1/2) = 1/2. Benchmark x, larger: no difference; smaller: 3 of 4 trials have answer 3, 75
    # points; mean 37.5. y: 0. Median 18.75.
    # a and c both voted on 1, 2, 4 and differ on 2: 2/3; yes 1 and 2 of 3, by chance (1*2 + 2*1) / 9 = 4/9; kappa
    # (6/9 - 4/9) / (5/9) = .4. x, larger: 1 of 4 trials, 25; smaller: 1 of 1 (3 has no vote of c), 100; mean 62.5.
    # y: 0. Median 31.25. b votes as a on these three.
    # All voted on 1, 2, 4 with 3, 2, 0 times yes: P = (1 + 1/3 + 1) / 3 = 7/9; yes 5/9 of all votes, so
    # Pe = (25 + 16) / 81; kappa (63 - 41) / (81 - 41) = .55. x: (37.5 + 62.5 + 62.5) / 3, y: 0, median half of it.
    expected = [
        ("a", "b", 4, 0.75, 0.5, 18.75),
        ("a", "c", 3, 2 / 3, 0.4, 31.25),
        ("b", "c", 3, 2 / 3, 0.4, 31.25),
        ("all", "all", 3, 7 / 9, 0.55, (37.5 + 62.5 + 62.5) / 6),
    ]
    rows = agreements(CAST).rows()
    assert [row[:3] for row in rows] == [row[:3] for row in expected]
    for row, reference in zip(rows, expected, strict=True):
        assert row[3:] == pytest.approx(reference[3:], abs=1e-12)


def test_there_is_one_row_per_judge_and_answer():
    votes = panel_votes(PAIRS, CAST)
    PANEL_VOTES.check(PANEL_VOTES.conform(votes.lazy(), PARTITION), PARTITION)
    assert votes.rows()[:4] == [
        ("q1", "1", "a", True),
        ("q1", "1", "b", True),
        ("q1", "1", "c", True),
        ("q1", "2", "a", False),
    ]
    assert votes.filter(question_id="q2", judge="c")["is_same"].to_list() == [None]
    assert votes.height == 12


def test_without_a_panel_there_is_no_row():
    assert panel_votes(PAIRS.clear(), {}).schema == PANEL_VOTES.own_schema
    empty = agreements({}, PAIRS.clear())
    assert empty.is_empty()
    assert empty.schema == PANEL_AGREEMENTS.own_schema


def test_a_panel_without_answers_has_null_agreements():
    nothing = (0, None, None, None)
    assert agreements({"a": [], "b": []}, PAIRS.clear()).rows() == [("a", "b", *nothing), ("all", "all", *nothing)]


def test_judges_that_never_reply_have_null_agreements():
    rows = agreements({"a": [True] * 4, "b": [None] * 4, "c": [True, True, True, False]}).rows()
    assert rows[0] == ("a", "b", 0, None, None, None)
    assert rows[2] == ("b", "c", 0, None, None, None)
    # c alone says no to answer 4, two trials of the larger model on y: 100 points there and 0 on x, median 50. Votes of
    # a are all alike: by chance they agree in 3 of 4, and no more than that, kappa 0.
    assert rows[1] == ("a", "c", 4, 0.75, 0.0, 50.0)
    assert rows[3] == ("all", "all", 0, None, None, 50.0)


def test_kappa_is_undefined_if_all_votes_are_equal():
    rows = agreements({"a": [True] * 4, "b": [True] * 4}).rows()
    assert rows == [("a", "b", 4, 1.0, None, 0.0), ("all", "all", 4, 1.0, None, 0.0)]


def test_a_single_answer():
    pair = PAIRS.head(1)
    assert agreements({"a": [True], "b": [False]}, pair).rows() == [
        ("a", "b", 1, 0.0, 0.0, 100.0),
        # Votes are half yes, half no: Pe = 1/2, P = 0, kappa -1.
        ("all", "all", 1, 0.0, -1.0, 100.0),
    ]


def test_a_judge_may_have_the_name_of_a_column_or_of_the_total_row():
    votes = {"all": CAST["a"], "question_id": CAST["b"]}
    assert agreements(votes).rows()[0] == ("all", "question_id", 4, 0.75, 0.5, 18.75)


def test_fleiss_kappa_of_the_published_example():
    # Fleiss (1971) has five categories; of two, ten answers and 14 judges: yes counts 0 and 14 alone agree fully.
    yes = [0, 14, 7]
    votes = np.array([[place < n for place in range(14)] for n in yes])
    # P = (1 + 1 + (7*6 + 7*6) / (14*13)) / 3; yes 21 of 42, so Pe = 1/2.
    share = (2 + 84 / 182) / 3
    assert agreeing_share(votes) == pytest.approx(share)
    assert fleiss_kappa(votes) == pytest.approx((share - 0.5) / 0.5)


def test_cohens_kappa_is_that_of_scikit_learn():
    rng = np.random.default_rng(4)
    from sklearn.metrics import cohen_kappa_score

    votes = rng.random((200, 4)) < rng.random((200, 1))
    assert cohen_kappa(votes[:, :2]) == pytest.approx(cohen_kappa_score(votes[:, 0], votes[:, 1]), abs=1e-12)


VOTES = st.integers(2, 5).flatmap(
    lambda m: st.lists(st.lists(st.booleans(), min_size=m, max_size=m), min_size=1, max_size=12)
)


@given(VOTES)
def test_kappas_are_within_range_and_invariant_to_order(rows):
    votes = np.array(rows)
    m = votes.shape[1]
    kappa = fleiss_kappa(votes)
    assert (kappa is None) == (len(np.unique(votes)) == 1)
    assert kappa is None or -1 / (m - 1) - 1e-12 <= kappa <= 1
    assert fleiss_kappa(votes[::-1, ::-1]) == kappa
    assert fleiss_kappa(~votes) == kappa
    pair = votes[:, :2]
    assert cohen_kappa(pair) == cohen_kappa(pair[::-1, ::-1])
    cohen = cohen_kappa(pair)
    assert cohen is None or -1 <= cohen <= 1
    if len(np.unique(votes[:, 0])) == 2:
        same = np.repeat(votes[:, :1], 2, axis=1)
        assert cohen_kappa(same) == fleiss_kappa(same) == agreeing_share(same) == 1


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(random):
    votes, trials = panel_votes(PAIRS, CAST), graded()
    expected = panel_agreements(votes, list(CAST), trials)
    shuffled = [frame.sample(fraction=1, shuffle=True, seed=random.randrange(2**31)) for frame in (votes, trials)]
    names = random.sample(list(CAST), len(CAST))
    assert panel_agreements(shuffled[0], names, shuffled[1]).equals(expected)


def test_many_trials_are_processed_quickly():
    n = 100_000
    pairs = pl.DataFrame({"question_id": [f"q{i}" for i in range(n)], "prediction": ["1"] * n})
    rng = np.random.default_rng(0)
    votes = {name: (rng.random(n) < 0.5).tolist() for name in "abcde"}
    trials = pairs.with_columns(benchmark=pl.lit("x"), role=pl.lit("larger"))
    table = panel_agreements(panel_votes(pairs, votes), list(votes), trials)
    assert table["n_pairs"].to_list() == [n] * 11
    assert table["kappa"].abs().max() < 0.02

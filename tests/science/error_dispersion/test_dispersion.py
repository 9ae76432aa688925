from math import log2

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.science.error_dispersion.dispersion import (
    entropy,
    error_dispersion_index,
    max_entropy,
    measure_error_dispersion,
)

COUNTS = st.lists(st.integers(0, 40), min_size=5, max_size=5)


@pytest.mark.parametrize(
    ("counts", "bits", "most", "index"),
    [
        # -0.7 log2 0.7 - 0.3 log2 0.3 = 0.360201 + 0.521090; ten errors spread 2,2,2,2,2: log2 5.
        ([7, 3, 0, 0, 0], 0.881291, 2.321928, 0.379551),
        # Sevenths 3,2,1,1: 0.523882 + 0.516387 + 2 * 0.401051; evenly 2,2,1,1,1: 2 * 0.516387 + 3 * 0.401051.
        ([3, 2, 1, 1, 0], 1.842371, 2.235926, 0.823986),
        # Eighths 1,5,2: 3/8 + 0.423795 + 2/4; evenly 2,2,2,1,1: 3 * 2/4 + 2 * 3/8.
        ([0, 1, 5, 2, 0], 1.298795, 2.25, 0.577242),
        ([0, 0, 6, 0, 0], 0, 2.251629, 0),
        ([1, 1, 0, 0, 0], 1, 1, 1),  # two errors, two depths: maximum dispersion
        ([1, 0, 0, 0, 0], 0, 0, None),
        ([0, 0, 0, 0, 0], 0, 0, None),
    ],
)
def test_worked_examples(counts, bits, most, index):
    assert entropy(counts) == pytest.approx(bits, abs=1e-6)
    assert max_entropy(sum(counts)) == pytest.approx(most, abs=1e-6)
    assert error_dispersion_index(counts) == (None if index is None else pytest.approx(index, abs=1e-6))


def test_zero_is_not_minus_zero():
    assert str(entropy([0, 0, 6, 0, 0])) == "0.0"
    assert str(error_dispersion_index([0, 0, 6, 0, 0])) == "0.0"


@pytest.mark.parametrize(
    ("n_errors", "expected"),
    [
        (0, 0),
        (1, 0),
        (2, 1),  # 1,1
        (3, log2(3)),
        (4, 2),
        (5, log2(5)),
        (6, 4 / 6 * log2(6) + 2 / 6 * log2(3)),  # 2,1,1,1,1
        (10, log2(5)),
        (1000, log2(5)),
    ],
)
def test_the_maximum_entropy(n_errors, expected):
    assert max_entropy(n_errors) == pytest.approx(expected, abs=1e-12)


def test_no_distribution_of_few_errors_exceeds_the_maximum_entropy():
    # All distributions of N <= 8 errors over 5 depths.
    for n_errors in range(2, 9):
        spreads = _spreads(n_errors, 5)
        assert max(error_dispersion_index(counts) for counts in spreads) == 1
        assert min(error_dispersion_index(counts) for counts in spreads) == 0


def _spreads(n, n_depths):
    if n_depths == 1:
        return [(n,)]
    return [(first, *rest) for first in range(n + 1) for rest in _spreads(n - first, n_depths - 1)]


@settings(deadline=None, max_examples=100)
@given(COUNTS, st.permutations(range(5)))
def test_the_index_is_bounded_and_invariant_to_permuted_depths(counts, order):
    index = error_dispersion_index(counts)
    assert (index is None) == (sum(counts) <= 1)
    if index is not None:
        assert 0 <= index <= 1
        assert index == error_dispersion_index([counts[i] for i in order])
        assert (index == 0) == (max(counts) == sum(counts))
        assert (index == 1) == (max(counts) - min(counts) <= 1 or max(counts) == 1)


@pytest.mark.parametrize("counts", [(3, 4, 4, 4, 3), (4, 3, 4, 4, 3), (4, 4, 3, 4, 3), (1, 2, 1, 2, 2)])
def test_evenly_spread_errors_are_exactly_one(counts):
    assert error_dispersion_index(counts) == 1


def measured(depths):
    """Rows of ``error_dispersion`` from {question: depths of its first errors}."""
    questions = pl.DataFrame({"question_id": list(depths)}, schema={"question_id": pl.String})
    rows = [(question, depth) for question, of in depths.items() for depth in of]
    errors = pl.DataFrame(rows, schema={"question_id": pl.String, "depth": pl.Int64}, orient="row")
    found = measure_error_dispersion(questions, errors)
    table = TABLES["error_dispersion"]
    table.check(table.conform(found.lazy(), {"family": "f", "domain": "d"}))
    return found


def test_a_question_by_hand():
    # Depths 2,3,3,3,3,3,4,4: counts 0,1,5,2,0; mean (2 + 15 + 8) / 8 = 3.125.
    (row,) = measured({"q": [3, 4, 3, 2, 3, 4, 3, 3]}).to_dicts()
    assert [row[f"n_depth_{depth}"] for depth in range(1, 6)] == [0, 1, 5, 2, 0]
    assert row["n_errors"] == 8
    assert row["mean_depth"] == 3.125
    assert row["edi"] == pytest.approx(0.577242, abs=1e-6)


def test_a_question_without_first_errors_has_a_row_of_nulls():
    (row,) = measured({"q": []}).to_dicts()
    assert row == {
        "question_id": "q", "n_errors": 0, **{f"n_depth_{depth}": 0 for depth in range(1, 6)},
        "entropy": None, "max_entropy": None, "edi": None, "mean_depth": None, "n_pairs_same": 0, "concentration": None,
    }  # fmt: skip


def test_one_first_error_has_a_depth_but_no_index():
    (row,) = measured({"q": [5]}).to_dicts()
    assert (row["n_errors"], row["entropy"], row["max_entropy"]) == (1, 0, 0)
    assert (row["edi"], row["mean_depth"]) == (None, 5)


def test_questions_keep_their_order_and_other_errors_are_ignored():
    table = measure_error_dispersion(
        pl.DataFrame({"question_id": ["b", "a"]}),
        pl.DataFrame({"question_id": ["a", "x", "a", "b"], "depth": [1, 2, 2, 3]}),
    )
    assert table.select("question_id", "n_errors").rows() == [("b", 1), ("a", 2)]


def test_no_questions():
    assert measured({}).is_empty()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 5), max_size=12), st.randoms(use_true_random=False))
def test_the_result_is_independent_of_row_order(depths, random):
    shuffled = random.sample(depths, len(depths))
    assert measured({"q": depths}).equals(measured({"q": shuffled}))

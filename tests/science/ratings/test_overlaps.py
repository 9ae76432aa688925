"""Overlap of the pairs with the largest deltas, by hand."""

import hashlib

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.ratings import DELTA_OVERLAPS, DIMENSIONS
from advcluster_dagster.science.ratings.overlaps import delta_overlaps, selection_sizes

PAIRS = [f"p{i}" for i in range(6)]


def deltas(**columns):
    rows = [(pair, name, value) for name, values in columns.items() for pair, value in zip(PAIRS, values, strict=False)]
    return pl.DataFrame(rows, schema={"pair_id": pl.String, "dimension": pl.String, "delta": pl.Float64}, orient="row")


def rows_of(table, a="factuality", b="strategy"):
    DELTA_OVERLAPS.check(DELTA_OVERLAPS.conform(table.lazy(), {"family": "f"}))
    return table.filter(dimension_a=a, dimension_b=b).drop("dimension_a", "dimension_b").rows()


def test_six_pairs():
    table = delta_overlaps(deltas(factuality=[3, 2.5, 2, 1, 0, -1], strategy=[3, 0, 2.5, 2, 1, -1]), (1, 2, 3, 6))
    # p0 p1 p2 and p0 p2 p3 share two pairs; p0 p1 and p0 p2 share one.
    assert rows_of(table) == [
        (1, 6, 1, 1.0, pytest.approx(1 / 6), 0),
        (2, 6, 1, 0.5, pytest.approx(1 / 3), 0),
        (3, 6, 2, pytest.approx(2 / 3), 0.5, 0),
        (6, 6, 6, 1.0, 1.0, 0),
    ]


def test_default_sizes_of_six_pairs():
    table = delta_overlaps(deltas(factuality=[3, 2, 1, 0, 0, 0], strategy=[3, 2, 1, 0, 0, 0]))
    assert [row[:3] for row in rows_of(table)] == [(1, 6, 1), (2, 6, 2)]
    assert table.height == 2 * 10


def test_ties_at_the_last_rank_are_broken_by_hash_and_counted():
    by_hash = sorted(PAIRS, key=lambda pair: hashlib.sha256(pair.encode()).digest())
    # All deltas of factuality are equal: its top two are the first by hash. Strategy prefers the last two by hash.
    strategy = [float(by_hash.index(pair)) for pair in PAIRS]
    table = delta_overlaps(deltas(factuality=[1.0] * 6, strategy=strategy), (2, 5, 6))
    # At 5 each excludes a different pair: 4 are shared. At 6 nothing is excluded, so there is no tie across the rank.
    assert [(k, n_shared, n_tied) for k, _, n_shared, _, _, n_tied in rows_of(table)] == [
        (2, 0, 6),
        (5, 4, 6),
        (6, 6, 0),
    ]


def test_ties_above_the_last_rank_do_not_count():
    table = delta_overlaps(deltas(factuality=[3, 3, 1, 1, 0, 0], strategy=[3, 3, 2, 1, 0, 0]), (2, 3))
    assert [row[-1] for row in rows_of(table)] == [0, 2]


def test_only_pairs_with_both_deltas_are_ranked():
    table = delta_overlaps(deltas(factuality=[3, None, 2, 1, 0, 0], strategy=[None, 3, 2, 1, 0, 0]), (1, 4, 5))
    assert [row[:3] for row in rows_of(table)] == [(1, 4, 1), (4, 4, 4), (5, 4, None)]
    assert rows_of(table)[2] == (5, 4, None, None, None, None)
    assert rows_of(table, "step_coherence", "signal_to_noise")[0] == (1, 0, None, None, None, None)


def test_without_deltas_there_are_no_rows():
    assert delta_overlaps(deltas()).is_empty()
    assert delta_overlaps(deltas(factuality=[None] * 6)).is_empty()
    assert delta_overlaps(deltas(factuality=[1.0])).is_empty()  # n/3 is below 1


def test_sizes():
    assert selection_sizes(16_500) == [1031, 2750, 5500]
    assert selection_sizes(100, (50, 10, 10, 0)) == [10, 50]


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(-4, 4)] * 5), min_size=1, max_size=6), st.randoms())
def test_bounds_and_any_order_of_rows(values, random):
    columns = {name: [float(row[i]) for row in values] for i, name in enumerate(DIMENSIONS)}
    frame = deltas(**columns)
    sizes = range(1, len(values) + 1)
    table = delta_overlaps(frame, sizes)
    assert delta_overlaps(frame[random.sample(range(frame.height), frame.height)], sizes).equals(table)
    for _, _, k, n_pairs, n_shared, share, chance, n_tied in table.iter_rows():
        assert max(0, 2 * k - n_pairs) <= n_shared <= k
        assert (share, chance) == (n_shared / k, k / n_pairs)
        assert 0 <= n_tied <= n_pairs
    assert (table.filter(k=len(values))["overlap_share"] == 1).all()

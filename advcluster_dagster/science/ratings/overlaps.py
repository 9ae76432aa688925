"""Overlap of the pairs with the largest deltas in two dimensions, compared with chance.

References:
    The paper on preference deltas, appendix B (overlap by dimension and size).
"""

import hashlib
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.ratings import DELTA_OVERLAPS, DIMENSIONS
from advcluster_dagster.science.statistics.resampling import FloatArray

#: Selection sizes as divisors of the number of pairs, close to the paper's 1,000, 2,500 and 5,000 of 16,500.
SIZE_DIVISORS = (16, 6, 3)


def selection_sizes(n_pairs: int, requested: Sequence[int] = ()) -> list[int]:
    """Selection sizes k, ascending: the requested sizes, else n/16, n/6 and n/3 rounded down; at least 1.

    >>> selection_sizes(16_500), selection_sizes(6), selection_sizes(2)
    ([1031, 2750, 5500], [1, 2], [])
    """
    sizes = requested or [n_pairs // divisor for divisor in SIZE_DIVISORS]
    return sorted({k for k in sizes if k >= 1})


def delta_overlaps(deltas: pl.DataFrame, requested: Sequence[int] = ()) -> pl.DataFrame:
    """Share of the k pairs with the largest deltas in one dimension that are also among the k of another.

    overlap = |A and B| / k, in [0, 1]; two random samples of k of n pairs share k / n of them on average. Only pairs
    with a delta in both dimensions are ranked. Ties are broken by the sha256 of the pair_id, identically in every
    dimension, so ties across rank k increase the overlap; n_tied counts the pairs with such a delta in either
    dimension.

    Args:
        deltas: Columns pair_id, dimension, delta of ``quality_deltas``, over all domains of a family.
        requested: Sizes k; by default those of :func:`selection_sizes` for the pairs with a delta in any dimension.

    Returns:
        Rows of ``delta_overlaps`` for each pair of dimensions and k; counts and shares are null if k > n_pairs. Empty
        if no pair has a delta and no size is requested.
    """
    defined = deltas.drop_nulls("delta").select("pair_id", "dimension", "delta")
    pair_ids = defined["pair_id"].unique().to_list()
    digests = [hashlib.sha256(pair_id.encode()).digest() for pair_id in pair_ids]
    # Pairs in hash order, so that a stable sort by delta breaks ties by hash.
    order = sorted(range(len(pair_ids)), key=digests.__getitem__)
    places = pl.DataFrame(
        {"pair_id": [pair_ids[i] for i in order], "place": range(len(order))},
        schema={"pair_id": pl.String, "place": pl.Int64},
    )
    placed = defined.join(places, on="pair_id")
    columns = {}
    for dimension in DIMENSIONS:
        part = placed.filter(pl.col("dimension") == dimension)
        columns[dimension] = np.full(len(pair_ids), np.nan)
        columns[dimension][part["place"].to_numpy()] = part["delta"].to_numpy()
    rows = [
        (a, b, k, *_overlap(columns[a], columns[b], k))
        for a, b in combinations(DIMENSIONS, 2)
        for k in selection_sizes(len(pair_ids), requested)
    ]
    return pl.DataFrame(rows, schema=DELTA_OVERLAPS.own_schema, orient="row")


def _overlap(
    first: FloatArray, second: FloatArray, k: int
) -> tuple[int, int | None, float | None, float | None, int | None]:
    """Non-key columns of a row; NaN means no delta."""
    has_both = ~(np.isnan(first) | np.isnan(second))
    n_pairs = int(has_both.sum())
    if k > n_pairs:
        return n_pairs, None, None, None, None
    (chosen_a, tied_a), (chosen_b, tied_b) = (_largest(values[has_both], k) for values in (first, second))
    n_shared = int((chosen_a & chosen_b).sum())
    return n_pairs, n_shared, n_shared / k, k / n_pairs, int((tied_a | tied_b).sum())


def _largest(values: FloatArray, k: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Masks of shape (n,) of the k largest values (ties: the earlier first), and of values tied across rank k."""
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.argsort(-values, kind="stable")[:k]] = True
    last = values[chosen].min()
    is_last = values == last
    return chosen, is_last if (is_last & ~chosen).any() else np.zeros(len(values), dtype=bool)

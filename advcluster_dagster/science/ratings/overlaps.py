"""Do two dimensions select the same pairs? Overlap of the pairs with the largest deltas, beside what chance gives.

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

#: Sizes of the selection as divisors of the number of pairs, near the paper's 1,000, 2,500 and 5,000 of 16,500.
SIZE_DIVISORS = (16, 6, 3)


def selection_sizes(n_pairs: int, asked: Sequence[int] = ()) -> list[int]:
    """Sizes k in ascending order: those asked for, else n/16, n/6 and n/3 rounded down; never below 1.

    >>> selection_sizes(16_500), selection_sizes(6), selection_sizes(2)
    ([1031, 2750, 5500], [1, 2], [])
    """
    sizes = asked or [n_pairs // divisor for divisor in SIZE_DIVISORS]
    return sorted({k for k in sizes if k >= 1})


def delta_overlaps(deltas: pl.DataFrame, asked: Sequence[int] = ()) -> pl.DataFrame:
    """Share of the k pairs with the largest deltas in one dimension that are among the k of another.

    overlap = |A and B| / k, in [0, 1]; two random draws of k of n pairs share k / n of them on average, all at k = n.
    Only pairs with a delta in both dimensions are ranked. Equal deltas are in the order of the sha256 of their pair_id,
    the same in every dimension, so that ties across rank k lift the overlap; n_tied counts the pairs that have such a
    delta in either dimension.

    Args:
        deltas: pair_id, dimension, delta of ``quality_deltas``, of all domains of a family.
        asked: sizes k; without any those of :func:`selection_sizes` for the pairs with a delta in any dimension.

    Returns:
        Rows of ``delta_overlaps`` for each two dimensions and k; counts and shares that k > n_pairs leaves undefined
        are null. None where no pair has a delta and no size is asked for.
    """
    given = deltas.drop_nulls("delta").select("pair_id", "dimension", "delta")
    pair_ids = given["pair_id"].unique().to_list()
    digests = [hashlib.sha256(pair_id.encode()).digest() for pair_id in pair_ids]
    # Pairs in the order of their hash: a stable sort by delta then breaks ties by it.
    order = sorted(range(len(pair_ids)), key=digests.__getitem__)
    places = pl.DataFrame(
        {"pair_id": [pair_ids[i] for i in order], "place": range(len(order))},
        schema={"pair_id": pl.String, "place": pl.Int64},
    )
    placed = given.join(places, on="pair_id")
    columns = {}
    for dimension in DIMENSIONS:
        part = placed.filter(pl.col("dimension") == dimension)
        columns[dimension] = np.full(len(pair_ids), np.nan)
        columns[dimension][part["place"].to_numpy()] = part["delta"].to_numpy()
    rows = [
        (a, b, k, *_overlap(columns[a], columns[b], k))
        for a, b in combinations(DIMENSIONS, 2)
        for k in selection_sizes(len(pair_ids), asked)
    ]
    return pl.DataFrame(rows, schema=DELTA_OVERLAPS.own_schema, orient="row")


def _overlap(
    first: FloatArray, second: FloatArray, k: int
) -> tuple[int, int | None, float | None, float | None, int | None]:
    """The columns of a row behind its key; NaN stands for no delta."""
    has_both = ~(np.isnan(first) | np.isnan(second))
    n_pairs = int(has_both.sum())
    if k > n_pairs:
        return n_pairs, None, None, None, None
    (chosen_a, tied_a), (chosen_b, tied_b) = (_largest(values[has_both], k) for values in (first, second))
    n_shared = int((chosen_a & chosen_b).sum())
    return n_pairs, n_shared, n_shared / k, k / n_pairs, int((tied_a | tied_b).sum())


def _largest(values: FloatArray, k: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which of the values, shape (n,), are the k largest, the earlier of equal ones first, and which are tied across
    rank k.
    """
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.argsort(-values, kind="stable")[:k]] = True
    last = values[chosen].min()
    is_last = values == last
    return chosen, is_last if (is_last & ~chosen).any() else np.zeros(len(values), dtype=bool)

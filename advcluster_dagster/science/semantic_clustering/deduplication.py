"""Greedy removal of near-identical advantage descriptions in the embedding space (paper section 3.2.3, table 10)."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advcluster_dagster.science.semantic_clustering.embeddings import check_embeddings

# Rows compared with the kept rows at a time; bounds the size of the similarity matrix.
_BLOCK_ROWS = 256


@dataclass(frozen=True)
class Deduplication:
    """Outcome of deduplication, one entry per input row.

    Attributes:
        is_kept: bool array of shape (n,).
        duplicate_of: int64 array of shape (n,); for a dropped row the index of the kept row that it
            duplicates, -1 for a kept row.
        similarity: float64 array of shape (n,); cosine of a dropped row to the row it duplicates, in
            (threshold, 1]; NaN for a kept row.
    """

    is_kept: npt.NDArray[np.bool_]
    duplicate_of: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]


def deduplicate(embeddings: npt.ArrayLike, groups: Sequence[Hashable], threshold: float) -> Deduplication:
    """Drop each row that is too similar to an earlier kept row of its group.

    Rows are processed in order. A row is dropped if its cosine to an earlier kept row of the same group
    is strictly greater than `threshold`; it is a duplicate of the kept row with the highest cosine (ties:
    the earliest). A zero vector has no cosine: it is always kept and has no duplicates. Cosines are
    computed in float64.

    Args:
        embeddings: float32 array of shape (n, d).
        groups: n group keys; rows of different groups are never compared.
        threshold: Maximum cosine of two kept rows, in [0, 1] (paper: 0.95). At 1 nothing is
            dropped.

    Returns:
        The kept rows and the mapping from dropped to kept rows.

    Raises:
        ValueError: A row is not finite, the number of groups differs from the number of rows, or the
            threshold is outside [0, 1].

    References:
        Paper section 3.2.3, "Advantage Encoding and Preprocessing"; counts in table 10.
    """
    matrix = check_embeddings(embeddings)
    n_rows = matrix.shape[0]
    if len(groups) != n_rows:
        raise ValueError(f"{n_rows} embeddings but {len(groups)} group keys: give one key per row")
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"deduplication threshold {threshold} is outside [0, 1]")
    duplicate_of = np.full(n_rows, -1, dtype=np.int64)
    similarity = np.full(n_rows, np.nan, dtype=np.float64)
    for rows in _rows_by_group(groups):
        kept_row, cosine = _deduplicate_group(_unit_rows(matrix, rows), threshold)
        is_dropped = kept_row >= 0
        duplicate_of[rows[is_dropped]] = rows[kept_row[is_dropped]]
        similarity[rows[is_dropped]] = cosine[is_dropped]
    return Deduplication(duplicate_of < 0, duplicate_of, similarity)


def _rows_by_group(groups: Sequence[Hashable]) -> Iterable[npt.NDArray[np.int64]]:
    """Row indices of each group, ascending within a group."""
    rows: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        rows.setdefault(group, []).append(index)
    return (np.array(members, dtype=np.int64) for members in rows.values())


def _unit_rows(matrix: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Scale the selected rows to length one in float64; zero rows stay zero."""
    unit = matrix[rows].astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", unit, unit))
    unit /= np.where(norms > 0.0, norms, 1.0)[:, np.newaxis]
    return unit


def _deduplicate_group(
    unit: npt.NDArray[np.float64], threshold: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """For every row of one group, the kept row it duplicates (-1 for a kept row) and the cosine to it.

    `unit` is overwritten to save memory: its first rows become the kept vectors.
    """
    n_rows, n_kept = unit.shape[0], 0
    kept = np.empty(n_rows, dtype=np.int64)
    kept_row = np.full(n_rows, -1, dtype=np.int64)
    best = np.full(n_rows, np.nan, dtype=np.float64)
    for start in range(0, n_rows, _BLOCK_ROWS):
        block = unit[start : start + _BLOCK_ROWS].copy()
        n_before, within = n_kept, block @ block.T
        # One column per candidate kept row; columns of this block are filled once their row is kept.
        columns = np.concatenate([kept[:n_before], np.arange(start, start + len(block))])
        cosine = np.full((len(block), len(columns)), -1.0)
        cosine[:, :n_before] = block @ unit[:n_before].T
        for offset, vector in enumerate(block):
            nearest = np.argmax(cosine[offset])
            highest = min(1.0, float(cosine[offset, nearest]))
            if highest > threshold:
                kept_row[start + offset], best[start + offset] = columns[nearest], highest
                continue
            unit[n_kept], kept[n_kept] = vector, start + offset
            n_kept += 1
            cosine[:, n_before + offset] = within[:, offset]
    return kept_row, best

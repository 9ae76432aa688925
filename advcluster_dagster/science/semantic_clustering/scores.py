"""Davies-Bouldin index and silhouettes of many clusterings of the same points (paper section 3.2.3).

The values equal scikit-learn's; the costly distances between points are computed once for all clusterings.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.int32]
ChunkMap = Callable[[Callable[[slice], FloatArray], Iterable[slice]], Iterable[FloatArray]]

# Number of distances (8 bytes each) in memory at a time: small enough for the processor cache.
_CHUNK_DISTANCES = 1_000_000


def davies_bouldin(points: FloatArray, labels: LabelArray) -> float:
    """Davies-Bouldin index: mean over clusters of the similarity to their most similar cluster.

    The similarity of clusters i and j is (s_i + s_j) / m_ij, where s is the mean distance of a
    cluster's points to its centroid and m the distance between the centroids (Euclidean). As in
    scikit-learn, the index is 0 if all s or all m are 0, and coinciding centroids are not compared.

    Args:
        points: float64 array of shape (n, d').
        labels: int32 array of shape (n,), cluster ids 0..K-1, none empty, K >= 2.

    Returns:
        The index, >= 0; lower is better. It decreases with d', so compare only within one d'.

    References:
        Davies and Bouldin (1979), A Cluster Separation Measure, IEEE TPAMI 1(2).
    """
    membership = _membership(labels)
    sizes = membership.sum(axis=0)
    centroids = membership.T @ points / sizes[:, np.newaxis]
    to_centroid = np.linalg.norm(points - centroids[labels], axis=1)
    spread = np.bincount(labels, weights=to_centroid) / sizes
    gaps = np.linalg.norm(centroids[:, np.newaxis] - centroids, axis=2)
    if np.allclose(spread, 0.0) or np.allclose(gaps, 0.0):
        return 0.0
    gaps[gaps == 0.0] = np.inf
    return float(((spread[:, np.newaxis] + spread) / gaps).max(axis=1).mean())


def silhouettes(points: FloatArray, labelings: Sequence[LabelArray], map_chunks: ChunkMap = map) -> list[float]:
    """Mean silhouette (Euclidean) of several clusterings of the same points.

    For a point with mean distance a to the other points of its cluster and lowest mean distance b to
    another cluster, the silhouette is (b - a) / max(a, b); 0 for a cluster of one point, and if
    a = b = 0.

    Args:
        points: float64 array of shape (n, d').
        labelings: Cluster ids of each clustering, int32 arrays of shape (n,) with ids 0..K-1, none
            empty, 2 <= K <= n - 1.
        map_chunks: Applies a function to the chunks of rows; pass a thread pool's `map` to run in
            parallel.

    Returns:
        One mean per clustering, in [-1, 1]; higher is better.

    References:
        Rousseeuw (1987), Silhouettes, J. Comput. Appl. Math. 20.
    """
    if not labelings:
        return []
    n_rows = len(points)
    scorer = _SilhouetteScorer(
        points,
        np.einsum("ij,ij->i", points, points),
        labelings,
        np.hstack([_membership(labels) for labels in labelings]),
    )
    step = max(1, _CHUNK_DISTANCES // n_rows)
    chunks = (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))
    totals = sum(map_chunks(scorer.chunk_totals, chunks), np.zeros(len(labelings)))
    return [float(total) / n_rows for total in totals]


@dataclass(frozen=True)
class _SilhouetteScorer:
    """Inputs shared by all chunks of rows; `membership` concatenates the clusterings' one-hot columns."""

    points: FloatArray
    squared_norms: FloatArray
    labelings: Sequence[LabelArray]
    membership: FloatArray

    def chunk_totals(self, rows: slice) -> FloatArray:
        """Sum of the silhouettes of the given rows, one value per clustering."""
        to_clusters = self._distances(rows) @ self.membership
        sizes = self.membership.sum(axis=0)
        totals, first = [], 0
        for labels in self.labelings:
            columns = slice(first, first + int(labels.max()) + 1)
            first = columns.stop
            totals.append(_silhouette_total(to_clusters[:, columns], labels[rows], sizes[columns]))
        return np.array(totals)

    def _distances(self, rows: slice) -> FloatArray:
        """Euclidean distances of the given rows to all points."""
        squared = self.points[rows] @ self.points.T
        squared *= -2.0
        squared += self.squared_norms[rows, np.newaxis]
        squared += self.squared_norms
        np.maximum(squared, 0.0, out=squared)
        chunk = np.arange(rows.start, rows.stop)
        squared[chunk - rows.start, chunk] = 0.0
        return np.sqrt(squared, out=squared)


def _silhouette_total(to_clusters: FloatArray, labels: LabelArray, sizes: FloatArray) -> float:
    """Sum of silhouettes from each point's summed distances to the clusters of one clustering."""
    rows, own_size = np.arange(len(labels)), sizes[labels]
    with np.errstate(divide="ignore", invalid="ignore"):
        within = to_clusters[rows, labels] / (own_size - 1.0)
        means = to_clusters / sizes
        means[rows, labels] = np.inf
        nearest = means.min(axis=1)
        silhouette = (nearest - within) / np.maximum(within, nearest)
    return float(np.where(own_size > 1.0, np.nan_to_num(silhouette), 0.0).sum())


def _membership(labels: LabelArray) -> FloatArray:
    """One-hot float64 matrix of shape (n, K)."""
    return np.eye(int(labels.max()) + 1)[labels]

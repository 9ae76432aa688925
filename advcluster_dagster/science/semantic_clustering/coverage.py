"""Assign new advantages to a frozen taxonomy.

An addition of this project; the paper clusters only once.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advcluster_dagster.science.semantic_clustering.embeddings import check_embeddings
from advcluster_dagster.science.semantic_clustering.projection import project

#: Percentile of the training advantages' distances that defines the reach of a taxonomy.
REACH_PERCENTILE = 99.0


@dataclass(frozen=True)
class TaxonomyModel:
    """Parameters that assign an advantage to a cluster of a taxonomy.

    Attributes:
        mean: float32 array of shape (d,), mean of the training embeddings.
        components: float32 array of shape (d', d), their leading principal components.
        centroids: float32 array of shape (K, d'), the projected centroid of each cluster.
        reach: 99th percentile (linear interpolation) of the Euclidean distances of all training embeddings to the
            centroid of their cluster, in the reduced space; >= 0.
    """

    mean: npt.NDArray[np.float32]
    components: npt.NDArray[np.float32]
    centroids: npt.NDArray[np.float32]
    reach: float


@dataclass(frozen=True)
class Placement:
    """Assignment of embeddings to a taxonomy; row i corresponds to embedding i.

    Attributes:
        cluster_ids: int64 array of shape (n,), the cluster of the nearest centroid (ties: the first).
        distances: float64 array of shape (n,), Euclidean distance to that centroid in the reduced space.
        is_outside: bool array of shape (n,), whether the distance exceeds the taxonomy's reach.
    """

    cluster_ids: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]
    is_outside: npt.NDArray[np.bool_]


def fit_taxonomy_model(embeddings: npt.ArrayLike, labels: npt.ArrayLike, pca_dim: int) -> TaxonomyModel:
    """Fit the taxonomy model of a clustering.

    By definition of the reach, about 1 % of advantages distributed like the training data lie outside. Distances use
    only the d' components, so novelty in directions discarded by PCA is not detected.

    Args:
        embeddings: float32 array of shape (n, d), n >= 2, in the order in which they were clustered.
        labels: Clusters 0 .. K-1 of shape (n,), none empty.
        pca_dim: d' of the clustering, at most min(n, d).

    Raises:
        ValueError: An embedding is not finite, or a cluster is empty.
    """
    matrix, clusters = check_embeddings(embeddings), np.asarray(labels)
    basis = project(matrix, pca_dim)
    points = _reduce(matrix, basis.mean, basis.components)
    centroids = cluster_means(points, clusters).astype(np.float32)
    distances = np.linalg.norm(points - centroids[clusters], axis=1)
    return TaxonomyModel(basis.mean, basis.components, centroids, float(np.percentile(distances, REACH_PERCENTILE)))


def place(model: TaxonomyModel, embeddings: npt.ArrayLike) -> Placement:
    """Assign embeddings to the nearest clusters of a taxonomy.

    Args:
        model: The taxonomy.
        embeddings: float32 array of shape (n, d) with the model's d; n may be 0.

    Raises:
        ValueError: The embeddings' dimension differs from the model's, or an embedding is not finite.
    """
    matrix = np.asarray(embeddings, dtype=np.float32)
    if not matrix.size:
        return Placement(np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_))
    matrix = check_embeddings(matrix)
    if matrix.shape[1] != model.mean.shape[0]:
        raise ValueError(f"embeddings have {matrix.shape[1]} dimensions, the taxonomy has {model.mean.shape[0]}")
    points = _reduce(matrix, model.mean, model.components)
    distances = np.linalg.norm(points[:, np.newaxis, :] - model.centroids[np.newaxis, :, :], axis=2)
    nearest = distances.argmin(axis=1)
    nearest_distances = distances[np.arange(len(matrix)), nearest]
    return Placement(nearest.astype(np.int64), nearest_distances, nearest_distances > model.reach)


def cluster_means(points: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Compute the mean of the points of each cluster.

    Args:
        points: Array of shape (n, d).
        labels: Clusters 0 .. K-1 of shape (n,).

    Returns:
        float64 array of shape (K, d).

    Raises:
        ValueError: A cluster is empty.
    """
    sizes = np.bincount(labels)
    if not sizes.all():
        raise ValueError(f"cluster {int(sizes.argmin())} is empty")
    return np.stack([points[labels == cluster].mean(axis=0, dtype=np.float64) for cluster in range(len(sizes))])


def _reduce(
    matrix: npt.NDArray[np.float32], mean: npt.NDArray[np.float32], components: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Project points to the reduced space, float64 of shape (n, d')."""
    reduced: npt.NDArray[np.float64] = (matrix.astype(np.float64) - mean) @ components.T.astype(np.float64)
    return reduced

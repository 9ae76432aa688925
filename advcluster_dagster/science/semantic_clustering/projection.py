"""Project embeddings onto their principal components for clustering (paper section 3.2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Projection:
    """Embeddings in the space of their leading principal components.

    Attributes:
        points: float32 array of shape (n, d'), most important component first; the projection to
            fewer dimensions is its leading columns.
        explained_variance: float64 array of shape (d',); cumulative share of the variance explained by
            the first 1, 2, ... components, in [0, 1]; NaN if all rows are equal.
        mean: float32 array of shape (d,), mean of the embeddings.
        components: float32 array of shape (d', d), orthonormal rows; points equal (embeddings - mean) @ components.T
            up to rounding.
    """

    points: npt.NDArray[np.float32]
    explained_variance: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float32]
    components: npt.NDArray[np.float32]


def clamp_dimensions(pca_dims: Sequence[int], n_rows: int, n_features: int) -> list[int]:
    """Clamp dimensions to what PCA allows; returns distinct dimensions, descending.

    Args:
        pca_dims: Requested dimensions.
        n_rows: Number of embeddings.
        n_features: Numbers per embedding.

    Returns:
        The dimensions, at most min(n_rows, n_features).
    """
    largest = min(n_rows, n_features)
    return sorted({min(dim, largest) for dim in pca_dims}, reverse=True)


def project(embeddings: npt.NDArray[np.float32], pca_dim: int) -> Projection:
    """Project onto the first `pca_dim` principal components (full SVD, no whitening, float32).

    Bitwise equal to scikit-learn's `PCA(pca_dim, svd_solver="full")`, including its sign rule (the entry
    of largest magnitude in a component is positive), so that a seeded K-means gets the same points; but
    without its copies and repeated validation. The decomposition runs on one thread, since its last bits
    depend on the number of threads, and labels of weakly structured data depend on those bits. They still
    depend on the BLAS library and the type of processor.

    Args:
        embeddings: float32 array of shape (n, d), finite, C-contiguous, n >= 2.
        pca_dim: Number of components, at most min(n, d).

    Returns:
        The projected points, cumulative explained variance, and the parameters to project further embeddings.
    """
    mean = embeddings.mean(axis=0)
    centred = np.subtract(embeddings, mean, order="F")
    from scipy.linalg import svd  # imported lazily to keep process start fast

    with threadpool_limits(limits=1, user_api="blas"):
        left, singular_values, components = svd(centred, full_matrices=False, overwrite_a=True, check_finite=False)
    leading = components[:pca_dim]
    signs = np.sign(leading[np.arange(pca_dim), np.abs(leading).argmax(axis=1)])
    points = left[:, :pca_dim] * signs * singular_values[:pca_dim]
    variance = np.cumsum(singular_values.astype(np.float64) ** 2)
    with np.errstate(invalid="ignore"):
        explained = variance[:pca_dim] / variance[-1]
    return Projection(points, explained, mean, leading * signs[:, np.newaxis])

"""Principal components of the embeddings, in which candidates are clustered (paper section 3.2.3)."""

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
        explained_variance: float64 array of shape (d',); cumulative share of the variance held by
            the first 1, 2, ... components, in [0, 1]; NaN if the rows do not vary at all.
        mean: float32 array of shape (d,), mean of the embeddings.
        components: float32 array of shape (d', d), orthonormal rows; points are (embeddings - mean) @ components.T
            but for rounding.
    """

    points: npt.NDArray[np.float32]
    explained_variance: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float32]
    components: npt.NDArray[np.float32]


def clamp_dimensions(pca_dims: Sequence[int], n_rows: int, n_features: int) -> list[int]:
    """Dimensions that PCA can give, descending, each once.

    Args:
        pca_dims: Dimensions asked for.
        n_rows: Number of embeddings.
        n_features: Numbers per embedding.

    Returns:
        Each dimension, or min(n_rows, n_features) where it is larger than that.
    """
    largest = min(n_rows, n_features)
    return sorted({min(dim, largest) for dim in pca_dims}, reverse=True)


def project(embeddings: npt.NDArray[np.float32], pca_dim: int) -> Projection:
    """Project onto the first `pca_dim` principal components (full SVD, no whitening, float32).

    Bit for bit the numbers of scikit-learn's `PCA(pca_dim, svd_solver="full")`, its sign rule
    included (the entry of a component that is largest in size is positive), so that a seeded
    K-means sees the same points; without its copies and second checks of the input. The decomposition
    runs on one thread, since its last bits depend on their number, and labels of weak structure depend on
    its last bits. They still depend on the BLAS library and on the kind of processor.

    Args:
        embeddings: float32 array of shape (n, d), finite, C-contiguous, n >= 2.
        pca_dim: Number of components, at most min(n, d).

    Returns:
        The projection, its cumulative explained variance, and what projects further embeddings.
    """
    mean = embeddings.mean(axis=0)
    centred = np.subtract(embeddings, mean, order="F")
    from scipy.linalg import svd  # where it is needed: every process that starts would wait for it

    with threadpool_limits(limits=1, user_api="blas"):
        left, singular_values, components = svd(centred, full_matrices=False, overwrite_a=True, check_finite=False)
    leading = components[:pca_dim]
    signs = np.sign(leading[np.arange(pca_dim), np.abs(leading).argmax(axis=1)])
    points = left[:, :pca_dim] * signs * singular_values[:pca_dim]
    variance = np.cumsum(singular_values.astype(np.float64) ** 2)
    with np.errstate(invalid="ignore"):
        explained = variance[:pca_dim] / variance[-1]
    return Projection(points, explained, mean, leading * signs[:, np.newaxis])

"""Validate the embedding matrix: one float32 row per description (paper section 3.2.3)."""

import numpy as np
import numpy.typing as npt


def check_embeddings(embeddings: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Validate the embeddings and return them as a C-contiguous float32 matrix.

    Args:
        embeddings: Array of shape (n, d), n >= 0 rows; copied only if dtype or layout differ.

    Returns:
        float32 array of shape (n, d).

    Raises:
        ValueError: The array is not two-dimensional, or a row contains NaN or an infinity (the message
            names the first such row).
    """
    matrix = np.ascontiguousarray(embeddings, dtype=np.float32)
    if matrix.ndim != 2:
        raise ValueError(f"embeddings must have shape (rows, dimensions), not {matrix.shape}")
    is_finite = np.isfinite(matrix).all(axis=1)
    if not is_finite.all():
        first = int(np.argmin(is_finite))
        raise ValueError(
            f"embedding of row {first} contains NaN or infinity "
            f"({int((~is_finite).sum())} such rows in total): embed these descriptions again"
        )
    return matrix

"""Select the scored candidates to be named and reviewed (paper section 3.2.3)."""

from statistics import fmean, mean, stdev

import polars as pl

_BY_INDEX = ["davies_bouldin", "silhouette", "n_clusters"]


def retain_candidates(metrics: pl.DataFrame, n_best: int, n_dims_kept: int) -> pl.Series:
    """Decide which candidates to retain.

    1. For each dimension, take the `n_best` numbers of clusters with the lowest Davies-Bouldin
       index (ties: higher silhouette, then fewer clusters).
    2. Drop those whose silhouette is below their mean minus one sample standard deviation. With
       fewer than two candidates the deviation is undefined and nothing is dropped.
    3. Retain the remaining candidates of the `n_dims_kept` dimensions with the lowest mean index
       (ties: the smaller dimension).

    Args:
        metrics: One row per candidate: pca_dim, n_clusters, davies_bouldin, silhouette.
        n_best: Number of candidates considered per dimension, >= 1.
        n_dims_kept: Number of dimensions retained, >= 1.

    Returns:
        Boolean series `is_retained`, one value per row of `metrics`.

    References:
        Paper section 3.2.3, "Clustering and Candidate Generation".
    """
    remaining = [
        _drop_poorly_separated(of_dim.sort(_BY_INDEX, descending=[False, True, False]).head(n_best))
        for of_dim in metrics.with_row_index("row").partition_by("pca_dim")
    ]
    remaining.sort(key=lambda of_dim: (fmean(of_dim["davies_bouldin"]), of_dim["pca_dim"][0]))
    retained = {row for of_dim in remaining[:n_dims_kept] for row in of_dim["row"]}
    return pl.Series("is_retained", [row in retained for row in range(metrics.height)], pl.Boolean)


def _drop_poorly_separated(best: pl.DataFrame) -> pl.DataFrame:
    """Drop candidates whose silhouette is more than one sample standard deviation below the mean."""
    values = best["silhouette"].to_list()
    if len(values) < 2:
        return best
    # `statistics` computes exactly: equal values have zero deviation, so none is dropped.
    return best.filter(pl.col("silhouette") >= mean(values) - stdev(values))

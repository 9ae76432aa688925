"""The candidate sweep: K-means over PCA dimensions and numbers of clusters, scored and retained (paper section 3.2.3).

Two optimisations leave the results unchanged: a projection to a smaller d' is the leading columns of the largest
projection, so one decomposition serves all; and small K-means runs are executed in parallel with one thread each.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl
from threadpoolctl import threadpool_info, threadpool_limits

from advcluster_dagster.science.semantic_clustering.embeddings import check_embeddings
from advcluster_dagster.science.semantic_clustering.projection import clamp_dimensions, project
from advcluster_dagster.science.semantic_clustering.retention import retain_candidates
from advcluster_dagster.science.semantic_clustering.scores import (
    FloatArray,
    LabelArray,
    davies_bouldin,
    silhouettes,
)

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

#: K-means starts for the final labels of retained candidates.
REFERENCE_STARTS = 50
#: Iterations of K-means on permuted points, which have no clusters to converge to.
_NULL_ITERATIONS = 30


@dataclass(frozen=True)
class SweepSettings:
    """Settings of the candidate sweep and of retention.

    Attributes:
        pca_dims: PCA dimensions d', each >= 1; clamped to what the data allows.
        min_clusters: Smallest K, >= 2.
        max_clusters: Largest K; never more than the number of rows - 1.
        n_best: Number of K with the lowest Davies-Bouldin index considered per dimension.
        n_dims_kept: Number of dimensions retained.
        seed: `random_state` of every K-means run.
        n_init: Starts of every K-means run, of which the best counts. With more than one, the labels of retained
            candidates are the best of 50 starts; with one, as in the paper's text, those of the single start.
        n_null: Number of column-permuted copies of the points for the null distribution of the index.
    """

    pca_dims: tuple[int, ...] = (256, 128, 64, 16, 8, 4)
    min_clusters: int = 2
    max_clusters: int = 15
    n_best: int = 5
    n_dims_kept: int = 2
    seed: int = 0
    n_init: int = 10
    n_null: int = 8

    def __post_init__(self) -> None:
        """Reject settings that allow no candidate."""
        if not self.pca_dims or min(self.pca_dims) < 1:
            raise ValueError(f"pca_dims {self.pca_dims}: set at least one dimension, each >= 1")
        if not 2 <= self.min_clusters <= self.max_clusters:
            raise ValueError(
                f"numbers of clusters {self.min_clusters} to {self.max_clusters}: "
                "the smallest must be at least 2 and not above the largest"
            )
        if self.n_best < 1 or self.n_dims_kept < 1:
            raise ValueError(f"n_best {self.n_best} and n_dims_kept {self.n_dims_kept} must be at least 1")


@dataclass(frozen=True)
class CandidateSweep:
    """Scores of all candidates and the clusterings of the retained ones.

    Attributes:
        metrics: One row per candidate, dimensions descending, K ascending: pca_dim, n_clusters,
            davies_bouldin (>= 0, lower is better), silhouette ([-1, 1], higher is better),
            explained_variance (share of the variance in the first pca_dim components, [0, 1]),
            is_retained, inertia (sum of squared distances to the centroids), multistart_ari (adjusted Rand
            index with the best of 50 starts, retained candidates only), index_null_mean, index_z (the index
            against that of column-permuted copies).
        labels: Cluster ids per retained (pca_dim, n_clusters), int32 of shape (n,), 0..K-1.
        projections: Points per dimension with a retained candidate, float64 of shape (n, pca_dim).
        n_skipped: Number of (pca_dim, n_clusters) skipped because there are fewer than n_clusters
            distinct rows; they have no row in `metrics`.
        reason: Why there is no candidate, in one line; None if there is any.
    """

    metrics: pl.DataFrame
    labels: dict[tuple[int, int], LabelArray]
    projections: dict[int, FloatArray]
    n_skipped: int
    reason: str | None


def sweep_candidates(
    embeddings: npt.ArrayLike,
    settings: SweepSettings,
    on_progress: Callable[[int, int], None] | None = None,
) -> CandidateSweep:
    """Cluster and score the embeddings for every (d', K), and retain the favourable candidates.

    PCA and K-means depend on the order of the rows, so pass them in canonical order. K-means and the
    scores use the float32 projection cast to float64. A K above the number of distinct rows is skipped
    and counted.

    Args:
        embeddings: float32 array of shape (n, d), deduplicated, in canonical order.
        settings: Settings of the sweep.
        on_progress: Called in the calling thread after each dimension with the number of
            (d', K) done and the total.

    Returns:
        The scored candidates. If there are none (fewer than 3 rows, identical rows, no possible K), the
        metrics are empty and `reason` states the cause.

    Raises:
        ValueError: An embedding contains NaN or an infinity.

    References:
        Paper section 3.2.3, "Clustering and Candidate Generation".
    """
    matrix = check_embeddings(embeddings)
    n_distinct = _count_distinct_rows(matrix)
    cluster_counts = range(settings.min_clusters, min(settings.max_clusters, len(matrix) - 1) + 1)
    possible = [n_clusters for n_clusters in cluster_counts if n_clusters <= n_distinct]
    dims = clamp_dimensions(settings.pca_dims, *matrix.shape)
    runs = _cluster_all(matrix, dims, possible, settings, on_progress) if possible else []
    metrics = _metrics_table(runs)
    metrics = metrics.with_columns(retain_candidates(metrics, settings.n_best, settings.n_dims_kept))
    retained = [run for run, is_retained in zip(runs, metrics["is_retained"], strict=True) if is_retained]
    best = _best_labels(retained, settings.seed)
    agreement = {key: _agreement(run.labels, best[key]) for run in retained if (key := (run.pca_dim, run.n_clusters))}
    keys = list(metrics.select("pca_dim", "n_clusters").iter_rows())
    return CandidateSweep(
        metrics.with_columns(
            inertia=pl.Series([run.inertia for run in runs], dtype=pl.Float64),
            multistart_ari=pl.Series([agreement.get(key) for key in keys], dtype=pl.Float64),
            **_null_columns(runs, settings),
        ),
        labels=best if settings.n_init > 1 else {(run.pca_dim, run.n_clusters): run.labels for run in retained},
        projections={run.pca_dim: run.points for run in retained},
        n_skipped=len(dims) * len(cluster_counts) - len(runs),
        reason=None if runs else _reason_for_none(len(matrix), n_distinct, settings),
    )


@dataclass(frozen=True)
class _Run:
    """One scored K-means run."""

    pca_dim: int
    n_clusters: int
    davies_bouldin: float
    silhouette: float
    explained_variance: float
    inertia: float
    labels: LabelArray
    points: FloatArray


def _cluster_all(
    matrix: npt.NDArray[np.float32],
    dims: Sequence[int],
    cluster_counts: Sequence[int],
    settings: SweepSettings,
    on_progress: Callable[[int, int], None] | None,
) -> list[_Run]:
    """Cluster and score every (d', K); runs that find fewer than K clusters are omitted."""
    projection = project(matrix, max(dims))
    runs: list[_Run] = []
    with worker_pool() as pool:
        for n_done, pca_dim in enumerate(dims, start=1):
            points = np.ascontiguousarray(projection.points[:, :pca_dim], dtype=np.float64)
            cluster = partial(_cluster, points, settings.seed, settings.n_init)
            fitted = [fit for fit in pool.map(cluster, cluster_counts) if fit is not None]
            labelings = [labels for labels, _ in fitted]
            indices = pool.map(partial(davies_bouldin, points), labelings)
            widths = silhouettes(points, labelings, pool.map)
            explained = float(projection.explained_variance[pca_dim - 1])
            runs += [
                _Run(pca_dim, int(labels.max()) + 1, index, width, explained, inertia, labels, points)
                for (labels, inertia), index, width in zip(fitted, indices, widths, strict=True)
            ]
            if on_progress is not None:
                on_progress(n_done * len(cluster_counts), len(dims) * len(cluster_counts))
    return runs


@contextmanager
def worker_pool() -> Iterator[ThreadPoolExecutor]:
    """A pool of as many threads as the numerical libraries would use, each limited to one thread.

    The BLAS limit applies to the process while the pool exists, the OpenMP limit only to the worker
    threads. K-means' warning about fewer clusters than requested is silenced, since they are counted.
    """
    # Imported lazily, since it takes most of a second; it must be loaded before its thread pools can be counted.
    import sklearn
    from sklearn.exceptions import ConvergenceWarning

    n_workers = max((library["num_threads"] for library in threadpool_info()), default=1)

    def confine() -> None:
        threadpool_limits(limits=1, user_api="openmp")
        # For this thread only: points are already validated, and validation takes as long as a small fit.
        sklearn.set_config(assume_finite=True, skip_parameter_validation=True)

    with (
        warnings.catch_warnings(),
        threadpool_limits(limits=1, user_api="blas"),
        ThreadPoolExecutor(n_workers, initializer=confine) as pool,
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield pool


def fit_kmeans(points: FloatArray, n_clusters: int, seed: int, n_init: int, max_iter: int = 300) -> "KMeans":
    """K-means with k-means++ starts, the best of ``n_init`` by inertia; labels and centroids are its attributes."""
    from sklearn.cluster import KMeans

    return KMeans(n_clusters, random_state=seed, n_init=n_init, max_iter=max_iter).fit(points)


def _cluster(points: FloatArray, seed: int, n_init: int, n_clusters: int) -> tuple[LabelArray, float] | None:
    """Labels 0..K-1 and inertia of one K-means run; None if it finds fewer than K clusters."""
    kmeans = fit_kmeans(points, n_clusters, seed, n_init)
    labels: LabelArray = kmeans.labels_
    return (labels, float(kmeans.inertia_)) if np.bincount(labels, minlength=n_clusters).all() else None


def _best_labels(runs: Sequence[_Run], seed: int) -> dict[tuple[int, int], LabelArray]:
    """Labels of the best of 50 starts per candidate; the sweep's labels if that has fewer clusters or is no better."""
    with worker_pool() as pool:
        fits = list(pool.map(lambda run: _cluster(run.points, seed, REFERENCE_STARTS, run.n_clusters), runs))
    return {
        (run.pca_dim, run.n_clusters): run.labels if fit is None or fit[1] >= run.inertia else fit[0]
        for run, fit in zip(runs, fits, strict=True)
    }


def _agreement(labels: LabelArray, others: LabelArray) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(labels, others))


def _null_columns(runs: Sequence[_Run], settings: SweepSettings) -> dict[str, pl.Series]:
    """Mean index of column-permuted copies of the points, and the z-score of the index against them.

    The raw index decreases with d', so retention by it favours the smallest d'; the z-score is comparable.
    """
    points = {run.pca_dim: run.points for run in runs}
    rng = np.random.default_rng(settings.seed)
    copies = []
    if runs and settings.n_null > 1:
        widest = points[max(points)]
        copies = [rng.permuted(widest, axis=0) for _ in range(settings.n_null)]
    tasks = [(run.pca_dim, run.n_clusters, copy) for run in runs for copy in range(len(copies))]

    def index_of(task: tuple[int, int, int]) -> float:
        pca_dim, n_clusters, copy = task
        permuted = np.ascontiguousarray(copies[copy][:, :pca_dim])
        labels = fit_kmeans(permuted, n_clusters, settings.seed, 1, _NULL_ITERATIONS).labels_
        return davies_bouldin(permuted, labels) if np.bincount(labels, minlength=n_clusters).all() else np.nan

    with worker_pool() as pool:
        indices = np.array(list(pool.map(index_of, tasks))).reshape(len(runs), len(copies))
    means = [float(row.mean()) if len(row) and not np.isnan(row).any() else None for row in indices]
    scores = [
        None if mean is None or row.std(ddof=1) == 0 else float((run.davies_bouldin - mean) / row.std(ddof=1))
        for run, row, mean in zip(runs, indices, means, strict=True)
    ]
    return {"index_null_mean": pl.Series(means, dtype=pl.Float64), "index_z": pl.Series(scores, dtype=pl.Float64)}


def _count_distinct_rows(matrix: npt.NDArray[np.float32]) -> int:
    """Number of distinct rows; adding zero makes -0 equal to 0."""
    digests = {blake2b(row + np.float32(0.0), digest_size=16).digest() for row in matrix}
    return len(digests)


def _metrics_table(runs: Sequence[_Run]) -> pl.DataFrame:
    """The scores of the runs, as the first five columns of `CandidateSweep.metrics`."""
    return pl.DataFrame(
        {
            "pca_dim": pl.Series([run.pca_dim for run in runs], dtype=pl.Int64),
            "n_clusters": pl.Series([run.n_clusters for run in runs], dtype=pl.Int64),
            "davies_bouldin": pl.Series([run.davies_bouldin for run in runs], dtype=pl.Float64),
            "silhouette": pl.Series([run.silhouette for run in runs], dtype=pl.Float64),
            "explained_variance": pl.Series([run.explained_variance for run in runs], dtype=pl.Float64),
        }
    )


def _reason_for_none(n_rows: int, n_distinct: int, settings: SweepSettings) -> str:
    """State why there is no candidate, in one line."""
    if n_rows < 3:
        return f"no candidates: {n_rows} rows, clustering needs at least 3"
    if n_distinct == 1:
        return f"no candidates: all {n_rows} rows are identical"
    return (
        f"no candidates: {n_rows} rows, {n_distinct} of them distinct, cannot form "
        f"{settings.min_clusters} to {settings.max_clusters} clusters"
    )

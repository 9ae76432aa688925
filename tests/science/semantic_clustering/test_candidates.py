import warnings

import numpy as np
import polars as pl
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import davies_bouldin_score, silhouette_score
from threadpoolctl import threadpool_info, threadpool_limits

from advcluster_dagster.science.semantic_clustering import candidates
from advcluster_dagster.science.semantic_clustering.candidates import SweepSettings, sweep_candidates
from advcluster_dagster.science.semantic_clustering.projection import Projection

COLUMNS = {
    "pca_dim": pl.Int64,
    "n_clusters": pl.Int64,
    "davies_bouldin": pl.Float64,
    "silhouette": pl.Float64,
    "explained_variance": pl.Float64,
    "is_retained": pl.Boolean,
    "inertia": pl.Float64,
    "multistart_ari": pl.Float64,
    "index_null_mean": pl.Float64,
    "index_z": pl.Float64,
}


def blobs(n_rows=240, n_features=40, n_centers=5):
    points, _ = make_blobs(n_rows, n_features, centers=n_centers, cluster_std=3.0, random_state=0)
    return points.astype(np.float32)


def test_scores_equal_plain_scikit_learn():
    embeddings = blobs()
    sweep = sweep_candidates(embeddings, SweepSettings(pca_dims=(32, 8, 4), n_init=1, n_null=2))
    assert sweep.metrics.height == 3 * 14
    assert sweep.n_skipped == 0
    for (pca_dim,), of_dim in sweep.metrics.group_by("pca_dim"):
        pca = PCA(pca_dim, svd_solver="full")
        points = pca.fit_transform(embeddings).astype(np.float64)
        assert of_dim["explained_variance"].to_list() == pytest.approx([pca.explained_variance_ratio_.sum()] * 14)
        for _, n_clusters, index, silhouette, _, is_retained, *_ in of_dim.iter_rows():
            with threadpool_limits(1):  # only for speed: threads slow tiny runs down
                labels = KMeans(n_clusters, random_state=0, n_init="auto").fit_predict(points)
            assert index == pytest.approx(davies_bouldin_score(points, labels), abs=1e-6)
            assert silhouette == pytest.approx(silhouette_score(points, labels), abs=1e-6)
            if is_retained:
                np.testing.assert_array_equal(sweep.labels[pca_dim, n_clusters], labels)
                np.testing.assert_array_equal(sweep.projections[pca_dim], points)


def test_finds_the_blobs():
    sweep = sweep_candidates(blobs(n_centers=4), SweepSettings(pca_dims=(8, 4)))
    best = sweep.metrics.filter("is_retained").sort("davies_bouldin")
    assert best["n_clusters"][0] == 4
    assert sweep.reason is None


def test_only_retained_candidates_have_labels():
    sweep = sweep_candidates(blobs(), SweepSettings(pca_dims=(32, 16, 8, 4)))
    retained = sweep.metrics.filter("is_retained").select("pca_dim", "n_clusters").rows()
    assert list(sweep.labels) == retained
    assert set(sweep.projections) == {pca_dim for pca_dim, _ in retained}
    for (_, n_clusters), labels in sweep.labels.items():
        assert labels.dtype == np.int32
        assert set(labels) == set(range(n_clusters))


def test_order_and_clamping():
    # 10 rows: dimensions 256 to 16 all become 10; K runs to 9.
    sweep = sweep_candidates(blobs(n_rows=10), SweepSettings())
    expected = [(pca_dim, n_clusters) for pca_dim in (10, 8, 4) for n_clusters in range(2, 10)]
    assert sweep.metrics.select("pca_dim", "n_clusters").rows() == expected
    assert dict(sweep.metrics.schema) == COLUMNS


def test_three_rows_allow_two_clusters():
    sweep = sweep_candidates([[0, 0], [0, 1], [5, 5]], SweepSettings())
    assert sweep.metrics.select("pca_dim", "n_clusters", "is_retained").rows() == [(2, 2, True)]
    labels = sweep.labels[2, 2]
    assert labels[0] == labels[1] != labels[2]


@pytest.mark.parametrize(
    ("embeddings", "reason"),
    [
        (np.zeros((0, 4)), "0 rows"),
        (np.ones((1, 4)), "1 rows"),
        ([[0, 1], [1, 0]], "2 rows, clustering needs at least 3"),
        (np.full((9, 4), 0.3), "all 9 rows are identical"),
        ([[0.0, 1], [-0.0, 1], [0.0, 1]], "all 3 rows are identical"),
    ],
)
def test_the_reason_for_no_candidates_is_reported(embeddings, reason):
    sweep = sweep_candidates(embeddings, SweepSettings())
    assert reason in sweep.reason
    assert dict(sweep.metrics.schema) == COLUMNS
    assert sweep.metrics.is_empty()
    assert (sweep.labels, sweep.projections) == ({}, {})


def test_too_few_rows_for_the_smallest_number_of_clusters():
    sweep = sweep_candidates(blobs(n_rows=4), SweepSettings(min_clusters=5))
    assert "4 rows, 4 of them distinct" in sweep.reason


def test_more_clusters_than_distinct_rows_are_skipped_and_counted():
    # Three distinct rows four times each: of K = 2..11 only 2, 3 remain, in the single dimension that 256..2 clamp to.
    embeddings = np.repeat(np.array([[0, 0], [0, 9], [9, 0]], dtype=np.float32), 4, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep = sweep_candidates(embeddings, SweepSettings())
    assert sweep.metrics["n_clusters"].to_list() == [2, 3]
    assert sweep.n_skipped == 8


def test_rows_that_coincide_after_projection_are_skipped_and_counted(monkeypatch):
    # Six distinct rows, but two distinct points: K-means finds 2 clusters for K = 2, 3, 4 and 5.
    points = np.repeat(np.array([[-1.0], [1.0]], dtype=np.float32), 3, axis=0)
    monkeypatch.setattr(candidates, "project", lambda *_: Projection(points, np.array([1.0]), points[0], points[:1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep = sweep_candidates(blobs(n_rows=6), SweepSettings(pca_dims=(1,)))
    assert sweep.metrics["n_clusters"].to_list() == [2]
    assert sweep.n_skipped == 3


def test_an_embedding_with_nan_is_an_error_that_names_its_row():
    embeddings = blobs(n_rows=6)
    embeddings[4, 2] = np.nan
    with pytest.raises(ValueError, match="row 4"):
        sweep_candidates(embeddings, SweepSettings())


def test_reports_progress_and_restores_thread_limits():
    calls, before = [], threadpool_info()
    sweep_candidates(blobs(), SweepSettings(pca_dims=(8, 4)), lambda done, total: calls.append((done, total)))
    assert calls == [(14, 28), (28, 28)]
    assert threadpool_info() == before


def test_same_input_same_output():
    first, second = (sweep_candidates(blobs(), SweepSettings(pca_dims=(8, 4))) for _ in range(2))
    assert first.metrics.equals(second.metrics)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pca_dims": ()},
        {"pca_dims": (8, 0)},
        {"min_clusters": 1},
        {"min_clusters": 9, "max_clusters": 8},
        {"n_best": 0},
        {"n_dims_kept": 0},
    ],
)
def test_invalid_settings_are_rejected(wrong):
    with pytest.raises(ValueError, match=r"at least|each"):
        SweepSettings(**wrong)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs

from advcluster_dagster.science.semantic_clustering.coverage import (
    REACH_PERCENTILE,
    cluster_means,
    fit_taxonomy_model,
    place,
)

# Four points on a line in the plane: clusters {0, 2} and {10, 14} on the first axis, the second axis constant.
LINE = np.array([[0, 7], [2, 7], [10, 7], [14, 7]], np.float32)
LABELS = np.array([0, 0, 1, 1])


def test_a_line_by_hand():
    # Mean (6.5, 7); the only component is the first axis; centroids at 1 - 6.5 = -5.5 and 12 - 6.5 = 5.5.
    model = fit_taxonomy_model(LINE, LABELS, 1)
    assert model.mean.tolist() == [6.5, 7]
    assert np.abs(model.components[0]).tolist() == pytest.approx([1, 0])
    sign = model.components[0, 0]
    assert (sign * model.centroids[:, 0]).tolist() == pytest.approx([-5.5, 5.5])
    # Distances 1, 1, 2, 2; the 99th percentile lies at position 0.99 * 3 = 2.97 of the sorted ones: 2.
    assert model.reach == pytest.approx(2.0)


def test_new_points_by_hand():
    # 15 is 3 from centroid 12: outside; 14 is 2 from it, exactly the reach: inside; 5 is 4 from 1, 7 from 12.
    placement = place(fit_taxonomy_model(LINE, LABELS, 1), [[15, 7], [14, 7], [5, 7], [1, 700]])
    assert placement.cluster_ids.tolist() == [1, 1, 0, 0]
    assert placement.distances.tolist() == pytest.approx([3, 2, 4, 0])
    # Novelty in a direction discarded by PCA is not detected: the last point is at the centroid.
    assert placement.is_outside.tolist() == [True, False, True, False]


def test_empty_input_and_wrong_dimensions():
    model = fit_taxonomy_model(LINE, LABELS, 1)
    for nothing in (np.empty((0, 2), np.float32), np.empty((0, 0), np.float32)):
        placement = place(model, nothing)
        assert [len(array) for array in (placement.cluster_ids, placement.distances, placement.is_outside)] == [0, 0, 0]
    with pytest.raises(ValueError, match="embeddings have 3 dimensions, the taxonomy has 2"):
        place(model, [[1, 2, 3]])


def test_equal_points_have_reach_zero():
    model = fit_taxonomy_model(np.ones((3, 2), np.float32), np.array([0, 0, 1]), 1)
    assert model.reach == 0
    assert place(model, [[1, 1]]).is_outside.tolist() == [False]


def test_an_empty_cluster_is_an_error():
    with pytest.raises(ValueError, match="cluster 1 is empty"):
        cluster_means(LINE, np.array([0, 0, 2, 2]))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_at_most_one_percent_of_the_training_data_is_outside(seed, pca_dim):
    points, labels = make_blobs(200, 8, centers=4, random_state=seed % 2**31)
    points = points.astype(np.float32)
    model = fit_taxonomy_model(points, labels, pca_dim)
    reduced = (points.astype(float) - model.mean) @ model.components.T.astype(float)
    own = np.linalg.norm(reduced - model.centroids[labels], axis=1)
    assert (own > model.reach).sum() <= np.ceil(200 * (1 - REACH_PERCENTILE / 100))
    placement = place(model, points)
    assert (placement.distances <= own + 1e-9).all()  # the nearest centroid is no farther than that of the own cluster
    order = np.random.default_rng(seed).permutation(200)
    again = place(model, points[order])
    assert np.array_equal(again.cluster_ids, placement.cluster_ids[order])
    assert np.allclose(again.distances, placement.distances[order])

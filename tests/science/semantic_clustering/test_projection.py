import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from advcluster_dagster.science.semantic_clustering.projection import clamp_dimensions, project


def test_clamped_dimensions_are_distinct():
    assert clamp_dimensions((4, 256, 128, 8), n_rows=20, n_features=3072) == [20, 8, 4]
    assert clamp_dimensions((256, 4), n_rows=1000, n_features=3) == [3]


def test_points_on_a_line_by_hand():
    # Centred: -2, 0, 2 times (0.6, 0.8). The component's largest entry, 0.8, is positive, so the order stays.
    result = project(np.array([[0, 0], [1.2, 1.6], [2.4, 3.2]], dtype=np.float32), 1)
    np.testing.assert_allclose(result.points, [[-2], [0], [2]], atol=1e-6)
    np.testing.assert_allclose(result.explained_variance, [1.0], atol=1e-6)


@pytest.mark.parametrize("shape", [(60, 20), (20, 60), (3, 10)])
def test_equals_scikit_learn_for_every_smaller_dimension(shape):
    embeddings = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    largest = project(embeddings, min(shape))
    assert largest.points.dtype == np.float32
    for pca_dim in (1, 2, min(shape)):
        pca = PCA(pca_dim, svd_solver="full")
        np.testing.assert_array_equal(largest.points[:, :pca_dim], pca.fit_transform(embeddings))
        explained = pca.explained_variance_ratio_.sum()
        assert largest.explained_variance[pca_dim - 1] == pytest.approx(explained, abs=1e-5)


@pytest.mark.parametrize("shape", [(300, 700), (700, 300)])
def test_the_result_is_bitwise_independent_of_the_number_of_threads(shape):
    noise = np.random.default_rng(5).normal(size=shape).astype(np.float32)  # no structure: every bit counts
    projected = []
    for n_threads in (1, 2, 4):
        with threadpool_limits(limits=n_threads, user_api="blas"):
            projected.append(project(noise, 64).points)
    assert np.array_equal(projected[0], projected[1])
    assert np.array_equal(projected[0], projected[2])

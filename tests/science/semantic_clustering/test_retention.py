import polars as pl
import pytest

from advcluster_dagster.science.semantic_clustering.retention import retain_candidates


def metrics(*rows):
    schema = {
        "pca_dim": pl.Int64,
        "n_clusters": pl.Int64,
        "davies_bouldin": pl.Float64,
        "silhouette": pl.Float64,
    }
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def retained(table, n_best=5, n_dims_kept=2):
    return table.filter(retain_candidates(table, n_best, n_dims_kept)).select("pca_dim", "n_clusters").rows()


def test_takes_the_lowest_index_per_dimension():
    table = metrics((8, 2, 1.0, 0.5), (8, 3, 0.8, 0.5), (8, 4, 0.9, 0.5))
    assert retained(table, n_best=2) == [(8, 3), (8, 4)]


def test_drops_silhouettes_below_mean_minus_one_sample_deviation():
    # Silhouettes 0.5, 0.5, 0.5, 0.1: mean 0.4, squares 3 * 0.01 + 0.09 = 0.12, deviation sqrt(0.12 / 3) = 0.2.
    # The bound is 0.2: 0.1 drops. (With the population deviation 0.173 the bound would be 0.227.)
    table = metrics((8, 2, 1.0, 0.5), (8, 3, 1.0, 0.5), (8, 4, 1.0, 0.5), (8, 5, 0.1, 0.1))
    assert retained(table) == [(8, 2), (8, 3), (8, 4)]


def test_a_silhouette_at_the_bound_is_retained():
    # Silhouettes 0, 0.75, 0.75: mean 0.5, sample deviation sqrt(0.375 / 2) = 0.433, bound 0.067: 0 drops.
    # Silhouettes 0, 0.25, 0.5: mean 0.25, sample deviation 0.25, bound 0: 0 is not below it and stays.
    # (The population deviation, 0.204, would drop it.)
    assert retained(metrics((8, 2, 1.0, 0.0), (8, 3, 1.0, 0.75), (8, 4, 1.0, 0.75))) == [(8, 3), (8, 4)]
    assert retained(metrics((8, 2, 1.0, 0.0), (8, 3, 1.0, 0.25), (8, 4, 1.0, 0.5))) == [(8, 2), (8, 3), (8, 4)]


def test_retains_the_dimensions_with_the_lowest_remaining_mean():
    # Dimension 16: its 0.1 has the worst silhouette (see above) and drops, the rest have mean 1.0.
    # Dimensions 8 and 4 have means 0.9 and 0.95 and are kept.
    table = metrics(
        (16, 2, 1.0, 0.5), (16, 3, 1.0, 0.5), (16, 4, 1.0, 0.5), (16, 5, 0.1, 0.1), (8, 2, 0.9, 0.3), (4, 2, 0.95, 0.3)
    )  # fmt: skip
    assert retained(table) == [(8, 2), (4, 2)]


@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, 0.7])
@pytest.mark.parametrize("n_rows", [1, 2, 5, 7])
def test_equal_silhouettes_drop_nothing(value, n_rows):
    table = metrics(*((8, n_clusters, 1.0, value) for n_clusters in range(2, 2 + n_rows)))
    assert len(retained(table, n_best=7)) == n_rows


def test_ties_of_the_index_go_to_the_silhouette_then_to_fewer_clusters():
    table = metrics((8, 4, 1.0, 0.2), (8, 3, 1.0, 0.2), (8, 2, 1.0, 0.1))
    assert retained(table, n_best=1) == [(8, 3)]


def test_ties_of_dimensions_go_to_the_smaller():
    table = metrics((16, 2, 1.0, 0.2), (8, 2, 1.0, 0.2), (4, 2, 1.0, 0.2))
    assert retained(table) == [(8, 2), (4, 2)]


def test_no_candidates():
    result = retain_candidates(metrics(), 5, 2)
    assert result.to_list() == []
    assert (result.name, result.dtype) == ("is_retained", pl.Boolean)

import polars as pl
import pytest

from advcluster_dagster.science.semantic_clustering.choice import choose_candidate

METRICS = pl.DataFrame(
    {
        "pca_dim": [8, 8, 4, 4],
        "n_clusters": [6, 7, 6, 7],
        "davies_bouldin": [1.2, 1.1, 1.1, 0.5],
        "silhouette": [0.2, 0.2, 0.3, 0.9],
        "is_retained": [True, True, True, False],
    }
)


def reviews(*rows):
    schema = {"pca_dim": pl.Int64, "n_clusters": pl.Int64, "review": pl.Int64, "total": pl.Int64}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def test_highest_mean_total():
    # (8, 6): (40 + 41) / 2 = 40.5. (8, 7): 40.
    table = reviews((8, 6, 0, 40), (8, 6, 1, 41), (8, 7, 0, 40), (4, 6, 0, 12))
    choice = choose_candidate(table, METRICS, None)
    assert (choice.pca_dim, choice.n_clusters, choice.mean_total) == (8, 6, 40.5)
    assert choice.reason == "highest mean review total, 40.50 over 2 valid reviews"


def test_tie_goes_to_the_lower_index():
    choice = choose_candidate(reviews((8, 6, 0, 40), (8, 7, 0, 40)), METRICS, None)
    assert (choice.pca_dim, choice.n_clusters) == (8, 7)
    assert choice.reason.endswith("tied with 1 other, lower Davies-Bouldin index")


def test_then_to_the_higher_silhouette():
    choice = choose_candidate(reviews((8, 6, 0, 40), (8, 7, 0, 40), (4, 6, 0, 40)), METRICS, None)
    assert (choice.pca_dim, choice.n_clusters) == (4, 6)
    assert choice.reason.endswith("tied with 2 others, higher silhouette")


def test_invalid_reviews_are_ignored():
    # (8, 6) has one valid total, 30, and one invalid review: its mean is 30, not 15.
    choice = choose_candidate(reviews((8, 6, 0, 30), (8, 6, 1, None), (8, 7, 0, 29)), METRICS, None)
    assert (choice.pca_dim, choice.n_clusters, choice.mean_total) == (8, 6, 30.0)
    assert "over 1 valid review" in choice.reason


def test_unreviewed_candidate_loses():
    choice = choose_candidate(reviews((8, 6, 0, 5), (4, 6, 0, None)), METRICS, None)
    assert (choice.pca_dim, choice.n_clusters) == (8, 6)


def test_without_any_review_the_index_decides():
    # Indices 1.2, 1.1, 1.1; the silhouette 0.3 of (4, 6) breaks the tie. (4, 7) is not retained.
    for table in (reviews(), reviews((8, 6, 0, None))):
        choice = choose_candidate(table, METRICS, None)
        assert (choice.pca_dim, choice.n_clusters, choice.mean_total) == (4, 6, None)
        assert choice.reason == "no valid review of any candidate; lowest Davies-Bouldin index"


def test_pin_wins_and_keeps_its_total():
    choice = choose_candidate(reviews((8, 6, 0, 20), (8, 7, 0, 40)), METRICS, (8, 6))
    assert (choice.pca_dim, choice.n_clusters, choice.mean_total) == (8, 6, 20.0)
    assert choice.reason == "pinned by the study; 20.00 over 1 valid review"
    assert choose_candidate(reviews(), METRICS, (8, 6)).reason == "pinned by the study; no valid review"


def test_candidates_that_are_not_retained_are_rejected():
    names = r"\(4, 6\), \(8, 6\), \(8, 7\)"
    with pytest.raises(ValueError, match=rf"pinned candidate \(4, 7\) is not retained.*{names}"):
        choose_candidate(reviews(), METRICS, (4, 7))
    with pytest.raises(ValueError, match=rf"reviewed candidate \(4, 7\) is not retained.*{names}"):
        choose_candidate(reviews((4, 7, 0, 50)), METRICS, None)


def test_without_retained_candidates_there_is_no_choice():
    with pytest.raises(ValueError, match="no retained candidate"):
        choose_candidate(reviews(), METRICS.clear(), None)

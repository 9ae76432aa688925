"""Stability under other seeds and resampled source items: simulated clusters and noise, degenerate inputs."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from advcluster_dagster.science.semantic_clustering.candidates import SweepSettings, sweep_candidates
from advcluster_dagster.science.semantic_clustering.stability import (
    StabilitySettings,
    adjusted_rand,
    best_jaccards,
    items_of,
    measure_stability,
    verdict_of,
)

FOUR = SweepSettings(pca_dims=(4,), min_clusters=4, max_clusters=4, n_null=4)
FEW = StabilitySettings(n_seeds=2, n_bootstrap=30, n_choices=4)


def rows_of(n_questions, n_each):
    """Corpus rows of one domain, cycling through the questions."""
    ids = [f"q{i}" for i in range(n_questions)] * n_each
    return pl.DataFrame({"domain": ["d"] * len(ids), "source_key": ids, "question_id": ids})


def measured(points, rows, sweep=FOUR, settings=FEW):
    labels = sweep_candidates(points, sweep).labels
    return measure_stability(points, labels, items_of(rows), sweep, settings, np.random.default_rng(0))


@pytest.fixture(scope="module")
def separated():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 20)) * 10
    points = np.repeat(centres, 100, axis=0) + rng.normal(size=(400, 20))
    return measured(points.astype(np.float32), rows_of(40, 10))


def test_separated_clusters_are_stable(separated):
    bootstrap = separated.candidates.filter(pl.col("kind") == "bootstrap").row(0, named=True)
    assert bootstrap["ari_mean"] >= 0.95
    assert bootstrap["out_ari_mean"] >= 0.95
    assert separated.candidates.filter(pl.col("kind") == "seed")["ari_mean"].to_list() == [1.0]
    assert (separated.clusters["mean_jaccard"] >= 0.9).all()
    assert set(separated.clusters["verdict"]) == {"very stable"}
    assert separated.choices["retained_share"].to_list() == [1.0]


def test_one_blob_split_in_four_is_not_stable():
    points = np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32)
    tables = measured(points, rows_of(40, 10))
    assert tables.candidates.filter(pl.col("kind") == "bootstrap")["ari_mean"][0] <= 0.6
    assert (tables.clusters["verdict"] == "unstable").sum() >= 3


def test_a_cluster_of_one_question_has_no_verdict():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 6)) * 0.1
    points[:20] += 10  # all advantages of one question, far away
    points[20:40, 1] -= 10
    rows = pl.DataFrame({"domain": ["d"] * 60, "source_key": ["far"] * 20 + [f"q{i % 10}" for i in range(40)]})
    rows = rows.with_columns(question_id=pl.col("source_key"))
    sweep = SweepSettings(pca_dims=(3,), min_clusters=3, max_clusters=3, n_null=0)
    table = measured(points.astype(np.float32), rows, sweep).clusters
    alone = table.filter(pl.col("n_keys") == 1).row(0, named=True)
    assert (alone["top_question_share"], alone["verdict"]) == (1.0, None)
    assert table.filter(pl.col("n_keys") > 1)["verdict"].null_count() == 0


def test_without_a_candidate_there_are_no_rows():
    points = np.ones((5, 3), dtype=np.float32)
    tables = measured(points, rows_of(5, 1), SweepSettings())
    assert all(table.is_empty() for table in (tables.candidates, tables.clusters, tables.choices))


def test_without_replicates_the_measures_are_null():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 5)).astype(np.float32)
    tables = measured(points, rows_of(10, 4), settings=StabilitySettings(0, 0, 0))
    assert tables.candidates["ari_mean"].null_count() == tables.candidates.height == 2
    assert tables.clusters["mean_jaccard"].null_count() == tables.clusters.height
    assert tables.choices["retained_share"].null_count() == tables.choices.height


def test_equal_seeds_give_equal_tables(separated):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 20)) * 10
    points = np.repeat(centres, 100, axis=0) + rng.normal(size=(400, 20))
    again = measured(points.astype(np.float32), rows_of(40, 10))
    assert again.candidates.equals(separated.candidates)
    assert again.clusters.equals(separated.clusters)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_adjusted_rand_equals_scikit_learn(pairs):
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(first, second))


def test_jaccards_by_hand():
    # Cluster 0 {0, 1} against {0, 1, 2}: 2/3; cluster 1 {2, 3} against {3}: 1/2; cluster 2 is empty.
    values = best_jaccards(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), 3)
    assert values[:2] == pytest.approx([2 / 3, 1 / 2])
    assert np.isnan(values[2])


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.85, "very stable"), (0.84, "stable"), (0.75, "stable"), (0.6, "pattern"), (0.59, "unstable")],
)
def test_verdicts(value, verdict):
    assert verdict_of(value) == verdict

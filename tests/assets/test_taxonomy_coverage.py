"""Coverage and changes as a person reads them, and what is refused."""

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.assets.taxonomy_coverage import coverage_line, covered_advantages, taxonomy_changes
from advcluster_dagster.pipeline.step import StepError
from advcluster_dagster.storage.frozen_taxonomies import read_frozen
from advcluster_dagster.study.partition import Partition

CORPUS = (
    "advantage_corpus",
    "trace_pairs",
    "analysis_question_set",
    "deduplicated_advantages",
    "advantage_embeddings",
)
F = Partition("f")


@pytest.mark.parametrize(
    ("n_new", "n_outside", "line"),
    [
        (0, 0, "same taxonomy, nothing new"),
        (50, 2, "same taxonomy, 4 % new (2 of 50 new advantages fit no cluster)"),
        (10, 1, "same taxonomy, 10 % new (1 of 10 new advantages fit no cluster)"),
        (3, 2, "the taxonomy no longer covers all, 67 % new (2 of 3 new advantages fit no cluster)"),
    ],
)
def test_what_a_scheduled_run_says(n_new, n_outside, line):
    assert coverage_line(n_new, n_outside, max_outside_share=0.1) == line


@pytest.fixture(scope="module")
def frames(given_once):
    return {name: given_once.table(name) for name in CORPUS}


def test_a_text_that_changed_under_its_id_is_new(given_once, frames):
    corpus = frames["advantage_corpus"]
    kept = frames["deduplicated_advantages"].filter("is_kept")["advantage_id"]
    other = pl.when(pl.col("advantage_id") == kept[0]).then(pl.lit("Says it anew")).otherwise("advantage")
    changed = {**frames, "advantage_corpus": corpus.with_columns(advantage=other)}
    step = given_once.step("taxonomy_coverage", F)
    made = covered_advantages.function(step, **changed)
    # Its vector is what it was, so it lies where it lay.
    (row,) = made["coverage_assignments"].to_dicts()
    was = given_once.table("taxonomy_assignments").filter(advantage_id=kept[0])["cluster_id"].item()
    assert (row["advantage_id"], row["cluster_id"]) == (kept[0], was)
    coverage, n_outside = made["taxonomy_coverage"], int(row["is_outside"])
    expected = (1, n_outside, float(n_outside))
    assert coverage.filter(cluster_id=was).select("n_new", "n_outside", "outside_share").row(0) == expected
    assert coverage.filter(pl.col("cluster_id") != was)["n_new"].sum() == 0
    assert coverage["n_training"].sum() == kept.len()
    assert (step.facts["n_new"], step.facts["n_outside"]) == (1, n_outside)


def test_a_vector_far_from_all_is_outside(given_once, frames):
    kept = frames["deduplicated_advantages"].filter("is_kept")["advantage_id"]
    embeddings = frames["advantage_embeddings"]
    frozen = read_frozen(given_once.home.taxonomies, "given", "f")
    far = frozen.model.mean + 100 * frozen.model.components[0]
    vectors = [far.tolist() if place == kept[0] else vector for place, vector in embeddings.select(
        "advantage_id", "embedding").iter_rows()]  # fmt: skip
    changed = {
        **frames,
        "advantage_corpus": frames["advantage_corpus"].with_columns(
            advantage=pl.when(pl.col("advantage_id") == kept[0]).then(pl.lit("Far off")).otherwise("advantage")
        ),
        "advantage_embeddings": embeddings.with_columns(pl.Series("embedding", vectors, dtype=pl.List(pl.Float32))),
    }
    step = given_once.step("taxonomy_coverage", F)
    (row,) = covered_advantages.function(step, **changed)["coverage_assignments"].to_dicts()
    assert row["is_outside"]
    assert row["distance"] > 90 > frozen.model.reach
    assert step.facts["coverage"].startswith("the taxonomy no longer covers all, 100 % new")


def test_a_taxonomy_of_other_advantages_is_refused(given_once, frames):
    tables = {name: given_once.table(name) for name in ("final_taxonomy", "taxonomy_assignments")}
    tables["taxonomy_assignments"] = tables["taxonomy_assignments"].head(3)
    with pytest.raises(StepError, match="taxonomy_assignments do not match the current advantages"):
        taxonomy_changes.function(given_once.step("taxonomy_changes", F), **tables, **frames)


def test_the_frozen_model_places_its_own_advantages_where_they_are(given_once, frames):
    frozen = read_frozen(given_once.home.taxonomies, "given", "f")
    shared = frozen.members.join(given_once.table("taxonomy_assignments"), on="advantage_id", suffix="_now")
    assert shared["cluster_id"].equals(shared["cluster_id_now"], check_names=False)
    assert np.isfinite(frozen.centres).all()

"""Which taxonomy is frozen, when, and what it makes stale."""

from dataclasses import replace

import pytest

from advcluster_dagster.planning.status import study_status
from advcluster_dagster.planning.taxonomy_freezing import FreezeError, freeze_taxonomy
from advcluster_dagster.storage.frozen_taxonomies import FIRST, read_frozen, write_frozen
from advcluster_dagster.study.partition import Partition
from tests.studies import bring_traces, given_study

pytestmark = pytest.mark.integration  # slow: whole runs, end to end

COVERAGE = {("covered_advantages", "f"), ("taxonomy_changes", "f")}


def _freeze(small, name):
    with small.instance() as instance:
        statuses = study_status(small.platform, small.study, instance)
    freeze_taxonomy(small.platform, small.study, "f", name, statuses)


def _stale(small):
    return {key for key, status in small.status().items() if status.state == "stale"}


def test_the_first_finished_taxonomy_is_frozen_by_the_run_that_made_it(given):
    frozen = read_frozen(given.home.taxonomies, "given", "f")
    assert (frozen.name, frozen.is_automatic) == (FIRST, True)
    assert frozen.members.height == given.table("taxonomy_assignments").height
    assert frozen.clusters["tag"].to_list() == given.table("final_taxonomy").sort("cluster_id")["tag"].to_list()
    assert len(frozen.centres) == len(frozen.model.centroids) == frozen.clusters.height
    assert _stale(given) == set()
    # There was none yet when coverage was made: nothing to compare with.
    assert given.table("taxonomy_coverage").is_empty()
    assert given.metadata("taxonomy_coverage", Partition("f"))["reason"] == "no taxonomy is frozen yet"


def test_an_unfinished_one_is_not(tmp_path):
    small = given_study(tmp_path / "home")
    small.run(domains=("sums",))  # the other domain has traces that were not analysed
    assert read_frozen(small.home.taxonomies, "given", "f") is None
    small.run()
    assert read_frozen(small.home.taxonomies, "given", "f").name == FIRST


def test_one_frozen_by_hand_makes_the_comparison_stale_and_that_alone(given):
    _freeze(given, "june")
    assert _stale(given) == COVERAGE
    assert given.run().n_steps == 2
    coverage, changes = given.table("taxonomy_coverage"), given.table("taxonomy_changes")
    assert coverage["taxonomy"].unique().to_list() == ["june"]
    assert coverage["n_training"].sum() == given.table("taxonomy_assignments").height
    assert (coverage["n_new"].sum(), coverage["outside_share"].null_count()) == (0, coverage.height)
    assert given.metadata("taxonomy_coverage", Partition("f"))["coverage"] == "same taxonomy, nothing new"
    assert set(changes["change"]) == {"continued"}
    assert changes["old_cluster_id"].to_list() == changes["new_cluster_id"].to_list()
    assert changes["centre_distance"].max() < 1e-6
    assert _stale(given) == set()


def test_a_taxonomy_that_does_not_follow_its_inputs_is_not_frozen(given):
    bring_traces(given, "sums", n_kept=3)
    with pytest.raises(FreezeError, match=r"the taxonomy of family f is stale .*; run the study first"):
        _freeze(given, "june")


@pytest.mark.parametrize("other", ["embedder", "length"])
def test_another_embedding_space_is_not_compared(given, other):
    first = read_frozen(given.home.taxonomies, "given", "f")
    model = replace(first.model, mean=first.model.mean[:64]) if other == "length" else first.model
    embedder = "another" if other == "embedder" else first.embedder
    frozen = replace(first, name="other", frozen_at="9999", is_automatic=False, embedder=embedder, model=model)
    write_frozen(given.home.taxonomies, "given", "f", frozen)
    assert given.run().n_steps == 2
    for table in ("taxonomy_coverage", "taxonomy_changes"):
        assert given.table(table).is_empty()
        reason = given.metadata(table, Partition("f"))["reason"]
        assert reason == f"taxonomy other has different vectors: {len(model.mean)} numbers by {embedder}"
    assert given.states() == {"fresh", "no sources"}


def test_too_few_advantages_for_a_taxonomy(tmp_path):
    small = given_study(tmp_path / "home")
    for domain in ("sums", "products"):
        bring_traces(small, domain, n_kept=0)
    assert small.run().failures == {}
    assert read_frozen(small.home.taxonomies, "given", "f") is None
    with pytest.raises(FreezeError, match="family f has no taxonomy: no candidates: 0 rows"):
        _freeze(small, "june")

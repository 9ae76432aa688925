"""Dry runs of studies in which something changed: nothing is estimated from tables that the run would make again."""

import shutil
from collections import Counter

import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.planning.dry_run import plan_run
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.storage.home import Home
from tests.orchestration.conftest import drop
from tests.studies import ALL_TABLES, SmallHome, ledger_rows

pytestmark = pytest.mark.integration  # slow: whole runs, end to end

#: Tables of the steps that ask models.
ASKING = ("larger_traces", "smaller_traces", "advantage_corpus", "advantage_embeddings", "cluster_summaries",
          "candidate_reviews", "name_checks", "themes")  # fmt: skip
#: Those that a new clustering makes ask again.
OF_TAXONOMIES = {"cluster_summaries", "candidate_reviews", "name_checks", "themes"}


def plan(small, assets=ALL_TABLES, **selection):
    """By the first table of each step that asks models: what it would ask."""
    with small.instance() as instance:
        planned = plan_run(small.platform, small.study, instance, Selection(assets=assets, **selection))
    found = {}
    for step in planned:
        if step.estimate is not None:
            table = RECIPES[step.status.step].tables[0]
            found[table] = found.get(table, Estimate()) + step.estimate
    return found


def calls_of(small):
    """Different model calls by the asset they were made for."""
    calls = Counter()
    for (asset, _model), totals in small.platform.ledger.totals_by_asset_and_model(small.name).items():
        calls[asset] += totals.n_calls
    return calls


def never_too_low_without_a_word(found, asked):
    return all(found[table].assumed or found[table].n_calls >= n for table, n in asked.items() if n)


def test_a_dropped_benchmark_is_planned_with_all_its_traces(made):
    before, n_pairs = calls_of(made), made.table("trace_pairs").height
    drop(made.home, "made", "math", "more", 5)
    found = plan(made)
    # 5 questions, 3 trials; the traces of the others are in the ledger.
    for table in ("larger_traces", "smaller_traces"):
        assert found[table].n_calls == 15
        assert not any("question" in said for said in found[table].assumed)  # the questions are known
    assert "as many pairs as now, all repeated" in found["advantage_corpus"].assumed[0]
    assert found["advantage_corpus"].n_calls == n_pairs
    assert made.run().failures == {}
    asked = calls_of(made) - before
    assert (asked["larger_traces"], asked["smaller_traces"]) == (15, 15)
    assert never_too_low_without_a_word(found, asked)


def test_what_follows_kept_taxonomies_is_planned_though_the_descriptions_changed(made):
    drop(made.home, "made", "math", "more", 5)
    with_kept = plan(made, keeps_taxonomies=True)
    assert with_kept.keys() == {"larger_traces", "smaller_traces", "graded_trials", "advantage_corpus",
                                "advantage_embeddings"}  # fmt: skip
    assert made.run(keeps_taxonomies=True).failures == {}
    # Clusters are of the descriptions before, of which there are fewer.
    before = calls_of(made)
    found = plan(made)
    assert found.keys() == OF_TAXONOMIES
    assert all(estimate.n_calls > 0 and estimate.assumed for estimate in found.values())
    assert made.run().failures == {}
    assert never_too_low_without_a_word(found, calls_of(made) - before)
    assert plan(made) == {}


def test_tables_that_the_run_leaves_as_they_are_are_estimated_from_exactly(made):
    made.change(judges={"reviewer": {"model": "analyst-1", "provider": "embedded"}})
    found = plan(made)
    (n_candidates,) = {made.table("cluster_summaries").select("pca_dim", "n_clusters").unique().height}
    assert found.keys() == {"candidate_reviews", "name_checks", "themes"}  # the last two may follow another choice
    assert found["candidate_reviews"].n_calls == n_candidates  # one review each


def test_a_step_asked_for_alone_reads_what_is_there(made):
    drop(made.home, "made", "math", "more", 5)
    found = plan(made, assets=("advantage_corpus",))
    # Its pairs are stale, but this run leaves them: their replies are in the ledger.
    assert found == {"advantage_corpus": Estimate()}


def test_clusters_of_other_descriptions_are_named_by_neither_plan_nor_run(made):
    drop(made.home, "made", "math", "more", 5)
    made.run(keeps_taxonomies=True)
    found = plan(made, assets=("cluster_summaries",))["cluster_summaries"]
    said = "cluster_assignments do not match the current advantages; materialise them first"
    assert (found.n_calls, found.assumed) == (0, (f"cluster_summaries of orion: no calls, as it cannot run: {said}",))
    (line,) = made.run(("cluster_summaries",)).failures.values()
    assert line == f"cluster_summaries: {said}"


def test_questions_that_cannot_be_had_are_told_and_the_rest_is_planned(made):
    path = drop(made.home, "made", "math", "empty", 0)
    found = plan(made)
    assert found.keys() == {*ASKING, "graded_trials"}
    fault = f"benchmark 'empty': {path} has no question of domain math"
    assert found["larger_traces"].assumed == (f"larger_traces of orion/math: no calls, as it cannot run: {fault}",)


def test_more_trials_are_planned_from_the_questions(made):
    n_questions = made.table("benchmark_questions").height
    made.change(trials=4)
    found = plan(made)
    # One more trial of each question and model; three are in the ledger.
    assert (found["larger_traces"].n_calls, found["smaller_traces"].n_calls) == (n_questions, n_questions)
    before = calls_of(made)
    assert made.run().failures == {}
    assert never_too_low_without_a_word(found, calls_of(made) - before)


def test_no_dry_run_writes_or_asks(made):
    drop(made.home, "made", "math", "more", 5)
    before, hashes = ledger_rows(made.home), made.hashes()
    plan(made)
    assert (ledger_rows(made.home), made.hashes()) == (before, hashes)


@pytest.mark.parametrize("keeps_taxonomies", [False, True])
def test_the_walk_through_of_the_demonstration(finished_demo, tmp_path, keeps_taxonomies):
    shutil.copytree(finished_demo.root, tmp_path / "demo")
    demo = SmallHome(Home(tmp_path / "demo"), "demo")
    drop(demo.home, "demo", "math", "more-math", 20)
    found = plan(demo, keeps_taxonomies=keeps_taxonomies)
    # 20 questions, 10 trials, two models of two families.
    assert found["larger_traces"].n_calls + found["smaller_traces"].n_calls == 800
    if keeps_taxonomies:
        before = calls_of(demo)
        assert demo.run(keeps_taxonomies=True).failures == {}
        assert never_too_low_without_a_word(found, calls_of(demo) - before)
        found = plan(demo)  # descriptions are new, clusters are not
        assert found.keys() == OF_TAXONOMIES
        assert all(estimate.assumed for estimate in found.values())

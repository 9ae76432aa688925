"""A benchmark dropped into a finished study: affected steps are run, and models are called only for new content."""

import shutil
from collections import Counter

import polars as pl
import pytest

from advcluster_dagster.orchestration.run_study import run_study
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from tests.orchestration.conftest import drop
from tests.studies import ALL_TABLES, SmallHome, ledger_rows

pytestmark = pytest.mark.integration  # slow: whole runs, end to end

JUDGES_OF_TAXONOMIES = {"cluster_summaries", "candidate_reviews", "name_checks", "themes"}


def _calls(small):
    """Distinct model calls by the asset they were made for."""
    calls: Counter[str] = Counter()
    for (asset, _model), totals in small.platform.ledger.totals_by_asset_and_model(small.name).items():
        calls[asset] += totals.n_calls
    return calls


def _run(small, **selection):
    """Run what is not fresh; return the steps that ran, by partition."""
    ran = Counter()
    with small.instance() as instance:
        outcome = run_study(
            small.platform,
            small.study,
            instance,
            Selection(assets=ALL_TABLES, **selection),
            lambda *run: ran.update([run[0]]),
        )
    assert outcome.failures == {}
    return set(ran)


def _expected_calls(small, benchmark, n_new, before):
    """Calls that a benchmark requires, derived from the resulting tables.

    T for each question and model, one for each pair, one for each text not embedded before.
    """
    n_families = len(small.study.families)
    pairs = small.table("trace_pairs").filter(pl.col("question_id").str.starts_with(f"{benchmark}-"))
    texts = set(small.table("advantage_corpus")["advantage"]) - before
    inference = n_new * small.study.trials * n_families
    assert pairs.height > 0
    return {
        "larger_traces": inference,
        "smaller_traces": inference,
        "advantage_corpus": pairs.height,
        "advantage_embeddings": len(texts),
    }


def test_only_what_it_touches_and_only_what_is_new(made):
    calls, texts = _calls(made), set(made.table("advantage_corpus")["advantage"])
    drop(made.home, "made", "math", "more", 5)
    stale = {label for (_, label), status in made.status().items() if status.state == "stale"}
    assert stale == {"math", "orion/math", "orion", "all"}
    assert _run(made) == stale
    assert made.states() == {"fresh"}
    asked = _calls(made) - calls
    assert {asset: n for asset, n in asked.items() if asset not in JUDGES_OF_TAXONOMIES} == _expected_calls(
        made, "more", 5, texts
    )
    # New clusters are named and reviewed: at most one call per cluster and per review of a candidate.
    assert asked["cluster_summaries"] <= made.table("cluster_summaries").height
    assert asked["candidate_reviews"] <= made.table("candidate_reviews").height
    assert {n_replies for _, n_replies, _ in ledger_rows(made.home)} == {1}

    coverage, changes = made.table("taxonomy_coverage"), made.table("taxonomy_changes")
    assert coverage["taxonomy"].unique().to_list() == ["first"]
    assert coverage["n_new"].sum() == made.table("coverage_assignments").height > 0
    assert {"continued"} <= set(changes["change"])
    line = made.metadata("taxonomy_coverage", Partition("orion"))["coverage"]
    assert line.startswith("same taxonomy, ")
    assert line.endswith(" new advantages fit no cluster)")
    assert _run(made) == set()


@pytest.mark.integration
def test_a_changed_file_asks_about_the_changed_question_alone(made):
    path = drop(made.home, "made", "math", "more", 3)
    _run(made, domains=("math",))
    calls = _calls(made)
    lines = path.read_text(encoding="utf-8").splitlines()
    other = drop(made.home, "made", "math", "rest", 8).read_text(encoding="utf-8").splitlines()[-1]
    (made.home.root / "benchmarks" / "made" / "math" / "rest.jsonl").unlink()
    path.write_text("\n".join([*lines[:2], other]), encoding="utf-8")
    _run(made)
    asked = _calls(made) - calls
    # The third question is replaced by one unknown to the simulated models: three trials of each fail.
    assert (asked["larger_traces"], asked["smaller_traces"]) == (3, 3)
    assert asked["advantage_corpus"] == 0


def test_a_taxonomy_can_be_kept(made):
    calls, texts, hashes = _calls(made), set(made.table("advantage_corpus")["advantage"]), made.hashes()
    drop(made.home, "made", "math", "more", 5)
    _run(made, keeps_taxonomies=True)
    assert dict(_calls(made) - calls) == _expected_calls(made, "more", 5, texts)
    assert made.hashes()["final_taxonomy@orion"] == hashes["final_taxonomy@orion"]
    assert made.status()["covered_advantages", "orion"].state == "fresh"
    assert made.table("taxonomy_coverage")["n_new"].sum() > 0
    status = made.status()["final_taxonomy", "orion"]
    assert (status.state, status.texts) == (
        "stale",
        (
            "advantage_corpus@orion/math changed",
            "benchmark_questions@math changed",
            "gap_tests@orion changed",
            "paired_accuracies@orion changed",
            "follows candidate_reviews of orion and 3 more",
        ),
    )


def test_a_file_without_questions_is_one_line_and_taken_away_all_is_as_before(made):
    hashes = made.hashes()
    path = drop(made.home, "made", "math", "empty", 0)
    outcome = made.run()
    (line,) = outcome.failures.values()
    assert line == f"benchmark_questions: benchmark 'empty': {path} has no question of domain math"
    path.unlink()
    assert made.run().failures == {}
    assert made.hashes() == hashes
    assert made.states() == {"fresh"}


@pytest.mark.integration
def test_twenty_questions_dropped_into_the_finished_demo(finished_demo, tmp_path):
    shutil.copytree(finished_demo.root, tmp_path / "demo")
    demo = SmallHome(Home(tmp_path / "demo"), "demo")
    calls, texts, hashes = _calls(demo), set(demo.table("advantage_corpus")["advantage"]), demo.hashes()
    n_traces, n_kept = demo.table("larger_traces").height, len(ledger_rows(demo.home))
    drop(demo.home, "demo", "math", "more-math", 20)
    assert _run(demo, keeps_taxonomies=True) == {"math", "orion/math", "lyra/math", "orion", "lyra"}
    # Twenty questions, ten trials, both models of two families; no call for questions that existed before.
    asked = _calls(demo) - calls
    assert asked["larger_traces"] + asked["smaller_traces"] == 20 * 10 * 2 * 2
    # Traces of new questions replace others in the sample that is rated: at most all 40, twice each.
    assert 0 < asked["trace_ratings"] <= 40 * 2
    assert asked["delta_summaries"] <= 10 * 2 * 2
    others = {asset: n for asset, n in asked.items() if asset not in ("trace_ratings", "delta_summaries")}
    assert others == _expected_calls(demo, "more-math", 20, texts)
    assert len(ledger_rows(demo.home)) - n_kept == sum(asked.values())
    assert demo.table("larger_traces").height == n_traces + 20 * 10 * 2
    changed = {name for name, value in demo.hashes().items() if value != hashes[name]}
    untouched = {"physics", "chemistry", "programming"}
    assert {name.split("@")[1].split("/")[-1] for name in changed} & untouched == set()
    # The same benchmark with new taxonomies: judges name and review clusters, without other calls.
    calls = _calls(demo)
    assert _run(demo) == {"orion", "lyra", "all"}
    assert set(+(_calls(demo) - calls)) <= JUDGES_OF_TAXONOMIES
    assert demo.states() == {"fresh"}
    assert set(demo.table("taxonomy_changes")["family"]) == {"orion", "lyra"}

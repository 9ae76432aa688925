"""Partitions that failed or were blocked are refused and reported, and run again once fixed."""

import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.pipeline.step import StepError
from advcluster_dagster.planning.partition_state import Fault, FaultKind
from advcluster_dagster.study.partition import Partition
from tests.studies import bring_traces, changed_recipe, given_study

FRESH = {"fresh", "no sources"}
F, SUMS = Partition("f"), Partition("f", "sums")
#: Partitions that depend on a failed domain: its family, and the study.
WAITING = {F: "not run, waits for f/sums", Partition(): "not run, waits for f/sums, f"}


@pytest.mark.integration
def test_a_blocked_partition_is_refused_until_it_is_mended(given):
    before = given.hashes()
    bring_traces(given, "sums", is_missing=True)  # nothing can be graded, so pass rates would be wrong
    bring_traces(given, "products", n_kept=3)
    outcome = given.run()
    facts = "larger 1, smaller 1, bound 0.05"
    assert outcome.failures == {SUMS: f"graded_trials: blocking check ungraded_share failed ({facts})"}
    assert outcome.waiting == WAITING

    statuses = given.status()
    blocked = statuses["graded_trials", "f/sums"]
    line = "blocking check ungraded_share of graded_trials failed (bound 0.05, larger 1, smaller 1)"
    fault = Fault(FaultKind.CHECK, line)
    assert (blocked.state, blocked.reasons) == ("blocked", (fault,))
    assert statuses["edi_summary", "f/products"].state == "fresh"
    after = given.hashes()
    assert after["pass_rate_table@f/sums"] == before["pass_rate_table@f/sums"]
    assert after["final_taxonomy@f"] == before["final_taxonomy@f"]
    assert after["pass_rate_table@f/products"] != before["pass_rate_table@f/products"]

    refused = given.run()
    assert refused.n_runs == 0
    assert refused.failures == {SUMS: f"{line}; downstream steps were not run"}
    assert refused.waiting == WAITING

    bring_traces(given, "sums", n_kept=3)
    assert given.run().failures == {}
    assert given.states() == FRESH
    assert given.hashes()["final_taxonomy@f"] != before["final_taxonomy@f"]


def test_raising_the_bound_mends_too(given):
    traces = ("larger_traces", "smaller_traces", "graded_trials")
    bring_traces(given, "sums", is_missing=True)
    assert len(given.run(traces).failures) == 1
    given.change(checks={"max_ungraded_share": 1.0, "max_mean_edi": 1.0})
    assert given.run(traces).failures == {}
    assert given.status()["graded_trials", "f/sums"].state == "fresh"


@pytest.mark.integration
def test_a_failed_partition_stops_the_family_and_is_run_again(given, monkeypatch):
    def fail(_step, _tables):
        raise StepError("the judge is on holiday")

    bring_traces(given, "sums", n_kept=3)
    with monkeypatch.context() as patch:
        patch.setitem(RECIPES, "extracted_advantages", changed_recipe("first_errors", fail)["extracted_advantages"])
        outcome = given.run(domains=("sums",))
        assert outcome.failures == {SUMS: "extracted_advantages: the judge is on holiday"}
        assert outcome.waiting == WAITING
        # Run alone, the family's step refuses too.
        (line,) = given.run(("cluster_summaries",)).failures.values()
        assert line.startswith("cluster_summaries: f/sums: advantage_corpus failed in run ")
        assert line.endswith("; fix it or remove the domain from the study")
    assert given.run(domains=("sums",)).failures == {}
    assert given.states() == FRESH


def test_an_error_of_ours_is_one_line_too(given, monkeypatch):
    def fail(_step, _rows):
        raise ZeroDivisionError("of\nall things")

    given.change(question_set={"min_gap": 0.9})
    monkeypatch.setitem(
        RECIPES, "analysis_question_set", changed_recipe("analysis_question_set", fail)["analysis_question_set"]
    )
    outcome = given.run(("analysis_question_set",), domains=("sums",))
    line = "analysis_question_set: ZeroDivisionError: of all things at advcluster_dagster/"
    assert outcome.failures[SUMS].startswith(line)
    assert "\n" not in outcome.failures[SUMS]


def test_a_domain_without_imports_is_left_out_and_named(given_once):
    facts = given_once.metadata("final_taxonomy", Partition("f"))
    assert facts["domains_used"] == ["sums", "products"]
    assert facts["domains_left_out"] == ["later"]
    assert given_once.table("accuracy_summary")["domain"].unique().sort().to_list() == ["all", "products", "sums"]
    with pytest.raises(ValueError, match="not enough values"):
        given_once.metadata("graded_trials", Partition("f", "later"))


def test_questions_without_traces_are_no_sources_either(tmp_path):
    small = given_study(tmp_path / "home")
    for file in (small.home.imports / "given" / "traces" / "f" / "products").rglob("*.parquet"):
        file.unlink()
    assert small.status()["graded_trials", "f/products"].state == "no sources"
    assert small.status()["benchmark_questions", "products"].state == "missing"

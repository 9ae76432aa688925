"""Regrading: forced if all is fresh, propagated if verdicts change, refused if traces are missing."""

import polars as pl
import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.orchestration.regrading import regrade_study
from advcluster_dagster.pipeline.step import StepError
from advcluster_dagster.planning.asset_selection import SelectionError
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.study.partition import Partition
from tests.studies import SIMULATED, bring_traces, changed_recipe, changed_tables, ledger_rows, write_study

SUMS, PRODUCTS = Partition("f", "sums"), Partition("f", "products")


def _regrade(small, **chosen):
    with small.instance() as instance:
        return regrade_study(small.platform, small.study, instance, Selection(**chosen))


def test_equal_verdicts_are_made_anew_and_nothing_follows(given):
    assert given.run(()).failures == {}
    hashes, times = given.hashes(), {p: given.path("graded_trials", p).stat().st_mtime_ns for p in (SUMS, PRODUCTS)}
    outcome = _regrade(given)
    assert (outcome.n_runs, outcome.n_steps, outcome.failures) == (2, 2, {})  # the grading of two domains
    assert given.hashes() == hashes
    assert all(given.path("graded_trials", p).stat().st_mtime_ns > before for p, before in times.items())
    assert given.states() == {"fresh", "no sources"}


def test_only_what_was_asked_for_is_graded_anew(given):
    before = given.path("graded_trials", PRODUCTS).stat().st_mtime_ns
    given.run(())
    outcome = _regrade(given, families=("f",), domains=("sums",))
    assert (outcome.n_runs, outcome.n_steps) == (1, 1)
    assert given.path("graded_trials", PRODUCTS).stat().st_mtime_ns == before


def _all_wrong(_step, tables):
    wrong = {"verdict": pl.lit("wrong"), "is_correct": pl.lit(value=False)}
    return tables | {"graded_trials": tables["graded_trials"].with_columns(**wrong)}


@pytest.mark.integration
def test_changed_verdicts_are_followed_to_the_end(given, monkeypatch):
    rows = ledger_rows(given.home)
    monkeypatch.setitem(RECIPES, "graded_trials", changed_recipe("graded_trials", _all_wrong)["graded_trials"])
    assert _regrade(given).failures == {}
    assert given.states() == {"fresh", "no sources"}
    # No answer is correct, so there is no gap and no question is selected.
    assert given.table("analysis_question_set").is_empty()
    assert given.table("final_taxonomy").is_empty()
    assert ledger_rows(given.home) == rows


def test_what_cannot_be_graded_is_named_and_the_rest_goes_on(given, monkeypatch):
    def fail(step, tables):
        if step.domain == "sums":
            raise StepError("the rules are lost")
        return _all_wrong(step, tables)

    monkeypatch.setitem(RECIPES, "graded_trials", changed_recipe("graded_trials", fail)["graded_trials"])
    outcome = _regrade(given)
    assert outcome.failures == {SUMS: "graded_trials: the rules are lost"}
    assert set(outcome.waiting) == {Partition("f"), Partition()}
    selected = given.table("analysis_question_set")["domain"].to_list()
    assert selected == ["sums"] * 4


@pytest.mark.integration
def test_imports_that_came_since_are_left_to_a_run(given):
    bring_traces(given, "sums", n_kept=3)
    hashes = given.hashes()
    _regrade(given)
    assert changed_tables(hashes, given.hashes()) == set()
    assert given.status()["larger_traces", "f/sums"].state == "stale"


def test_traces_that_would_have_to_be_asked_for_are_refused(tmp_path):
    small = write_study(tmp_path / "home", SIMULATED)
    small.run(("benchmark_questions", "larger_traces"))
    rows = ledger_rows(small.home)
    with pytest.raises(SelectionError) as refused:
        _regrade(small)
    assert str(refused.value) == (
        "regrade generates no traces, and smaller_traces of orion/math does not exist; run `advcluster run made`"
        " first, or select with --family and --domain"
    )
    assert ledger_rows(small.home) == rows
    with pytest.raises(SelectionError, match="domain 'maths' is not in study made"):
        _regrade(small, domains=("maths",))

"""What a run covers, its estimated calls, and its behaviour without a network."""

from collections import Counter

import polars as pl
import pytest

from advcluster_dagster.orchestration.run_study import run_study
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.planning.asset_selection import SelectionError
from advcluster_dagster.planning.dry_run import plan_run
from advcluster_dagster.planning.selection import Selection
from tests.studies import GIVEN, SIMULATED, changed_tables, given_study, ledger_rows, write_study

UP_TO_PAIRS = (
    "benchmark_questions", "larger_traces", "smaller_traces", "graded_trials", "pass_rate_table",
    "analysis_question_set", "trace_pairs",
)  # fmt: skip


def _plan(small, **selection):
    with small.instance() as instance:
        return plan_run(small.platform, small.study, instance, Selection(**selection))


def _n_calls(planned):
    counts = Counter()
    for step in planned:
        counts[step.status.step] += step.estimate.n_calls if step.estimate else 0
    return dict(+counts)


def _files(small):
    roots = [small.home.root / name for name in ("lake", "imports", "studies", "reports")]
    return {path: path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("selection", "labels"),
    [
        ({"families": ("f",), "domains": ("sums",)}, {"sums", "f/sums", "f", "all"}),
        ({"domains": ("products",)}, {"products", "f/products", "f", "all"}),
        ({"assets": ("first_errors", "edi_summary")}, {"f/sums", "f/products"}),
        ({"assets": ("first_errors",), "domains": ("sums",)}, {"f/sums"}),
        ({"assets": ("study_report",)}, {"all"}),
    ],
)
def test_a_selection_covers(tmp_path, selection, labels):
    planned = _plan(given_study(tmp_path / "home"), **selection)
    assert {step.status.partition.label for step in planned} == labels
    if assets := selection.get("assets"):
        steps = {"first_errors": "extracted_advantages"}
        assert {step.status.step for step in planned} == {steps.get(asset, asset) for asset in assets}


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"families": ("q",)}, "family 'q' is not in study given; known: f"),
        ({"domains": ("maths",)}, "domain 'maths' is not in study given; known: sums, products, later"),
        (
            {"assets": ("taxonomy",)},
            "asset 'taxonomy' is not in study given; did you mean final_taxonomy or taxonomy_changes",
        ),
    ],
)
def test_unknown_names_are_one_line(tmp_path, selection, message):
    small = given_study(tmp_path / "home")
    with small.instance() as instance:
        for ask in (plan_run, run_study):
            arguments = (small.platform, small.study, instance)
            with pytest.raises(SelectionError) as error:
                ask(*arguments, Selection(**selection))
            assert str(error.value).startswith(message)
            assert "\n" not in str(error.value)


def test_only_what_was_asked_for_is_run(tmp_path):
    small = given_study(tmp_path / "home")
    outcome = small.run(UP_TO_PAIRS, domains=("sums",))
    assert (outcome.n_runs, outcome.failures) == (2, {})
    made = {key for key, status in small.status().items() if status.state == "fresh"}
    assert made == {("benchmark_questions", "sums"), *((step, "f/sums") for step in UP_TO_PAIRS[1:])}
    assert ledger_rows(small.home) == []


@pytest.mark.integration
def test_a_dry_run_writes_nothing_and_counts_the_calls_that_are_then_made(given):
    hashes, analyst = given.hashes(), {"model": "analyst", "provider": "embedded", "sampling": {"temperature": 0}}
    given.change(judges={"extractor": analyst, "summariser": analyst, "reviewer": analyst})
    before, rows = _files(given), ledger_rows(given.home)
    # Each selected alone, so that the run would not change its inputs.
    asking = ("advantage_corpus", "cluster_summaries", "candidate_reviews", "name_checks", "themes")
    planned = _n_calls([step for table in asking for step in _plan(given, assets=(table,))])
    assert _files(given) == before
    assert ledger_rows(given.home) == rows
    # 2 domains x 4 kept questions x 2 pairs; one review each of 2 dimensions x 3 numbers of clusters that differ.
    summaries = given.table("cluster_summaries").sort("cluster_id")
    n_named = len({(tuple(a), tuple(b)) for a, b in summaries.select("shown_ids", "other_ids").iter_rows()})
    n_reviewed = summaries.group_by("pca_dim", "n_clusters").agg("tag", "size").select("tag", "size").n_unique()
    assert 4 <= n_reviewed <= 6
    members, corpus = given.table("taxonomy_assignments"), given.table("advantage_corpus")
    placed = corpus.join(members, on="advantage_id")
    n_checked = placed["advantage"].n_unique()
    # Ten sets with an intruder for each cluster of at least four texts.
    n_texts = placed.group_by("cluster_id").agg(pl.col("advantage").n_unique())["advantage"]
    n_sets = 10 * (n_texts >= 4).sum()
    assert planned == {
        "extracted_advantages": 16, "cluster_summaries": n_named, "candidate_reviews": n_reviewed, "themes": 5,
        "name_checks": n_checked + n_sets,
    }  # fmt: skip
    assert given.run().failures == {}
    assert len(ledger_rows(given.home)) - len(rows) == sum(planned.values())
    assert _n_calls(_plan(given)) == {}
    assert changed_tables(hashes, given.hashes()) == set()  # this judge ignores the setting


def test_a_dry_run_counts_inference_calls(tmp_path):
    small = write_study(tmp_path / "home", SIMULATED)
    small.run(("benchmark_questions",))
    planned = _n_calls(_plan(small, assets=("larger_traces", "smaller_traces")))
    n_questions = small.table("benchmark_questions").height
    assert planned == {"larger_traces": 3 * n_questions, "smaller_traces": 3 * n_questions}
    assert small.run(("smaller_traces",)).failures == {}
    assert len(ledger_rows(small.home)) == planned["smaller_traces"]
    # Twice as many trials: existing calls are reused, only the additional ones are sent.
    small.change(trials=6)
    assert _n_calls(_plan(small, assets=("smaller_traces",))) == {"smaller_traces": 3 * n_questions}


def test_a_step_whose_inputs_are_still_to_be_made_states_its_assumption(tmp_path):
    planned = _plan(given_study(tmp_path / "home"), assets=("advantage_embeddings", "cluster_summaries"))
    assumptions = {step.status.step: step.estimate.assumed for step in planned}
    assert assumptions == {
        "advantage_embeddings": (
            "advantage_embeddings: 5% of the questions kept, 2 pairs each, 3 descriptions per pair, 15 tokens per text",
        ),
        "cluster_summaries": (
            "cluster_summaries: 80 clusters over all candidates of a family, 3,000 + 90 tokens per call",
        ),
    }


def test_offline_stops_at_the_first_call_that_is_missing(tmp_path):
    small = given_study(tmp_path / "home")
    small.run(UP_TO_PAIRS, domains=("sums",))
    outcome = small.run(("advantage_corpus",), Platform(small.home, offline=True), domains=("sums",))
    (line,) = outcome.failures.values()
    assert line.startswith("extracted_advantages: offline: call ")
    assert "of model analyst (provider embedded) and 7 more are not in the ledger" in line
    assert ledger_rows(small.home) == []


def test_offline_all_that_is_in_the_ledger_can_be_had_again(given):
    before = given.hashes()
    for file in (given.home.root / "lake" / "given" / "advantage_corpus").rglob("*.parquet"):
        file.unlink()
    assert given.run(("advantage_corpus",), Platform(given.home, offline=True)).failures == {}
    assert given.hashes() == before


def test_a_study_without_anything_to_run_says_what_to_do(tmp_path):
    small = write_study(tmp_path / "home", GIVEN)
    with pytest.raises(
        SelectionError, match="study given: no domain has questions and traces yet; benchmark additions"
    ):
        small.run()

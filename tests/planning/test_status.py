"""Staleness: what `status` names after a change, and that a run makes exactly that good."""

import json
import re
from dataclasses import asdict, replace

import polars as pl
import pytest
from rich.console import Console

from advcluster_dagster.assets import cluster_naming
from advcluster_dagster.assets.registry import RECIPES, recipe_of
from advcluster_dagster.cli.tables import status_table
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline import recipe
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.source_code import SourceCode, read_source
from advcluster_dagster.planning.status import Reason, ReasonKind, StepStatus, differences
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.storage.table_files import Stamp, read_stamp
from advcluster_dagster.study.analysis import CheckBounds
from advcluster_dagster.study.partition import Partition
from tests.studies import GIVEN, ROOT, bring_questions, bring_traces, changed_tables, given_study, ledger_rows

SUMS = Partition("f", "sums")
FRESH = {"fresh", "no sources"}
GRADING = ("graded_trials", "pass_rate_table", "analysis_question_set")


def _because(found, reason):
    """Steps and partitions whose reasons hold this one."""
    return {key for key, status in found.items() if reason in status.texts}


def _stale(found):
    return {key: status for key, status in found.items() if status.state == "stale"}


def _downstream(steps):
    """These steps and all that depend on them, by name."""
    reached = set(steps)
    for name, declared in RECIPES.items():  # in the order of the data flow
        is_table = declared.tables[0] in TABLES and TABLES[declared.tables[0]].section is None
        if is_table and reached & {recipe_of(table).name for table in declared.upstream}:
            reached.add(name)
    return reached


CLUSTERING, STATISTICS = GIVEN["clustering"], GIVEN["statistics"]
#: Steps that draw random numbers of their own.
RESAMPLED = (
    "question_statistics", "gap_tests", "candidate_stabilities", "final_taxonomy", "dispersion_tests", "themes",
    "name_checks",
)  # fmt: skip


@pytest.mark.parametrize(
    ("sections", "steps"),
    [
        (
            {"question_set": {"min_gap": 0.9}},
            {"analysis_question_set", "question_statistics", "gap_tests", "name_checks"},
        ),
        ({"deduplication": {"threshold": 0.5}}, {"deduplicated_advantages", "name_checks"}),
        ({"extraction": {"max_repeats": 1}}, {"extracted_advantages"}),
        ({"clustering": CLUSTERING | {"pca_dims": [4]}}, {"clustered_advantages", "candidate_stabilities"}),
        ({"clustering": CLUSTERING | {"n_bootstrap": 6}}, {"candidate_stabilities"}),
        ({"clustering": CLUSTERING | {"n_reviews": 2}}, {"candidate_reviews"}),
        ({"statistics": STATISTICS | {"pass_at_k": [4]}}, {"question_statistics", "gap_tests"}),
        ({"taxonomy": {"min_share": 0.5}}, {"final_taxonomy"}),
        ({"error_dispersion": {"max_edi_shown": 0.3}}, {"error_dispersion"}),
        ({"benchmarks": {"additions": {"answer_marker": "gives"}}}, {"graded_trials"}),
        ({"seed": 1}, {"larger_traces", "smaller_traces", "trace_pairs", "cluster_summaries", *RESAMPLED}),
        ({"published_results": "paper"}, {"themes"}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_a_setting_makes_stale_what_reads_it_and_what_follows(given_once, sections, steps):
    path = given_once.home.study_file("given")
    before = path.read_text(encoding="utf-8")
    given_once.change(**sections)
    found = given_once.status()
    path.write_text(before, encoding="utf-8")
    changed, stale = _because(found, "settings changed"), _stale(found)
    assert {step for step, _ in changed} == steps
    assert {step for step, _ in stale} == _downstream(steps)
    for key in stale.keys() - changed:
        assert ReasonKind.FOLLOWS in {reason.kind for reason in stale[key].reasons}
    assert {status.state for status in found.values()} <= FRESH | {"stale"}


#: Steps that only a study with ratings has.
RATED = {"trace_ratings", "delta_summaries"}
#: Every bound of the checks, and the steps whose checks read it.
BOUNDS = {
    "max_missing_trial_share": {"graded_trials"},
    "max_ungraded_share": {"graded_trials"},
    "max_no_answer_share": {"graded_trials"},
    "max_no_answer_share_by_benchmark": {"graded_trials"},
    "max_contradiction_share": {"graded_trials"},
    "max_contradiction_share_by_benchmark": {"graded_trials"},
    "max_truncated_share": {"graded_trials"},
    "max_extraction_failure_share": {"extracted_advantages"},
    "max_judge_failure_share": {
        "graded_trials",
        "cluster_summaries",
        "candidate_reviews",
        "name_checks",
        "themes",
        *RATED,
    },
    "max_style_violation_share": {"extracted_advantages"},
    "max_duplicate_share": {"deduplicated_advantages"},
    "max_cluster_share": {"final_taxonomy"},
    "max_outside_share": {"covered_advantages"},
    "max_mean_edi": {"edi_summary"},
    "max_unsupported_share": {"extracted_advantages"},
    "max_dispersion_p": {"dispersion_tests"},
}


def test_every_bound_is_read_by_a_check():
    assert BOUNDS.keys() == CheckBounds.model_fields.keys(), "add the bound and the step that reads it to BOUNDS above"
    assert {
        bound: {name for name, declared in RECIPES.items() if bound in declared.bounds} for bound in BOUNDS
    } == BOUNDS


@pytest.mark.parametrize(
    "path", sorted((ROOT / "advcluster_dagster" / "assets").glob("*.py")), ids=lambda path: path.stem
)
def test_no_step_reads_a_bound_that_its_checks_do_not_name(path):
    text = path.read_text(encoding="utf-8")
    read = set(re.findall(r"\bchecks\.(max_\w+)", text))
    assert read <= set(re.findall(r'bound="(max_\w+)"', text))


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_bound_makes_stale_the_step_whose_check_reads_it_and_what_follows(given_once, bound):
    path = given_once.home.study_file("given")
    before = path.read_text(encoding="utf-8")
    given_once.change(checks={**GIVEN["checks"], bound: 0.77})
    found = given_once.status()
    path.write_text(before, encoding="utf-8")
    assert {step for step, _ in _because(found, f"bound {bound} changed")} == BOUNDS[bound] - RATED
    assert {step for step, _ in _stale(found)} == _downstream(BOUNDS[bound] - RATED)


def test_raising_the_bound_of_the_mean_index_runs_its_step_alone(given):
    before = given.hashes()
    given.change(checks={**GIVEN["checks"], "max_mean_edi": 0.9})
    outcome = given.run()
    assert (outcome.n_steps, outcome.failures) == (2, {})  # edi_summary of both domains
    assert given.hashes() == before
    assert given.states() == FRESH


def test_a_check_that_names_no_bound_of_the_study_is_refused():
    with pytest.raises(ValueError, match=r"^check c: bound is 'max_edi'; allowed: max_missing_trial_share, "):
        Check("c", "d", lambda _step, _rows, _bound: Outcome(True), bound="max_edi")


def _with_source(monkeypatch, path, old, new):
    """The program with one text replaced in one of its files, as another process would find it."""
    text = read_source(path)
    assert old in text
    edited = SourceCode(lambda asked: text.replace(old, new) if asked == path else read_source(asked))
    monkeypatch.setattr(recipe, "package_source", lambda: edited)
    monkeypatch.setattr(recipe, "cached_parts", lambda _name, compute: compute())
    for name, declared in RECIPES.items():
        monkeypatch.setitem(RECIPES, name, replace(declared))


def test_a_helper_that_drops_rows_makes_its_steps_stale(given_once, monkeypatch):
    _with_source(monkeypatch, "assets/inference.py", "LazyFrame(rows, schema", "LazyFrame(rows[1:], schema")
    found = given_once.status()
    traces = {"larger_traces", "smaller_traces"}
    assert {step for step, _ in _because(found, "code changed: assets/inference")} == traces
    assert {step for step, _ in _stale(found)} == _downstream(traces)


def test_a_reworded_comment_makes_nothing_stale(given_once, monkeypatch):
    new = "    # The model that plays the role.\n    model = step.study"
    _with_source(monkeypatch, "assets/inference.py", "    model = step.study", new)
    assert given_once.states() == FRESH


@pytest.mark.parametrize(
    ("now", "texts"),
    [
        ({"a": "1", "b": "1"}, []),
        ({"a": "2", "b": "1"}, ["code changed: a"]),
        ({"a": "1"}, ["code changed: b"]),
        ({"a": "2", "b": "2", "c": "1", "d": "1"}, ["code changed: a, b, c and 1 more"]),
    ],
)
def test_changed_parts_of_the_code_are_named(now, texts):
    kept = {"a": "1", "b": "1"}
    found = differences(Stamp(str(kept), code_parts=kept), Stamp(str(now), code_parts=now))
    assert [reason.text for reason in found] == texts


def _as_made_by_an_earlier_version(path):
    """Put a stamp without the parts of the code in the place of a file's own."""
    stamp = read_stamp(path)
    rows = pl.read_parquet(path)
    old = {**asdict(stamp), "code": "0123456789abcdef", "settings": "fedcba9876543210"}
    del old["code_parts"]
    rows.write_parquet(path, metadata={"advcluster_stamp": json.dumps(old)})


@pytest.mark.integration
def test_what_an_earlier_version_made_says_so_once_and_is_made_again_for_nothing(given, capsys):
    before, calls = given.hashes(), ledger_rows(given.home)
    files = [*(given.home.root / "lake").rglob("*.parquet")]
    for path in files:
        _as_made_by_an_earlier_version(path)
    assert given.hashes() == before
    found = given.status()
    reason = Reason(ReasonKind.EARLIER_VERSION, "code changed: made by an earlier version of this program")
    assert {status.reasons[0] for status in found.values() if status.state != "no sources"} == {reason}
    assert "settings changed" not in {text for status in found.values() for text in status.texts}
    Console(width=300).print(status_table(given.study, [*found.values()]))
    n_steps = len([status for status in found.values() if status.state == "stale"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == (
        f"code changed: {n_steps} steps were made by an earlier version of this program; a run repeats them and"
        " reuses the model replies in the ledger"
    )
    assert sum("code changed" in line for line in lines) == 1
    outcome = given.run()
    assert (outcome.n_asked, outcome.failures) == (0, {})
    assert changed_tables(before, given.hashes()) == set()
    assert ledger_rows(given.home) == calls
    assert given.states() == FRESH


def test_a_setting_of_one_domain_leaves_the_others_alone(given):
    given.change(benchmarks={"additions": {"answer_marker": "gives"}})
    found = given.status()
    assert _because(found, "settings changed") == {("graded_trials", "f/sums")}
    assert {label for _, label in _stale(found)} == {"f/sums", "f", "all"}


def test_after_the_run_all_is_fresh_again(given):
    before = given.hashes()
    given.change(deduplication={"threshold": 0.5})
    assert given.run().failures == {}
    assert given.states() == FRESH
    changed = {name.split("@")[0] for name, value in given.hashes().items() if value != before[name]}
    assert {"deduplicated_advantages", "final_taxonomy"} <= changed
    assert not changed & {"advantage_corpus", "advantage_embeddings", "error_dispersion"}


def test_equal_content_leaves_downstream_fresh(given):
    before = given.hashes()
    given.change(question_set={"min_gap": 0.9})  # every kept question has a gap of 1
    outcome = given.run(("analysis_question_set", "question_statistics", "gap_tests", "name_checks"))
    assert (outcome.n_steps, outcome.failures) == (6, {})  # two steps of two domains, two of the family
    changed = {name for name, value in given.hashes().items() if value != before[name]}
    assert {name.partition("@")[0].split("/")[0] for name in changed} <= {
        "question_statistics",
        "gap_tests",
        "selection_reliabilities",  # both hold the bound
        "sensitivities",
    }
    assert given.states() == FRESH


def test_a_prompt_makes_its_step_stale_and_its_calls_are_made_anew(given, monkeypatch):
    naming = load_prompt("naming")
    changed = replace(naming, system=naming.system + "\nBe brief.", sha256="0" * 64)
    for module in (recipe, cluster_naming):
        monkeypatch.setattr(module, "load_prompt", lambda name: changed if name == "naming" else load_prompt(name))
    found = given.status()
    assert _because(found, "prompt changed: naming") == {("cluster_summaries", "f")}
    assert {step for step, _ in _stale(found)} == _downstream({"cluster_summaries"})
    known = {call_id for call_id, _, _ in ledger_rows(given.home)}
    assert given.run().failures == {}
    assert given.states() == FRESH
    # One call for each different cluster of the retained candidates; names, and so reviews, come out as before.
    new = [row for row in ledger_rows(given.home) if row[0] not in known]
    shown = given.table("cluster_summaries").select("shown_ids", "other_ids")
    assert len(new) == len({(tuple(own), tuple(others)) for own, others in shown.iter_rows()})


def test_imports_replaced(given):
    bring_traces(given, "sums")  # the same content again
    assert given.states() == FRESH
    bring_traces(given, "sums", n_kept=3)
    both = {("larger_traces", "f/sums"), ("smaller_traces", "f/sums")}
    found = given.status()
    assert _because(found, "imported or other outside files changed") == both
    assert {label for _, label in _stale(found)} == {"f/sums", "f", "all"}
    assert given.run(("larger_traces", "smaller_traces")).n_steps == 2
    # The larger model's rows are what they were, the smaller one's are not.
    found = given.status()
    assert _because(found, "larger_traces@f/sums changed") == set()
    readers = {("graded_trials", "f/sums"), ("grading_disagreements", "f/sums"), ("extracted_advantages", "f/sums")}
    readers |= {("worked_cases", "f")}
    assert _because(found, "smaller_traces@f/sums changed") == readers
    assert given.run(GRADING).failures == {}
    assert not _because(given.status(), "smaller_traces@f/sums changed") & {("graded_trials", "f/sums")}
    assert given.table("analysis_question_set").filter(domain="sums").height == 3


def test_more_questions_imported(given):
    bring_questions(given, "sums", n_questions=7)
    assert _because(given.status(), "imported or other outside files changed") == {("benchmark_questions", "sums")}
    assert given.run(("benchmark_questions",)).failures == {}
    steps = ("larger_traces", "smaller_traces", "graded_trials", "grading_disagreements", "extracted_advantages")
    readers = {(step, "f/sums") for step in (*steps, "question_statistics")}
    of_family = ("gap_tests", "candidate_stabilities", "final_taxonomy", "worked_cases", "dispersion_tests")
    readers |= {(step, "f") for step in of_family} | {("themes", "all")}
    assert _because(given.status(), "benchmark_questions@sums changed") == readers


def test_a_lost_file_is_missing_and_made_again(given):
    before = given.hashes()
    given.path("trace_pairs", SUMS).unlink()
    found = given.status()
    assert {key for key, status in found.items() if status.state == "missing"} == {("trace_pairs", "f/sums")}
    assert {step for step, _ in _stale(found)} == _downstream({"trace_pairs"}) - {"trace_pairs"}
    assert given.run(("trace_pairs",)).failures == {}
    assert given.hashes() == before
    assert given.states() == FRESH


def test_a_file_put_there_by_hand_is_told_from_a_result(given):
    products = given.path("error_dispersion", Partition("f", "products"))
    products.write_bytes(given.path("error_dispersion", SUMS).read_bytes())
    reasons = given.status()["error_dispersion", "f/products"].reasons
    assert Reason(ReasonKind.UNRECORDED, "error_dispersion is not recorded as materialised") in reasons


def test_before_the_first_run_all_is_missing(tmp_path):
    fresh = given_study(tmp_path / "home")
    assert fresh.states() == {"missing", "no sources"}
    assert {label for (_, label), status in fresh.status().items() if status.state == "no sources"} == {
        "later",
        "f/later",
    }


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        ((), "nothing to run, no questions or traces yet"),
        (("no sources",), "nothing to run, no questions or traces yet"),
        (("fresh", "fresh"), "up to date, 2 of 2 step partitions fresh"),
        (("fresh", "no sources"), "up to date, 1 of 1 step partitions fresh; 1 have no sources"),
        (("fresh", "stale", "stale", "missing", "blocked"), "2 stale, 1 missing, 1 blocked of 5 step partitions"),
    ],
)
def test_the_table_of_a_status_begins_with_a_verdict(capsys, tmp_path, states, verdict):
    study = given_study(tmp_path / "home").study
    statuses = [StepStatus("graded_trials", Partition("f", f"d{number}"), state) for number, state in enumerate(states)]
    Console(width=80).print(status_table(study, statuses))
    first, *_, header, _ = (line for line in capsys.readouterr().out.splitlines()[:4] if line.strip())
    assert first.strip() == f"study given: {verdict}"
    assert header.split() == ["step", "fresh", "stale", "missing", "failed", "blocked", "no", "sources"]

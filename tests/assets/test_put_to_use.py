"""A study with sections compute, ratings and preferences, run once: their tables, checks and exports."""

import json

import polars as pl
import pytest

from advcluster_dagster.assets.registry import recipes_of
from advcluster_dagster.exports.preference_datasets import export_preferences
from advcluster_dagster.exports.preferences import PreferenceExportError
from advcluster_dagster.orchestration.definitions import build_defs
from advcluster_dagster.planning.asset_selection import SelectionError
from advcluster_dagster.science.compute.flops import trace_flops
from advcluster_dagster.science.compute.model_shapes import ModelShape
from advcluster_dagster.storage.pages import page_path
from advcluster_dagster.study.partition import Partition
from tests.studies import SIMULATED, given_study, write_study

LAYERS = {"vocabulary": 100, "width": 64, "feed_forward": 192, "heads": 4, "layers": 2}
HELD_OUT = "worked-math-003"
FAMILIES = {
    name: {
        role: {"model": f"{name}-{size}", "provider": "simulated"}
        for role, size in (("larger", "large"), ("smaller", "small"))
    }
    for name in ("orion", "lyra")
}
SECTIONS = {
    "trials": 4,
    "families": FAMILIES,
    "compute": {"shapes": {"orion-large": LAYERS}},
    "ratings": {"n_traces": 30, "n_generations": 2, "n_faulted": 4, "families": ["orion"]},
    "preferences": {
        "combinations": ["c_i", "c_c", "i_i", "i_c"],
        "schemes": ["generator", "same_model"],
        "dimension": "signal_to_noise",
        "selection": "top_delta",
        "k": 3,
        "held_out": [HELD_OUT],
    },
    "benchmarks": {"worked-math": {"source": "simulated", "training": "allowed"}},
}
OPTIONAL = {
    "trace_costs", "compute_summaries", "budget_curves", "budget_matches", "trace_ratings", "trace_qualities",
    "quality_deltas", "delta_summaries", "delta_overlaps", "rating_calibrations", "preference_pairs",
    "preference_selections", "held_out_matches",
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    small = write_study(tmp_path_factory.mktemp("whole"), {**SIMULATED, **SECTIONS})
    outcome = small.run()
    assert outcome.failures == {}
    return small


def of_orion(small, table):
    return small.table(table).filter(pl.col("family") == "orion")


def test_costs_are_those_of_every_trial(whole):
    costs, graded = of_orion(whole, "trace_costs"), of_orion(whole, "graded_trials")
    assert costs.height == graded.height == 24 * 2 * 4
    known = costs.filter(pl.col("role") == "larger").row(0, named=True)
    tokens = (known["prompt_tokens"], known["completion_tokens"])
    assert known["flops"] == pytest.approx(float(trace_flops(ModelShape(**LAYERS), *tokens)))
    assert costs.filter(pl.col("role") == "smaller")["flops"].null_count() == 24 * 4  # its layers are not known
    assert costs["cost"].null_count() == costs.height  # nor has a simulated model a price


def test_one_trial_costs_the_mean_and_has_the_accuracy_that_the_paired_comparison_says(whole):
    paired = of_orion(whole, "paired_accuracies").filter(pl.col("level") == "family", pl.col("task_format") == "all")
    single = of_orion(whole, "budget_curves").filter(pl.col("domain") == "all", pl.col("strategy") == "single")
    accuracies = dict(single.select("role", "accuracy").iter_rows())
    assert accuracies["larger"] == pytest.approx(paired["larger_mean"].item())
    assert accuracies["smaller"] == pytest.approx(paired["smaller_mean"].item())
    assert set(of_orion(whole, "budget_matches")["strategy"]) == {"majority", "pass_at_k"}


def test_every_trace_of_the_draw_is_rated_as_often_as_asked_for(whole):
    ratings = of_orion(whole, "trace_ratings")
    traces = ratings.select("question_id", "role", "trial").unique()
    assert 0 < traces.height <= 30
    assert ratings.height == traces.height * 2 * 5
    facts = whole.metadata("trace_ratings", Partition("orion", "math"))
    assert facts["n_rated"] == traces.height
    # The embedded rater says that it cannot rate three of the five dimensions.
    rated = ratings.group_by("dimension").agg(pl.col("score").is_not_null().any())
    assert set(rated.filter("score")["dimension"]) == {"computational_precision", "signal_to_noise"}
    deltas = of_orion(whole, "quality_deltas")
    assert deltas.height == of_orion(whole, "trace_pairs").height * 5


def test_the_rater_is_calibrated_with_faults(whole):
    checks = of_orion(whole, "rating_calibrations").drop_nulls("estimate")
    filler = checks.filter(pl.col("check") == "added_filler", pl.col("dimension") == "signal_to_noise")
    assert filler["n"].item() == 4
    assert filler["estimate"].item() < 0


def test_pairs_and_questions_without_add_up(whole):
    pairs = of_orion(whole, "preference_pairs")
    facts = whole.metadata("preference_pairs", Partition("orion"))
    without = facts["questions_without_pair"]
    for scheme in ("generator", "same_model"):
        for combination in ("c_i", "c_c", "i_i", "i_c"):
            cell = pairs.filter(pl.col("scheme") == scheme, pl.col("combination") == combination)
            n_without = sum(n for name, n in without.items() if name.startswith(f"{scheme} {combination} "))
            assert cell["question_id"].n_unique() + n_without == 24
    graded = of_orion(whole, "graded_trials").select("question_id", "role", "trial", "is_correct")
    for side, place in (("chosen", 0), ("rejected", 2)):
        on = ["question_id", f"{side}_role", f"{side}_trial"]
        named = graded.rename({"role": on[1], "trial": on[2]})
        joined = pairs.join(named, on=on, how="left")
        verdicts = joined["combination"].str.slice(place, 1) == "c"
        assert (joined["is_correct"] == verdicts).all()


def test_a_question_held_out_never_gets_out(whole):
    pairs = of_orion(whole, "preference_pairs")
    mine = pairs.filter(pl.col("question_id") == HELD_OUT)
    assert mine.height > 0
    assert set(mine["reason_left_out"]) == {"held_out"}
    matches = of_orion(whole, "held_out_matches").filter(pl.col("how") == "ids")
    assert matches.select("question_id", "held_out_id", "relation").rows() == [(HELD_OUT, HELD_OUT, "duplicate")]
    step = whole.step("preference_pairs", Partition("orion"))
    (check,) = step.recipe.checks_of("preference_pairs")
    assert check.is_blocking
    assert check.evaluate(step, pairs.lazy()).is_passed
    opened = pairs.with_columns(is_exported=pl.col("is_exported") | (pl.col("question_id") == HELD_OUT))
    outcome = check.evaluate(step, opened.lazy())
    assert not outcome.is_passed
    assert HELD_OUT in outcome.facts["first"]


def test_a_selection_has_its_control(whole):
    selections = of_orion(whole, "preference_selections")
    counts = dict(selections.group_by("selection").len().iter_rows())
    n_exported = of_orion(whole, "preference_pairs").filter("is_exported").height
    assert (counts["all"], counts["top_delta"], counts["random"]) == (n_exported, 3, 3)


def test_exports_hold_the_texts_of_the_pairs(whole, tmp_path):
    exports = list(export_preferences(whole.home, whole.study, "orion", tmp_path, "dpo"))
    assert [(each.selection, each.written.n_rows) for each in exports] == [("top_delta", 3), ("random", 3)]
    lines = (tmp_path / "top_delta" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    top = of_orion(whole, "preference_selections").filter(pl.col("selection") == "top_delta").sort("rank")
    first = (
        of_orion(whole, "preference_pairs")
        .filter(pl.col("preference_id") == top["preference_id"][0])
        .row(0, named=True)
    )
    trace = of_orion(whole, f"{first['chosen_role']}_traces").filter(
        pl.col("question_id") == first["question_id"], pl.col("trial") == first["chosen_trial"]
    )
    assert json.loads(lines[0])["chosen"] == [{"role": "assistant", "content": trace["response"].item()}]
    origins = pl.read_parquet(tmp_path / "top_delta" / "rows.parquet")["preference_ids"].explode()
    assert origins.to_list() == top["preference_id"].to_list()
    (kto,) = export_preferences(whole.home, whole.study, "orion", tmp_path, "kto", selection="all")
    labels = [json.loads(line)["label"] for line in (kto.folder / "train.jsonl").read_text("utf-8").splitlines()]
    assert set(labels) == {True, False}


def test_an_export_is_refused_unless_training_is_allowed(whole, tmp_path):
    refused = whole.study.model_copy(
        update={
            "benchmarks": {
                "worked-math": whole.study.benchmark("worked-math").model_copy(update={"training": "refused"})
            }
        }
    )
    with pytest.raises(PreferenceExportError, match="no longer allows training on worked-math, for which pairs"):
        list(export_preferences(whole.home, refused, "orion", tmp_path))
    with pytest.raises(PreferenceExportError, match="selection 'cluster'; allowed: all, random, top_delta"):
        list(export_preferences(whole.home, whole.study, "orion", tmp_path, selection="cluster"))
    with pytest.raises(PreferenceExportError, match="no family 'x'; allowed: orion"):
        list(export_preferences(whole.home, whole.study, "x", tmp_path))


def test_a_family_has_its_own_pairs_and_only_its_own_ratings(whole):
    pairs = whole.table("preference_pairs")
    assert set(pairs["family"]) == {"orion", "lyra"}
    # Only orion is rated, so that no pair of lyra has a delta, whatever questions they share.
    rated = pairs.drop_nulls("delta_signal_to_noise")
    assert set(rated["family"]) == {"orion"}
    counts = whole.table("preference_selections").group_by("family", "selection").len()
    assert dict(counts.filter(pl.col("family") == "lyra").select("selection", "len").iter_rows()).keys() == {"all"}
    own = whole.table("trace_pairs").select("family", "pair_id")
    reused = pairs.drop_nulls("pair_id").select("family", "pair_id")
    assert reused.join(own, on=["family", "pair_id"], how="anti").is_empty()


def test_a_question_held_out_after_the_draw_is_refused_at_the_export(whole, tmp_path):
    exported = of_orion(whole, "preference_pairs").filter("is_exported")["question_id"][0]
    preferences = whole.study.preferences.model_copy(update={"held_out": (HELD_OUT, exported)})
    later = whole.study.model_copy(update={"preferences": preferences})
    with pytest.raises(PreferenceExportError, match=f"question '{exported}' was held out after the pairs were drawn"):
        list(export_preferences(whole.home, later, "orion", tmp_path))


def test_leftovers_of_a_section_that_is_gone_are_not_read(whole, tmp_path):
    without = whole.study.model_copy(update={"ratings": None})
    step = whole.step("preference_pairs", Partition("orion"))
    assert step.load("trace_qualities").height > 0
    step.study = without
    assert step.load("trace_qualities").is_empty()
    assert step.read("trace_qualities").is_empty()


def test_the_report_shows_the_sections_that_are_asked_for(whole):
    assert whole.run(("study_report",)).failures == {}
    page = page_path(whole.home.reports, whole.name, "study_report").read_text(encoding="utf-8")
    shown = [f"{family}-{section}" for family in FAMILIES for section in ("compute", "ratings", "preferences")]
    assert [name for name in shown if f'id="{name}"' in page] == [name for name in shown if name != "lyra-ratings"]
    for section in ("compute", "ratings", "preferences"):
        assert (f'href="#orion-{section}"') in page


def test_a_second_run_asks_nothing(whole):
    outcome = whole.run()
    assert (outcome.n_runs, outcome.n_asked) == (0, 0)


def test_without_the_sections_none_of_it_exists(tmp_path):
    small = given_study(tmp_path / "home")
    assert not OPTIONAL & {table for recipe in recipes_of(small.study) for table in recipe.tables}
    defs = build_defs(small.home, [small.study]).get_repository_def()
    assert not OPTIONAL & {key.path[-1] for key in defs.asset_graph.get_all_asset_keys()}
    assert not OPTIONAL & {step for step, _ in small.status()}
    with pytest.raises(SelectionError, match="study given has no budget_curves: section compute is missing; add it"):
        small.run(("budget_curves",))


@pytest.mark.integration
def test_everything_refused_is_said_with_the_reason(tmp_path):
    small = given_study(tmp_path / "home", preferences={"accepts_unknown_finish": True, "max_tokens": None})
    assert small.run().failures == {}
    with pytest.raises(PreferenceExportError, match=r"may be exported \(training_refused 8\); to allow a benchmark"):
        list(export_preferences(small.home, small.study, "f", tmp_path))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("held_out", "content", "message"),
    [
        (
            "nowhere",
            None,
            "preferences.held_out: 'nowhere' is neither a question of the study (domains without questions yet: later)",
        ),
        (
            "out.jsonl",
            '{"text": "?"}',
            "out.jsonl, line 1, field 'question': missing or without a word; allowed: text of a question",
        ),
    ],
)
def test_what_is_held_out_must_exist(tmp_path, held_out, content, message):
    small = given_study(tmp_path / "home", preferences={"held_out": [held_out]})
    if content:
        (small.home.root / held_out).write_text(content)
    outcome = small.run()
    assert any(message in str(fault) for fault in outcome.failures.values())


@pytest.mark.integration
def test_a_file_of_questions_is_held_out(tmp_path):
    sections = {
        "preferences": {"held_out": ["out.jsonl"], "accepts_unknown_finish": True, "max_tokens": None},
        "benchmarks": {name: {"training": "allowed"} for name in ("additions", "doublings", "open")},
    }
    small = given_study(tmp_path / "home", **sections)
    text = "7  Boxes hold 4 pens each and 5 pens lie loose. How many pens are there?"  # question sums-0
    (small.home.root / "out.jsonl").write_text(json.dumps({"question": text}))
    assert small.run().failures == {}
    pairs = small.table("preference_pairs")
    assert set(pairs.filter(pl.col("question_id") == "sums-0")["reason_left_out"]) == {"near_duplicate"}
    assert pairs.filter("is_exported")["question_id"].n_unique() == 7
    exported = list(export_preferences(small.home, small.study, "f", tmp_path / "out", "sft"))
    assert exported[0].written.n_rows == 7

"""Dagster's asset selection, resolved on the tables and pages of a study."""

import pytest

from advcluster_dagster.assets.registry import RECIPES, recipe_of, tables_behind
from advcluster_dagster.planning.asset_selection import SelectionError, asset_names, select_assets

GRADING = {name for recipe in RECIPES.values() if recipe.group == "grading" for name in recipe.tables}


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        (["final_taxonomy"], {"final_taxonomy"}),
        (['"final_taxonomy"'], {"final_taxonomy"}),
        (["key:final_taxonomy"], {"final_taxonomy"}),
        (["first_errors, trace_pairs"], {"first_errors", "trace_pairs"}),
        (["first_errors", "trace_pairs"], {"first_errors", "trace_pairs"}),
        (["group:grading"], GRADING),
        (["group:grading and not graded_trials"], GRADING - {"graded_trials"}),
        (["group:grading AND (graded_trials OR first_errors)"], {"graded_trials"}),
        (["*_traces"], {"larger_traces", "smaller_traces"}),
        (["1+graded_trials"], {"benchmark_questions", "larger_traces", "smaller_traces", "graded_trials"}),
        (["*"], set(asset_names())),
        (["study_report+"], {"study_report"}),
    ],
)
def test_a_selection_is_resolved_on_plain_names(expressions, expected):
    assert set(select_assets(expressions)) == expected


def test_the_order_is_that_of_the_data_flow():
    assert select_assets(["trace_pairs,benchmark_questions"]) == ("benchmark_questions", "trace_pairs")


def test_plus_before_a_name_adds_everything_upstream():
    chosen = set(select_assets(["+final_taxonomy"]))
    assert {"benchmark_questions", "graded_trials", "analysis_question_set", "advantage_corpus"} <= chosen
    assert not {"study_report", "themes", "domain_distribution"} & chosen


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "--select has an empty part; name assets"),
        ("final_taxonomy,", "--select has an empty part"),
        ("fianl_taxonomy", "asset 'fianl_taxonomy' does not exist; did you mean final_taxonomy?"),
        ("+final_taxonmy or first_errors", "asset 'final_taxonmy' does not exist; did you mean final_taxonomy?"),
        ("group:gradin", "group 'gradin' does not exist; did you mean grading"),
        ("kind:spark", "kind 'spark' does not exist"),
        ("status:FAILED", "status: cannot be resolved for a study; use key, group, kind"),
        ("owner:me", "owner: cannot be resolved"),
        ("final_taxonomy or", "'final_taxonomy or' is not a valid asset selection"),
        ("(first_errors", "'(first_errors' is not a valid asset selection"),
        ("first_errors and trace_pairs", "'first_errors and trace_pairs' covers no asset"),
        ("zzz*", "'zzz*' covers no asset"),
    ],
)
def test_what_cannot_be_resolved_is_one_line(expression, message):
    with pytest.raises(SelectionError) as refused:
        select_assets([expression])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_step_stands_for_all_its_tables():
    tables = RECIPES["clustered_advantages"].tables
    assert set(select_assets(["clustered_advantages"])) == set(tables)
    upstream = set(select_assets(["+clustered_advantages"]))
    assert {*tables, "deduplicated_advantages", "graded_trials"} <= upstream <= set(tables_behind(*tables))


def test_a_table_that_no_step_makes_is_named():
    with pytest.raises(LookupError, match="no step makes other; list its step in STEPS"):
        recipe_of("other")

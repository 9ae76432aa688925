import polars as pl
import pytest

from advcluster_dagster.assets.stages import RECIPES
from advcluster_dagster.assets.taxonomy import FOLLOWS_INPUTS
from advcluster_dagster.partitions import Partition

DECLARED = {
    check.name: (table, check)
    for recipe in RECIPES.values()
    for table in recipe.tables
    for check in recipe.checks_of(table)
    if check.name != FOLLOWS_INPUTS  # true whenever a table was just made; the daemon's watch makes it false
}


def _failures_of_every_pair(step, rows):
    pairs = step.read_partition("trace_pairs")
    return pl.DataFrame({"pair_id": pairs["pair_id"], "reason": "invalid_reply", "detail": "no list", "raw_reply": ""})


def _with_failed_calls(step, rows):
    step.notes["call_failures"] = "1 of 2 calls failed: bad_request (1): no such field"
    return rows


#: Per check, rows of its table on which it must fail, made from rows on which it passes.
BROKEN = {
    "trials_complete": lambda _, rows: rows.head(-1),
    "ungraded_share": lambda _, rows: rows.with_columns(is_correct=pl.lit(None, dtype=pl.Boolean)),
    "no_answer_share": lambda _, rows: rows.with_columns(verdict=pl.lit("no_answer")),
    "truncated_share": lambda _, rows: rows.with_columns(verdict=pl.lit("truncated")),
    "calls_answered": _with_failed_calls,
    "style_rules": lambda _, rows: rows.with_columns(rule_violations=pl.lit(["quantity", "too_long"])),
    "failures_bounded": _failures_of_every_pair,
    "all_embedded": lambda _, rows: rows.head(-1),
    "duplicate_share": lambda _, rows: rows.with_columns(is_kept=pl.lit(False)),
    "no_dominant_cluster": lambda _, rows: rows.head(1),
    "all_named": lambda _, rows: rows.with_columns(tag=pl.lit(None, dtype=pl.String)),
    "covers_what_is_new": lambda _, rows: pl.DataFrame({"n_new": [9], "n_outside": [9]}),
    "mean_edi_bounded": lambda _, rows: rows.with_columns(mean_edi=pl.lit(1.1)),
}
#: Checks that hold rows against another table find it wanting when there are none.
FAIL_WITHOUT_ROWS = ("trials_complete", "all_embedded")


def _step_and_rows(small, name):
    table, check = DECLARED[name]
    recipe = next(recipe for recipe in RECIPES.values() if table in recipe.tables)
    step = small.step(table, Partition("f", "sums").at(recipe.level))
    columns = step.partition.columns
    return step, small.table(table).filter(*(pl.col(key) == value for key, value in columns.items())), check


def test_every_declared_check_has_a_case():
    assert BROKEN.keys() == DECLARED.keys()


@pytest.mark.parametrize("name", DECLARED)
def test_a_check_passes_on_good_rows_and_fails_on_broken_ones(given_once, name):
    step, rows, check = _step_and_rows(given_once, name)
    assert check.evaluate(step, rows.lazy()).is_passed
    outcome = check.evaluate(step, BROKEN[name](step, rows).lazy())
    assert not outcome.is_passed
    assert outcome.facts  # what is shown beside the verdict


@pytest.mark.parametrize("name", DECLARED)
def test_a_check_can_judge_a_table_without_rows(given_once, name):
    step, rows, check = _step_and_rows(given_once, name)
    assert check.evaluate(step, rows.clear().lazy()).is_passed == (name not in FAIL_WITHOUT_ROWS)


@pytest.mark.parametrize(
    ("name", "share", "is_passed"),
    [
        ("ungraded_share", 1, False),  # 1 of 12 trials of a role: 0.083 > 0.05
        ("no_answer_share", 2, True),  # 2 of 12: 0.167 <= 0.2
        ("no_answer_share", 3, False),  # 3 of 12: 0.25 > 0.2
        ("truncated_share", 2, True),
        ("truncated_share", 3, False),
    ],
)
def test_shares_are_taken_by_role(given_once, name, share, is_passed):
    step, rows, check = _step_and_rows(given_once, name)
    hit = pl.int_range(pl.len()).over("role").lt(share) & (pl.col("role") == "smaller")
    verdict = name.removesuffix("_share")
    changed = rows.with_columns(
        is_correct=pl.when(hit & (verdict == "ungraded")).then(None).otherwise("is_correct"),
        verdict=pl.when(hit).then(pl.lit(verdict)).otherwise("verdict"),
    )
    outcome = check.evaluate(step, changed.lazy())
    assert outcome.is_passed == is_passed
    assert outcome.facts["smaller"] == pytest.approx(share / 12)
    assert outcome.facts["larger"] == 0


def test_an_undefined_mean_index_is_no_fault(given_once):
    step, rows, check = _step_and_rows(given_once, "mean_edi_bounded")
    assert check.evaluate(step, rows.with_columns(mean_edi=pl.lit(None, dtype=pl.Float64)).lazy()).is_passed

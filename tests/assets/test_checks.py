import polars as pl
import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.models.protocol import CallFailure
from advcluster_dagster.study.analysis import Pin
from advcluster_dagster.study.partition import Partition
from tests.studies import USUAL_TABLES

DECLARED = {
    check.name: (table, check)
    for recipe in RECIPES.values()
    for table in recipe.tables
    if table in USUAL_TABLES  # others: test_put_to_use.py
    for check in recipe.checks_of(table)
}


def _failures_of_every_pair(step, rows):
    pairs = step.read_partition("trace_pairs")
    return pl.DataFrame({"pair_id": pairs["pair_id"], "reason": "invalid_reply", "detail": "no list", "raw_reply": ""})


def _with_failed_calls(step, rows):
    step.models._count_failures([CallFailure("bad_request", "no such field"), None])
    return rows


def _with_failed_replies(step, rows):
    step.models._count_failures([CallFailure("timeout", "")] * 2 + [None])
    return rows


def _with_recorded_verdicts(step, rows):
    """Traces whose own verdicts are the opposite of every verdict of the rows, none of which is correct."""
    wrong = rows.with_columns(is_correct=pl.lit(False))
    step.scan_partition = lambda table: (
        pl.LazyFrame({"question_id": rows["question_id"], "answer": "12"}).unique()
        if table == "benchmark_questions"
        else wrong.lazy().filter(role=table.removesuffix("_traces")).with_columns(recorded_correct=pl.lit(True))
    )
    return wrong


def _with_one_trial(step, rows):
    step.study = step.study.model_copy(update={"trials": 1})
    return rows


def _with_no_review(step, rows):
    reviews = step.read_partition("candidate_reviews")
    step.scan_partition = lambda _: reviews.with_columns(total=pl.lit(None, dtype=pl.Int64)).lazy()
    return rows


def _of_one_vector(_, rows):
    return rows.with_columns(embedding=pl.lit(rows["embedding"][0].to_list(), dtype=rows.schema["embedding"]))


def _with_a_zero_vector(_, rows):
    embeddings = [[0.0] * len(rows["embedding"][0]), *rows["embedding"][1:].to_list()]
    return rows.with_columns(embedding=pl.Series(embeddings, dtype=rows.schema["embedding"]))


def _with_a_bound_of_the_mean(step, rows):
    step.study = step.study.model_copy(update={"checks": step.study.checks.model_copy(update={"max_mean_edi": 0.4})})
    return rows.with_columns(mean_edi=pl.lit(1.1))


#: Per check, rows of its table on which it must fail, made from rows on which it passes.
BROKEN = {
    "trials_complete": lambda _, rows: rows.head(-1),
    "ungraded_share": lambda _, rows: rows.with_columns(is_correct=pl.lit(None, dtype=pl.Boolean)),
    "no_answer_share": lambda _, rows: rows.with_columns(verdict=pl.lit("no_answer")),
    "no_answer_share_by_benchmark": lambda _, rows: rows.with_columns(verdict=pl.lit("no_answer")),
    "contradiction_share": _with_recorded_verdicts,
    "contradiction_share_by_benchmark": _with_recorded_verdicts,
    "several_trials": _with_one_trial,
    "vectors_differ": _of_one_vector,
    "no_zero_vectors": _with_a_zero_vector,
    "chosen_by_reviews": _with_no_review,
    "truncated_share": lambda _, rows: rows.with_columns(verdict=pl.lit("truncated")),
    "calls_answered": _with_failed_calls,
    "judge_usable": _with_failed_replies,  # 2 of 3: 0.67 > 0.5
    "style_rules": lambda _, rows: rows.with_columns(rule_violations=pl.lit(["quantity", "too_long"])),
    "failures_bounded": _failures_of_every_pair,
    "all_embedded": lambda _, rows: rows.head(-1),
    "duplicate_share": lambda _, rows: rows.with_columns(is_kept=pl.lit(False)),
    "no_dominant_cluster": lambda _, rows: rows.head(1),
    "all_named": lambda _, rows: rows.with_columns(tag=pl.lit(None, dtype=pl.String)),
    "covers_what_is_new": lambda _, rows: pl.DataFrame({"n_new": [9], "n_outside": [9]}),
    "mean_edi_bounded": _with_a_bound_of_the_mean,
    "evidence_found": lambda _, rows: rows.with_columns(is_supported=pl.lit(False)),
    "tags_unique": lambda _, rows: rows.with_columns(tag=pl.lit("Tracking State")),
    "dispersion_below_null": lambda _, rows: rows.with_columns(p_value=pl.lit(1.1)),
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


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("all_zero", lambda vectors: [[0.0] * len(vectors[0])] * len(vectors)),
        ("all_equal", lambda vectors: [vectors[0]] * len(vectors)),
        ("all_equal_up_to_rounding", lambda vectors: [[x + 1e-9 * n for x in vectors[0]] for n in range(len(vectors))]),
        ("one_of_two_zero", lambda vectors: [[0.0] * len(vectors[0]), *vectors[1:]]),
    ],
)
def test_vectors_that_say_nothing_are_told_from_those_of_equal_texts(given_once, name, change):
    step, rows, check = _step_and_rows(given_once, "vectors_differ")
    changed = rows.with_columns(embedding=pl.Series(change(rows["embedding"].to_list()), dtype=pl.List(pl.Float32)))
    outcome = check.evaluate(step, changed.lazy())
    assert outcome.is_passed == (name == "one_of_two_zero")
    said = {"all_zero": "zero", "one_of_two_zero": None}.get(name, "equal")
    assert outcome.facts.get("measured") == (f"all {rows.height} vectors are {said}" if said else None)
    # One text, or the same words in another order or case, may well have one vector; but not a zero one.
    corpus = step.read_partition("advantage_corpus").with_row_index()
    texts = pl.when(pl.col("index") % 2 == 0).then(pl.lit("Adds, then checks.")).otherwise(pl.lit("checks then ADDS"))
    step.scan_partition = lambda _: corpus.with_columns(advantage=texts).lazy()
    assert check.evaluate(step, changed.lazy()).is_passed == (name != "all_zero")


def test_a_candidate_chosen_by_hand_needs_no_review(given_once):
    step, rows, check = _step_and_rows(given_once, "chosen_by_reviews")
    _with_no_review(step, rows)
    pins = {"f": Pin(pca_dim=2, n_clusters=2, reason="by hand")}
    clustering = step.study.clustering.model_copy(update={"pins": pins})
    step.study = step.study.model_copy(update={"clustering": clustering})
    assert check.evaluate(step, rows.lazy()).is_passed


def test_a_bound_that_the_study_sets_is_shown_beside_its_default(given_once):
    step, rows, check = _step_and_rows(given_once, "dispersion_below_null")
    facts = check.evaluate(step, rows.lazy()).facts
    assert (facts["bound"], facts["default_bound"]) == (1.0, 0.05)
    step, rows, check = _step_and_rows(given_once, "no_answer_share")
    assert "default_bound" not in check.evaluate(step, rows.lazy()).facts

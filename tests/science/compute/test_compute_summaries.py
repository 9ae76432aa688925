"""Summaries of accuracy, length and cost, by hand."""

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.contracts.compute import COMPUTE_SUMMARIES
from advcluster_dagster.science.compute.compute_summaries import compute_summaries

SCHEMA = {
    "domain": pl.String,
    "benchmark": pl.String,
    "task_format": pl.String,
    "source_key": pl.String,
    "question_id": pl.String,
    "role": pl.String,
    "trial": pl.Int64,
    "completion_tokens": pl.Int64,
    "is_correct": pl.Boolean,
    "is_truncated": pl.Boolean,
}
OPEN, CHOICE = "open_ended", "multiple_choice"


def trials(question, role, *outcomes, domain="d", benchmark="b", task_format=OPEN):
    """Rows of one question; outcomes are (completion tokens, is_correct) or, with a third, is_truncated."""
    return [
        (domain, benchmark, task_format, question, question, role, trial, tokens, right, bool(cut))
        for trial, (tokens, right, *cut) in enumerate(outcomes)
    ]


def frame(*groups):
    rows = [row for group in groups for row in group]
    table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    tokens = pl.col("completion_tokens").cast(pl.Float64)
    return table.with_columns(flops=tokens * 10, cost=pl.lit(None, dtype=pl.Float64))


def summaries(table, seed=0):
    result = compute_summaries(table, 0.95, 200, np.random.default_rng(seed))
    COMPUTE_SUMMARIES.check(COMPUTE_SUMMARIES.conform(result.lazy(), {"family": "f"}))
    return result


def row(table, role, domain="all", benchmark="all", task_format="all"):
    match = {"domain": domain, "benchmark": benchmark, "task_format": task_format, "role": role}
    return table.row(by_predicate=pl.all_horizontal(pl.col(k) == v for k, v in match.items()), named=True)


TWO_QUESTIONS = (
    trials("q1", "larger", (100, True), (400, False), (800, False, True), (100, True)),
    trials("q1", "smaller", (50, True), (50, False)),
    trials("q2", "larger", (300, True), (500, True)),
    trials("q2", "smaller", (100, False), (None, False)),
)


def test_two_questions_by_hand():
    table = summaries(frame(*TWO_QUESTIONS))
    larger, smaller = row(table, "larger"), row(table, "smaller")
    # q1: two of four right; without the truncated trial two of three, with it as right three of four. q2: all right.
    assert larger["accuracy"] == (0.5 + 1) / 2
    assert larger["accuracy_truncated_dropped"] == pytest.approx((2 / 3 + 1) / 2)
    assert larger["accuracy_truncated_right"] == (0.75 + 1) / 2
    assert larger["truncated_share"] == (0.25 + 0) / 2
    # Mean per question 350 and 400; over all right trials (100 + 100 + 300 + 500) / 4, over wrong (400 + 800) / 2.
    assert (larger["tokens_mean"], larger["tokens_correct"], larger["tokens_wrong"]) == (375, 250, 600)
    assert larger["flops_mean"] == 3750
    assert larger["cost_mean"] is None
    # The smaller model's means are 50 and 100.
    assert larger["token_factor"] == smaller["token_factor"] == 375 / 75
    assert larger["gain"] == smaller["gain"] == 0.75 - 0.25
    assert (smaller["n_trials"], smaller["n_scored"], smaller["n_without_tokens"]) == (4, 4, 1)
    # Only q1 has both outcomes: larger log2 of (400 * 800)^.5 / 100, without the truncated trial 400 / 100; smaller 0.
    assert larger["length_effect"] == pytest.approx(2.5)
    assert larger["length_effect_finished"] == pytest.approx(2.0)
    assert (smaller["length_effect"], smaller["n_length_questions"]) == (0.0, 1)
    assert (larger["length_effect_low"], larger["length_effect_high"]) == (None, None)  # one key


def test_the_result_is_independent_of_row_order():
    table = frame(*TWO_QUESTIONS)
    assert summaries(table).equals(summaries(table.sample(fraction=1, shuffle=True, seed=4)))


def test_means_are_over_questions_then_benchmarks_then_domains():
    groups = []
    for question, domain, benchmark, is_right, tokens in (
        ("q1", "x", "a", True, 100),
        ("q2", "x", "a", True, 100),
        ("q3", "x", "a", False, 100),
        ("q4", "x", "b", False, 900),
        ("q5", "y", "c", True, 300),
    ):
        kind = CHOICE if benchmark == "b" else OPEN
        for role in ("larger", "smaller"):
            groups.append(
                trials(question, role, (tokens, is_right), domain=domain, benchmark=benchmark, task_format=kind)
            )
    table = summaries(frame(*groups))
    # Benchmarks a 2/3, b 0, c 1; domains x 1/3, y 1.
    assert row(table, "larger", "x", "a")["accuracy"] == pytest.approx(2 / 3)
    assert row(table, "larger", "x")["accuracy"] == pytest.approx(1 / 3)
    assert row(table, "larger")["accuracy"] == pytest.approx(2 / 3)
    assert row(table, "larger")["tokens_mean"] == pytest.approx(((100 + 900) / 2 + 300) / 2)
    assert row(table, "larger", task_format=OPEN)["accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert row(table, "larger", "x", "b", CHOICE)["n_questions"] == 1
    assert table.filter(pl.col("benchmark") == "b", pl.col("task_format") == OPEN).is_empty()
    assert table["length_effect"].null_count() == table.height  # one trial a question


def test_questions_of_one_model_are_counted_and_ignored():
    lost = trials("q3", "larger", (10, True)), trials("q4", "larger", (10, True)), trials("q4", "smaller", (10, None))
    table = summaries(frame(*TWO_QUESTIONS, *lost))
    assert (row(table, "larger")["n_questions"], row(table, "larger")["n_unpaired"]) == (2, 2)
    assert row(table, "larger")["accuracy"] == 0.75
    alone = summaries(frame(*lost))
    assert row(alone, "smaller")["n_unpaired"] == 2
    assert row(alone, "smaller")["accuracy"] is None


def test_a_benchmark_without_token_counts_makes_higher_means_null():
    unknown = trials("q3", "larger", (None, True), benchmark="c"), trials("q3", "smaller", (9, True), benchmark="c")
    table = summaries(frame(*TWO_QUESTIONS, *unknown))
    assert row(table, "larger")["tokens_mean"] is None
    assert row(table, "larger")["token_factor"] is None
    assert row(table, "larger", "d", "b")["token_factor"] == 5
    assert row(table, "smaller")["tokens_mean"] == (75 + 9) / 2
    assert row(table, "larger")["accuracy"] == (0.75 + 1) / 2


def test_the_token_factor_is_over_questions_with_counts_of_both():
    partly = trials("q3", "larger", (None, True)), trials("q3", "smaller", (9000, True))
    table = summaries(frame(*TWO_QUESTIONS, *partly))
    assert row(table, "larger")["token_factor"] == 375 / 75
    assert row(table, "smaller")["tokens_mean"] == (50 + 100 + 9000) / 3


def test_truncated_trials_alone_have_bounds_of_zero_and_one():
    cut = [trials("q", role, (9, False, True), (9, False, True)) for role in ("larger", "smaller")]
    only = row(summaries(frame(*cut)), "larger")
    bounds = [only[name] for name in ("accuracy", "accuracy_truncated_dropped", "accuracy_truncated_right")]
    assert bounds == [0.0, None, 1.0]
    assert only["truncated_share"] == 1.0


def test_equal_models_have_zero_gain_and_no_trials_no_rows():
    same = [trials(f"q{i}", role, (64, True), (128, False)) for i in range(6) for role in ("larger", "smaller")]
    only = row(summaries(frame(*same)), "larger")
    assert (only["gain"], only["token_factor"]) == (0.0, 1.0)
    effect = [only[name] for name in ("length_effect", "length_effect_low", "length_effect_high")]
    assert effect == pytest.approx([1.0, 1.0, 1.0])
    assert summaries(frame()).is_empty()

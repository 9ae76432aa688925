"""Budget curves and matches, by hand; votes are compared with the table of majority votes."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.compute import BUDGET_CURVES, BUDGET_MATCHES
from advcluster_dagster.science.compute.budget_curves import budget_curves
from advcluster_dagster.science.compute.budget_matches import budget_matches
from advcluster_dagster.science.compute.flops import decode_flops, prefill_flops
from advcluster_dagster.science.compute.model_shapes import ModelShape
from advcluster_dagster.science.question_set.answer_counts import answer_counts
from advcluster_dagster.science.question_set.repeated_sampling import majority_votes, pass_at_k_rates

SHAPE = ModelShape(vocabulary=10, width=4, feed_forward=8, heads=2, layers=1)
SHAPES, PRICES = {"larger": SHAPE, "smaller": SHAPE}, {"larger": (1.0, 2.0), "smaller": (1.0, 2.0)}
SCHEMA = {
    "domain": pl.String,
    "benchmark": pl.String,
    "question_id": pl.String,
    "source_key": pl.String,
    "role": pl.String,
    "trial": pl.Int64,
    "answer_type": pl.String,
    "prediction": pl.String,
    "verdict": pl.String,
    "is_correct": pl.Boolean,
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
}


def trials(question, role, *outcomes, domain="d", benchmark="b"):
    """Rows of one question; outcomes are (answer, completion tokens): "7" is right, None no answer, "?" unscored."""
    rows = []
    for trial, (answer, tokens) in enumerate(outcomes):
        right = None if answer == "?" else answer == "7"
        verdict = (
            "grader_error" if right is None else "no_answer" if answer is None else "correct" if right else "wrong"
        )
        rows.append((domain, benchmark, question, question, role, trial, "numeric", answer, verdict, right, 3, tokens))
    return rows


def frame(*groups):
    return pl.DataFrame([row for group in groups for row in group], schema=SCHEMA, orient="row")


def curves(table, shapes=SHAPES, prices=PRICES, sizes=(1, 2, 3)):
    result = budget_curves(table, shapes, prices, sizes, 0.95, 0)
    BUDGET_CURVES.check(BUDGET_CURVES.conform(result.lazy(), {"family": "f"}))
    return result


def rows_of(table, role, strategy, domain="d"):
    return table.filter(pl.col("domain") == domain, pl.col("role") == role, pl.col("strategy") == strategy)


TWO_QUESTIONS = (
    trials("q1", "larger", ("7", 10), ("7", 20), ("7", 30)),
    trials("q1", "smaller", ("7", 2), ("7", 4), ("8", 6)),
    trials("q2", "larger", ("7", 40), ("7", 40), ("9", 40)),
    trials("q2", "smaller", ("7", 8), ("8", 8), ("8.0", 8)),
)


def test_samples_by_hand():
    table = curves(frame(*TWO_QUESTIONS))
    assert rows_of(table, "smaller", "single")["accuracy"].to_list() == pytest.approx([(2 / 3 + 1 / 3) / 2])
    # pass@2: q1 always, q2 in two of three pairs; pass@3: both.
    assert rows_of(table, "smaller", "pass_at_k")["accuracy"].to_list() == pytest.approx([(1 + 2 / 3) / 2, 1.0])
    # Votes of two: q1 7-7 right, twice a tie: (1 + .5 + .5) / 3; q2 twice a tie, 8-8 wrong: 1/3. Of three: q1 alone.
    assert rows_of(table, "smaller", "majority")["accuracy"].to_list() == pytest.approx([(2 / 3 + 1 / 3) / 2, 0.5])
    # Mean lengths 4 and 8.
    assert rows_of(table, "smaller", "majority")["tokens"].to_list() == [12, 18]


def test_samples_read_their_prompt_once_but_pay_for_it_each_time():
    table = rows_of(curves(frame(*TWO_QUESTIONS)), "larger", "pass_at_k").row(1, named=True)
    reading = float(prefill_flops(SHAPE, 3))
    writing = (
        decode_flops(SHAPE, 3, np.array([10, 20, 30])).sum() + decode_flops(SHAPE, 3, np.array([40] * 3)).sum()
    ) / 2
    assert table["flops"] == pytest.approx(reading + writing)
    # Three calls: 3 * 3 tokens at 1 dollar, and 60 or 120 tokens at 2 dollars a million.
    assert table["cost"] == pytest.approx((9 + 2 * 90) / 1e6)


def test_limits_by_hand():
    table = rows_of(curves(frame(*TWO_QUESTIONS)), "smaller", "early_stop")
    # Lengths 2 4 6 8 8 8: percentiles 2, 4, 6, 8 and 8; the last two are one row.
    assert table["token_limit"].to_list() == [2, 4, 6, 8]
    assert table["length_percentile"].to_list() == [0, 25, 50, 100]
    assert table["accuracy"].to_list() == pytest.approx([1 / 6, 1 / 3, 1 / 3, 1 / 2])
    assert table["tokens"].to_list() == pytest.approx([2, (10 / 3 + 4) / 2, (4 + 6) / 2, (4 + 8) / 2])
    whole, single = table.row(-1, named=True), rows_of(curves(frame(*TWO_QUESTIONS)), "smaller", "single")
    assert [whole[name] for name in ("accuracy", "flops", "tokens", "cost")] == list(
        single.select("accuracy", "flops", "tokens", "cost").row(0)
    )


def test_fronts_by_hand():
    table = curves(frame(*TWO_QUESTIONS), sizes=(3,))
    front = table.filter("is_efficient_unaided_tokens", pl.col("domain") == "d")
    points = front.sort("tokens").select("role", "strategy", "tokens", "accuracy").rows()
    # The smaller model's limits and single trial reach 1/2 for 6 tokens; its vote for 18 tokens gives no more; then the
    # larger model: 5/6 for 30 tokens, and 1 for three times as many.
    cheap = [point for point in points if point[0] == "smaller"]
    assert [point[1] for point in cheap] == ["early_stop", "early_stop", "single", "early_stop"]
    dear = [
        (strategy, tokens, pytest.approx(accuracy)) for role, strategy, tokens, accuracy in points if role == "larger"
    ]
    assert dear == [("single", 30, 5 / 6), ("early_stop", 30, 5 / 6), ("majority", 90, 1.0)]
    # With a checker the smaller model's three samples, 18 tokens, are always right: no costlier point is efficient.
    checked = table.filter("is_efficient_tokens", pl.col("domain") == "d")
    assert checked["tokens"].max() == 18
    assert table.filter(pl.col("strategy") == "pass_at_k")["is_efficient_unaided"].null_count() == 4


def test_without_a_shape_or_a_price_there_are_tokens():
    table = curves(frame(*TWO_QUESTIONS), shapes={"smaller": SHAPE}, prices={"larger": None})
    assert (
        table.filter(pl.col("role") == "larger")["flops"].null_count()
        == table.filter(pl.col("role") == "larger").height
    )
    assert table["cost"].null_count() == table.height
    assert table["is_efficient"].null_count() == table.height
    assert table["is_efficient_tokens"].null_count() == 0


def test_trials_without_token_counts_are_ignored_for_limits_only():
    unknown = trials("q1", "larger", ("7", 10)), trials("q1", "smaller", ("7", None), ("8", 4))
    table = curves(frame(*unknown), sizes=(1,))
    assert rows_of(table, "smaller", "single").select("accuracy", "tokens", "n_without_tokens").row(0) == (0.5, 4, 1)
    assert rows_of(table, "smaller", "early_stop").select("accuracy", "tokens").row(0) == (0.0, 4)
    nowhere = trials("q1", "larger", ("7", None)), trials("q1", "smaller", ("7", None))
    table = curves(frame(*nowhere))
    assert table["strategy"].unique().to_list() == ["single"]
    assert table["is_efficient_tokens"].to_list() == [None] * 4


def test_unscored_trials_and_questions_of_one_model_are_ignored():
    more = trials("q3", "larger", ("7", 9)), trials("q4", "larger", ("?", 9)), trials("q4", "smaller", ("7", 9))
    assert curves(frame(*TWO_QUESTIONS, *more)).equals(curves(frame(*TWO_QUESTIONS)))
    assert curves(frame()).is_empty()
    assert curves(frame(*more)).is_empty()


def test_the_row_order_of_the_input_does_not_matter():
    table = frame(
        *TWO_QUESTIONS, trials("q5", "larger", ("7", 9), domain="e"), trials("q5", "smaller", ("8", 9), domain="e")
    )
    result = curves(table)
    assert result.equals(curves(table.sample(fraction=1, shuffle=True, seed=2)))
    assert result["domain"].unique(maintain_order=True).to_list() == ["d", "e", "all"]
    # Domains with 5/6 and 1 for the larger model have equal weight.
    assert rows_of(result, "larger", "single", "all")["accuracy"].to_list() == pytest.approx([(5 / 6 + 1) / 2])


answers = st.sampled_from(["7", "8", "8.0", " 8", "1/2", "0.5", "none", None])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.tuples(answers, st.just(5)), min_size=1, max_size=5), min_size=1, max_size=6))
def test_samples_agree_with_the_tables_of_one_benchmark(questions):
    groups = [
        trials(f"q{i}", role, *outcomes) for i, outcomes in enumerate(questions) for role in ("larger", "smaller")
    ]
    table, sizes = frame(*groups), [1, 2, 3]
    result = curves(table, sizes=sizes)
    for strategy, expected in (
        ("majority", majority_votes(table, sizes, 0.95, 0)),
        ("pass_at_k", pass_at_k_rates(table, sizes, 0.95)),
    ):
        reference = expected.filter(pl.col("role") == "smaller", pl.col("k") > 1, pl.col("n_questions") > 0).sort("k")
        rows = rows_of(result, "smaller", strategy)
        assert rows["n_questions"].to_list() == reference["n_questions"].to_list()
        for name, other in (("accuracy", "mean"), ("low", "low"), ("high", "high")):
            assert rows[name].to_list() == [None if v is None else pytest.approx(v) for v in reference[other]]


def test_answers_are_counted_by_value():
    table = answer_counts(frame(trials("q", "larger", ("7", 1), ("8", 1), ("8.0", 1), (None, 1), ("9", 1), ("?", 1))))
    assert table.row(0) == ("q", "larger", 1, [2, 1], 1)
    assert answer_counts(frame()).is_empty()


def matches(table, **options):
    result = budget_matches(curves(table, **options))
    BUDGET_MATCHES.check(BUDGET_MATCHES.conform(result.lazy(), {"family": "f"}))
    return result.filter(pl.col("domain") == "d")


def test_matches_by_hand():
    # Larger: 5 of 6 questions right. Smaller: 2 of 3 right on five, none on the sixth: 5/9 once; of three votes 5/6.
    groups = []
    for i in range(6):
        groups.append(trials(f"q{i}", "larger", *[("7" if i else "8", 10)] * 3))
        groups.append(trials(f"q{i}", "smaller", *([("7", 4), ("7", 4), ("8", 4)] if i else [("8", 4)] * 3)))
    by_strategy = {row["strategy"]: row for row in matches(frame(*groups)).iter_rows(named=True)}
    # The lower bound of the t interval of six keys is 5/6 - 2.57 * .167 = .405, which one trial, 5/9, reaches.
    vote = by_strategy["majority"]
    assert (vote["larger_low"], vote["larger_high"]) == (pytest.approx(0.405, abs=1e-3), 1.0)
    assert (vote["outcome"], vote["k"], vote["largest_k"]) == ("reached", 1, 3)
    assert vote["smaller_accuracy"] == pytest.approx(5 / 9)
    assert vote["tokens_ratio"] == 4 / 10
    assert vote["cost_ratio"] == pytest.approx((3 + 8) / (3 + 20))


def test_a_larger_model_that_is_always_right_is_reached_by_samples_or_not_at_all():
    groups = []
    for i in range(6):
        groups.append(trials(f"q{i}", "larger", *[("7", 10)] * 3))
        groups.append(trials(f"q{i}", "smaller", ("7", 4), ("8", 4), ("9", 4)))
    rows = matches(frame(*groups), prices={"larger": (0.0, 0.0), "smaller": (0.0, 0.0)})
    vote, best = rows.row(0, named=True), rows.row(1, named=True)
    assert (vote["outcome"], vote["k"], vote["flops_ratio"]) == ("not_reached", None, None)
    assert (best["outcome"], best["k"], best["tokens_ratio"], best["cost_ratio"]) == (
        "reached",
        3,
        pytest.approx(1.2),
        None,
    )


def test_one_key_has_no_interval_to_reach():
    rows = matches(frame(trials("q", "larger", ("7", 1)), trials("q", "smaller", ("7", 1))))
    assert rows["outcome"].to_list() == ["no_interval", "no_interval"]
    assert rows["k"].to_list() == [None, None]
    assert budget_matches(BUDGET_CURVES.empty().drop("family")).is_empty()

"""Gap posteriors on simulated pass rates: estimated against true gaps of the selected questions."""

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.science.question_set.gap_posteriors import fit_joint_prior, joint_posteriors
from advcluster_dagster.science.question_set.question_statistics import (
    GapRule,
    gap_tests,
    priors_of,
    question_statistics,
    selection_reliabilities,
)

TRIALS = 10
RULE = GapRule(0.6, TRIALS)


def pass_rates(counts, benchmark="b", domain="d"):
    """Rows of pass_rate_table from (x_L, n_L, x_S, n_S)."""
    rows = [
        (f"{benchmark}-{i}", benchmark, domain, x, n, y, m, x / n - y / m if n and m else None)
        for i, (x, n, y, m) in enumerate(counts)
    ]
    names = ("question_id", "benchmark", "domain", "larger_n_correct", "larger_n_scored", "smaller_n_correct",
             "smaller_n_scored", "pass_rate_gap")  # fmt: skip
    return pl.DataFrame(rows, schema=list(names), orient="row", infer_schema_length=None)


def measured(frame, rule=RULE):
    keys = frame.select("question_id", source_key="question_id")
    return question_statistics(frame, keys, rule).with_columns(frame["domain"])


def beta_rates(rng, n):
    """Correlated pass rates of two models."""
    difficulty = rng.beta(1, 1, n)
    return np.clip(difficulty + rng.normal(0.3, 0.3, n), 0, 1), np.clip(difficulty, 0, 1)


def mixture_rates(rng, n):
    """Mostly equal, 8 % with an advantage."""
    base = rng.beta(0.6, 0.6, n)
    larger, smaller = base.copy(), base.copy()
    special = rng.random(n) < 0.08
    larger[special], smaller[special] = 0.9, 0.15
    return larger, smaller


def equal_rates(rng, n):
    base = rng.beta(0.8, 0.8, n)
    return base, base


def kept_errors(make, n, n_runs):
    """(estimated - true, observed - true) mean gap of the selected questions, per run with enough of them."""
    errors = []
    for seed in range(n_runs):
        rng = np.random.default_rng(seed)
        larger, smaller = make(rng, n)
        x, y = rng.binomial(TRIALS, larger), rng.binomial(TRIALS, smaller)
        counts = np.stack([x, np.full(n, TRIALS), y, np.full(n, TRIALS)], axis=1)
        kept = x - y >= 6
        if kept.sum() >= (20 if make is not equal_rates else 1):
            posteriors = joint_posteriors(counts, fit_joint_prior(counts), 0.6, 0.95)
            truth = (larger - smaller)[kept].mean()
            errors.append((posteriors.mean[kept].mean() - truth, ((x - y) / TRIALS)[kept].mean() - truth))
    return np.array(errors)


@pytest.mark.parametrize("make", [beta_rates, mixture_rates])
def test_the_estimated_gap_of_selected_questions_is_nearly_unbiased(make):
    errors = kept_errors(make, 300, 40)
    assert len(errors) > 10
    assert abs(errors[:, 0].mean()) <= 0.03
    assert errors[:, 1].mean() > 0.03  # the observed gap is not


def test_without_a_true_gap_the_estimate_is_far_below_the_observed_gap():
    errors = kept_errors(equal_rates, 300, 40)
    assert abs(errors[:, 0].mean()) <= errors[:, 1].mean() / 3


def test_coverage_of_the_interval():
    rng = np.random.default_rng(1)
    larger, smaller = beta_rates(rng, 1500)
    counts = np.stack(
        [rng.binomial(10, larger), np.full(1500, 10), rng.binomial(10, smaller), np.full(1500, 10)], axis=1
    )
    posteriors = joint_posteriors(counts, fit_joint_prior(counts), 0.6, 0.95)
    covered = (posteriors.low <= larger - smaller) & (larger - smaller <= posteriors.high)
    assert covered.mean() >= 0.9


def test_mass_exactly_at_the_threshold_counts_half():
    prior = np.zeros(441)
    prior[20 * 21 + 8] = 1.0  # p_L = 1, p_S = .4: a gap of exactly .6
    posteriors = joint_posteriors(np.array([[10, 10, 4, 10]]), prior, 0.6, 0.95)
    assert posteriors.reached[0] == pytest.approx(0.5)
    assert posteriors.half_reached[0] == pytest.approx(1.0)
    assert (posteriors.mean[0], posteriors.low[0], posteriors.high[0]) == pytest.approx((0.6, 0.575, 0.625))


def test_the_prior_is_estimated_if_there_are_enough_questions():
    many = pass_rates([(8, 10, 2, 10)] * 100, "many")
    few = pass_rates([(8, 10, 2, 10)] * 5, "few")
    assert priors_of(pl.concat([many, few]), RULE) == {"many": "benchmark", "few": "domain"}
    assert priors_of(few, RULE) == {"few": "jeffreys"}
    assert priors_of(few, GapRule(0.6, 10, prior="empirical")) == {"few": "domain"}
    assert priors_of(many, GapRule(0.6, 10, prior="jeffreys")) == {"many": "jeffreys"}


def test_statistics_of_single_questions():
    rows = measured(pass_rates([(3, 10, 0, 10), (8, 10, 2, 10), (0, 0, 5, 10)]))
    assert rows["is_selected"].to_list() == [False, True, False]
    assert rows["larger_variation"].to_list() == [pytest.approx(1.527525, abs=1e-6), pytest.approx(0.5), None]
    assert rows["smaller_variation"][0] is None
    assert rows["p_value"][1] == pytest.approx(0.005909, abs=1e-6)
    assert rows.row(2, named=True)["gap_mean"] is None


def test_no_questions_give_an_empty_table():
    empty = pass_rates([])
    schema = {name: pl.Int64 for name in empty.columns if name.endswith(("correct", "scored"))}
    frame = empty.cast({**schema, "question_id": pl.String, "benchmark": pl.String, "domain": pl.String,
                        "pass_rate_gap": pl.Float64})  # fmt: skip
    rows = measured(frame)
    assert rows.is_empty()
    tests = gap_tests(rows, frame.select("domain", "question_id"), 0.05)
    assert tests.is_empty()
    assert selection_reliabilities(rows, frame, tests, TRIALS).is_empty()


def test_discoveries_are_adjusted_over_all_complete_questions():
    frame = pass_rates([(10, 10, 0, 10)] + [(5, 10, 5, 10)] * 40 + [(9, 9, 0, 10)])
    rows = measured(frame)
    complete = frame.filter(pl.col("larger_n_scored") == 10).select("domain", "question_id")
    tests = gap_tests(rows, complete, 0.05)
    assert tests.height == 41  # the incomplete question is not tested
    assert tests.filter("is_discovery")["question_id"].to_list() == ["b-0"]
    reliable = selection_reliabilities(rows, frame, tests, TRIALS)
    assert reliable["domain"].to_list() == ["d", "all"]
    row = reliable.row(1, named=True)
    assert (row["n_pool"], row["n_kept"], row["n_discoveries"]) == (41, 1, 1)
    assert row["observed_gap"] == 1.0
    assert row["estimated_gap"] < 1.0


def test_without_a_true_gap_discoveries_are_rare():
    n_with = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rates = rng.beta(0.8, 0.8, 60)
        frame = pass_rates(
            [(int(x), 10, int(y), 10) for x, y in zip(rng.binomial(10, rates), rng.binomial(10, rates), strict=True)]
        )
        tests = gap_tests(
            measured(frame, GapRule(0.6, 10, prior="empirical")), frame.select("domain", "question_id"), 0.05
        )
        n_with += bool(tests["is_discovery"].any())
    assert n_with <= 0.09 * 60


def test_two_trials_can_never_discover_anything():
    rows = measured(pass_rates([(2, 2, 0, 2)] * 30), GapRule(0.6, 2))
    assert rows["p_value"].min() == pytest.approx(0.0625)

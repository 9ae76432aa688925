"""Paired accuracies: hand-computed standard errors, an independent oracle, coverage of the interval."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from advcluster_dagster.science.question_set.paired_accuracies import (
    is_gap_shown,
    paired_accuracies,
    sign_flip_p,
    weighted_mean,
)

D = np.array([0.6, 0.2, -0.1, 0.4])
ONE = np.zeros(4, dtype=np.int64)


def questions(rows):
    """(domain, benchmark, key, format, x_L, n_L, x_S, n_S) each."""
    names = ("domain", "benchmark", "source_key", "task_format", "larger_n_correct", "larger_n_scored",
             "smaller_n_correct", "smaller_n_scored")  # fmt: skip
    frame = pl.DataFrame(rows, schema=list(names), orient="row")
    return frame.with_row_index("question_id").with_columns(pl.col("question_id").cast(pl.String))


def compared(rows):
    return paired_accuracies(questions(rows), 0.95, 500, np.random.default_rng(0))


def test_hand_computed_standard_errors():
    plain = weighted_mean(D, np.full(4, 0.25), ONE, np.arange(4), 0.95)
    # Deviations .325, -.075, -.375, .125: sum of squares .2675; .2675 / 16 * 4/3 = .022292.
    assert (plain.mean, plain.standard_error) == pytest.approx((0.275, 0.149304), abs=1e-6)
    assert (plain.low, plain.high) == pytest.approx((-0.2002, 0.7502), abs=1e-4)
    # Keys {1, 2} and {3, 4}: sums of deviations .25 and -.25; (2 * .0625) / 16 * 2 = .015625.
    clustered = weighted_mean(D, np.full(4, 0.25), ONE, np.array([0, 0, 1, 1]), 0.95)
    assert clustered.standard_error == pytest.approx(0.125)


def test_one_key_has_no_standard_error_and_equal_values_have_zero():
    assert weighted_mean(D, np.full(4, 0.25), ONE, ONE, 0.95).standard_error is None
    constant = weighted_mean(np.full(4, 0.3), np.full(4, 0.25), ONE, np.arange(4), 0.95)
    assert constant.standard_error == pytest.approx(0.0, abs=1e-12)


def test_the_standard_error_equals_that_of_a_clustered_intercept_regression():
    """CR1 of an intercept-only regression: residuals summed by cluster, C / (C - 1)."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 12, 60)
    values = rng.normal(size=60) + keys * 0.1
    keys = np.unique(keys, return_inverse=True)[1]
    estimate = weighted_mean(values, np.full(60, 1 / 60), np.zeros(60, dtype=np.int64), keys, 0.95)
    sums = np.bincount(keys, values - values.mean())
    n_keys = len(sums)
    assert estimate.standard_error == pytest.approx(np.sqrt((sums**2).sum() * n_keys / (n_keys - 1)) / 60)


def test_the_mean_is_over_benchmarks_then_domains():
    rows = [("d", "a", f"a{i}", "open_ended", 10, 10, 0, 10) for i in range(4)]
    rows += [("d", "b", f"b{i}", "open_ended", 5, 10, 5, 10) for i in range(2)]
    rows += [("e", "c", f"c{i}", "open_ended", 8, 10, 4 + 2 * i, 10) for i in range(2)]
    table = compared(rows)
    levels = {(level, domain, benchmark): row for level, domain, benchmark, *row in table.iter_rows()}
    assert levels["domain", "d", "all"][5] == pytest.approx((1.0 + 0.0) / 2)
    assert levels["domain", "e", "all"][5] == pytest.approx(0.3)
    assert levels["family", "all", "all"][5] == pytest.approx((0.5 + 0.3) / 2)
    family = table.filter(pl.col("level") == "family").row(0, named=True)
    assert (family["n_larger_better"], family["n_ties"], family["n_smaller_better"]) == (6, 2, 0)


def test_formats_are_split_only_if_there_are_two():
    rows = [("d", "a", f"a{i}", "open_ended", 10, 10, i, 10) for i in range(3)]
    assert set(compared(rows)["task_format"]) == {"all"}
    mixed = [*rows, *(("d", "a", f"m{i}", "multiple_choice", 5, 10, i, 10) for i in range(3))]
    assert set(compared(mixed)["task_format"]) == {"all", "open_ended", "multiple_choice"}


def test_questions_without_a_scored_trial_are_ignored():
    table = compared([("d", "a", "1", "open_ended", 1, 2, 0, 2), ("d", "a", "2", "open_ended", 0, 0, 0, 2)])
    assert table["n_questions"].to_list() == [1, 1, 1]
    assert table["standard_error"].null_count() == 3
    assert compared([("d", "a", "2", "open_ended", 0, 0, 0, 2)]).is_empty()


def test_with_one_trial_the_trial_share_is_undefined():
    table = compared([("d", "a", str(i), "open_ended", i % 2, 1, 0, 1) for i in range(8)])
    assert table["trial_variance_share"].null_count() == table.height
    several = compared([("d", "a", str(i), "open_ended", 3 + i % 5, 10, 2, 10) for i in range(8)])
    assert several["trial_variance_share"].is_between(0, 1).all()


def test_sign_flip_p():
    assert sign_flip_p(np.array([1.0]), 100, np.random.default_rng(0)) is None
    assert sign_flip_p(np.ones(12), 4095, np.random.default_rng(0)) < 0.005  # 2 of 4,096 sign patterns
    assert sign_flip_p(np.array([1.0, -1.0]), 99, np.random.default_rng(0)) == 1.0


@pytest.mark.parametrize("n", [20, 60])
def test_the_interval_covers_the_population_mean(n):
    """Questions are resampled in each run, with two or ten trials; the true value is the population mean."""
    rng = np.random.default_rng(n)
    truth = 0.2
    for n_trials in (2, 10):
        covered = 0
        for _ in range(1000):
            base = rng.beta(2, 2, n)
            larger, smaller = np.clip(base, 0, 1) * 0.8 + 0.2, np.clip(base, 0, 1) * 0.8
            gaps = rng.binomial(n_trials, larger) / n_trials - rng.binomial(n_trials, smaller) / n_trials
            mean = weighted_mean(gaps, np.full(n, 1 / n), np.zeros(n, dtype=np.int64), np.arange(n), 0.95)
            covered += mean.low <= truth <= mean.high
        assert 0.93 <= covered / 1000 <= 0.97


def test_the_interval_equals_students_t():
    result = weighted_mean(D, np.full(4, 0.25), ONE, np.arange(4), 0.9)
    assert result.high - result.mean == pytest.approx(t.ppf(0.95, 3) * result.standard_error)


@pytest.mark.parametrize(
    ("low", "discoveries", "is_shown"),
    [
        (0.01, [False, False], True),
        (-0.01, [False, True], True),
        (0.0, [False, False], False),  # an interval that touches 0
        (None, [False], False),  # a benchmark of a single key has no interval
        (None, [], False),
    ],
)
def test_a_gap_is_shown_by_the_interval_of_all_questions_or_by_a_discovery(low, discoveries, is_shown):
    paired = pl.DataFrame(
        {"level": ["domain", "family"], "task_format": ["all", "all"], "difference_low": [0.5, low]},
        schema_overrides={"difference_low": pl.Float64},
    )
    tests = pl.DataFrame({"is_discovery": discoveries}, schema={"is_discovery": pl.Boolean})
    assert is_gap_shown(paired, tests) is is_shown
    assert is_gap_shown(paired.clear(), tests.clear()) is False


@pytest.mark.parametrize("n_questions", range(1, 60))
def test_the_mean_of_equal_values_is_that_value(n_questions):
    """20 times 1/20 exceeds 1 in floating point."""
    ones = np.ones(n_questions)
    none = np.zeros(n_questions, dtype=np.int64)
    mean = weighted_mean(ones, np.full(n_questions, 1 / n_questions), none, np.arange(n_questions), 0.95).mean
    assert mean == 1

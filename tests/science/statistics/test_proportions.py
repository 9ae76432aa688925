"""Intervals and tests of single pass rates, against published and hand-computed values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, fisher_exact

from advcluster_dagster.science.statistics.proportions import (
    boschloo_p,
    jeffreys_gap_interval,
    jeffreys_gap_probability,
    jeffreys_interval,
)


@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    [(7, 10, 0.3942, 0.9073), (10, 10, 0.7828, 1.0), (0, 10, 0.0, 0.2172), (1, 2, 0.0608, 0.9392)],
)
def test_jeffreys_intervals(x, n, low, high):
    assert [float(end) for end in jeffreys_interval(x, n, 0.95)] == pytest.approx([low, high], abs=5e-5)


def test_without_scored_trials_there_is_no_interval():
    assert all(np.isnan(end) for end in jeffreys_interval([0], [0], 0.95))


def test_coverage_of_jeffreys_intervals_at_ten_trials():
    """Exact: averaged over rates p ~ U(0, 1) near 95 %, at single rates at least 86 %."""
    x = np.arange(11)
    low, high = jeffreys_interval(x, np.full(11, 10), 0.95)
    rates = (np.arange(20_000) + 0.5) / 20_000
    covered = ((low <= rates[:, None]) & (rates[:, None] <= high)) * binom.pmf(x, 10, rates[:, None])
    assert 0.94 <= covered.sum(axis=1).mean() <= 0.965
    assert covered.sum(axis=1).min() >= 0.86


@pytest.mark.parametrize(
    ("larger", "smaller", "n", "probability"),
    [
        (8, 2, 10, 0.4089), (9, 2, 10, 0.6280), (9, 1, 10, 0.8239), (10, 0, 10, 0.9923), (7, 1, 10, 0.4029),
        (6, 0, 10, 0.3832), (10, 4, 10, 0.3832), (2, 0, 2, 0.6606), (2, 1, 2, 0.2185), (1, 0, 2, 0.2185),
    ],
)  # fmt: skip
def test_probability_of_a_gap_under_jeffreys_priors(larger, smaller, n, probability):
    assert jeffreys_gap_probability(larger, n, smaller, n, 0.6) == pytest.approx(probability, abs=1e-4)


@given(st.integers(0, 10), st.integers(0, 10))
def test_the_gap_interval_is_mirrored_if_models_are_swapped(x, y):
    low, high = jeffreys_gap_interval(x, 10, y, 10, 0.95)
    mirrored = jeffreys_gap_interval(y, 10, x, 10, 0.95)
    assert low <= (x - y) / 11 <= high  # the posterior mean
    assert (-mirrored[1], -mirrored[0]) == pytest.approx((low, high), abs=0.01)


@pytest.mark.parametrize(
    ("larger", "smaller", "n", "p"),
    [
        (8, 2, 10, 0.005909), (9, 2, 10, 0.001288), (9, 1, 10, 0.000201), (7, 1, 10, 0.003978), (6, 0, 10, 0.001758),
        (2, 0, 2, 0.0625),
    ],
)  # fmt: skip
def test_boschloo(larger, smaller, n, p):
    assert boschloo_p(larger, n, smaller, n) == pytest.approx(p, abs=1e-6)


def test_boschloo_is_more_powerful_than_fisher():
    fisher = fisher_exact([[8, 2], [2, 8]], alternative="greater").pvalue
    assert fisher == pytest.approx(0.011507, abs=1e-6)
    assert boschloo_p(8, 10, 2, 10) < fisher

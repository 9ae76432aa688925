"""Seeds, bootstrap weights, permutation p-values, adjusted p-values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.statistics.resampling import (
    bootstrap_weights,
    codes_of,
    percentile_interval,
    permutation_p,
    q_values,
    table_rng,
)

P_VALUES = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216, 0.222, 0.251, 0.269, 0.275, 0.34,
            0.341, 0.384, 0.569, 0.594, 0.696, 0.762, 0.94, 0.942, 0.975, 0.986]  # fmt: skip


def test_generators_differ_by_table_and_partition_and_are_reproducible():
    drawn = {names: table_rng(0, *names).integers(0, 2**40) for names in (("a", "f"), ("a", "g"), ("b", "f"))}
    assert len(set(drawn.values())) == 3
    assert table_rng(0, "a", "f").integers(0, 2**40) == drawn["a", "f"]
    assert table_rng(1, "a", "f").integers(0, 2**40) != drawn["a", "f"]


def test_every_stratum_keeps_its_number_of_keys():
    strata = np.array([0, 0, 0, 1, 1, 2])
    weights = bootstrap_weights(strata, 50, np.random.default_rng(0))
    assert weights.shape == (50, 6)
    for stratum, size in ((0, 3), (1, 2), (2, 1)):
        assert (weights[:, strata == stratum].sum(axis=1) == size).all()


def test_codes_are_in_order_of_first_appearance():
    assert codes_of(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]
    assert codes_of([]).tolist() == []


def test_an_interval_needs_a_defined_replicate():
    assert percentile_interval(np.array([np.nan, np.nan]), 0.95) == (None, None)
    assert percentile_interval(np.array([np.nan, 2.0]), 0.95) == (2.0, 2.0)
    low, high = percentile_interval(np.arange(1001.0), 0.9)
    assert (low, high) == pytest.approx((50.0, 950.0))


def test_permutation_p_includes_the_observed_statistic():
    assert permutation_p(5.0, np.zeros(99)) == 0.01
    assert permutation_p(0.0, np.zeros(99)) == 1.0
    assert permutation_p(1.0, np.array([0.0, 1.0, 2.0]), is_upper=False) == 3 / 4


def test_benjamini_and_hochbergs_example():
    assert q_values(P_VALUES)[:5] == pytest.approx([0.025, 0.1, 0.21, 0.21, 0.21])
    assert q_values([]) == []


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=30))
def test_adjusted_values_are_not_smaller_and_keep_the_order(values):
    adjusted = q_values(values)
    assert all(q >= p - 1e-12 for p, q in zip(values, adjusted, strict=True))
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= -1e-12).all()

"""Reliability over generations, by hand."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.science.ratings.reliability import (
    SUMS,
    icc,
    trace_sums,
    with_traces,
)
from advcluster_dagster.science.statistics.resampling import bootstrap_weights, replicate_sums


def table(*traces):
    rows = [(f"q{i}", "larger", 0, score) for i, scores in enumerate(traces) for score in scores]
    schema = {"question_id": pl.String, "role": pl.String, "trial": pl.Int64, "score": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(dimension=pl.lit("strategy"))


def icc_of(*traces):
    return icc(trace_sums(table(*traces)))


def test_three_traces_of_two_generations():
    # Means 4.5, 2.5, 3, grand mean 10/3: MSB = 2 (49 + 25 + 4) / 36 / 2 = 13/6; MSW = (.5 + .5 + 0) / 3 = 1/3.
    assert icc_of((4, 5), (2, 3), (3, 3)) == pytest.approx(1 - 2 / 13)


def test_unequal_generations():
    # Grand mean 11/3: MSB = 2 (5/6)^2 + (5/3)^2 = 25/6; MSW = .5 / 1.
    assert icc_of((4, 5), (2,)) == pytest.approx(1 - 0.5 * 6 / 25)


def test_icc_is_1_for_equal_generations_and_negative_for_widely_differing_ones():
    assert icc_of((5, 5), (2, 2)) == 1
    # Means 3 and 3.5, grand mean 3.25: MSB = 2 * 2 * .25^2 = .25; MSW = (8 + .5) / 2 = 4.25.
    assert icc_of((1, 5), (3, 4)) == pytest.approx(1 - 17)


@pytest.mark.parametrize(
    "traces",
    [
        (),
        ((4, 5),),
        ((4,), (2,)),
        ((3, 3), (3, 3)),
        ((1, 5), (5, 1)),
        ((4, 4, 5), (5, 4, 4)),
        ((None, None), (None, 3)),
    ],
)
def test_undefined(traces):
    assert icc_of(*traces) is None


def test_null_scores_are_ignored():
    assert icc_of((4, 5, None), (2, 3), (3, 3), (None,)) == icc_of((4, 5), (2, 3), (3, 3))


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=5), min_size=2, max_size=8), st.randoms())
def test_the_formula_in_any_order_of_rows(traces, random):
    n = sum(map(len, traces))
    value = icc_of(*traces)
    rows = table(*traces)
    assert icc(trace_sums(rows[random.sample(range(n), n)])) == value
    grand = sum(map(sum, traces)) / n
    between = sum(len(t) * (np.mean(t) - grand) ** 2 for t in traces) / (len(traces) - 1)
    if n == len(traces) or between < 1e-9:
        assert value is None
    else:
        within = sum(sum((x - np.mean(t)) ** 2 for x in t) for t in traces) / (n - len(traces))
        assert value == pytest.approx(1 - within / between)


def test_sums_of_a_trace():
    # Less 3: 1 and 2, total 3, 9 / 2 between, .5 within.
    sums = trace_sums(table((4, 5), (None,)).with_columns(fault=pl.lit("x")), "fault")
    assert sums.columns == ["question_id", "role", "trial", "dimension", "fault", "mean_score", *SUMS]
    assert sums.rows() == [("q0", "larger", 0, "strategy", "x", 4.5, 1, 2, 3, 4.5, 0.5)]


def test_replicate_sums_equal_weighted_sums():
    sums = np.arange(12.0).reshape(6, 2)
    strata = ["d", "d", "e", "d", "e", "e"]
    weights = bootstrap_weights(strata, 50, np.random.default_rng(3))
    assert np.array_equal(replicate_sums(sums, strata, 50, np.random.default_rng(3)), weights @ sums)


def test_a_rated_trace_that_is_unknown_is_an_error():
    ratings = table((3,), (4,))
    known = ratings.head(1).select("question_id", "role", "trial", is_correct=pl.lit(True))
    assert with_traces(ratings.head(1), known)["is_correct"].to_list() == [True]
    with pytest.raises(ValueError, match=r"1 rated traces are unknown, e.g. \('q1', 'larger', 0\)"):
        with_traces(ratings, known)

"""Reliability of ratings: the intraclass correlation over generations, from sums that a bootstrap can reweight.

The model is one-way random: generations are exchangeable replies of the rater, so generation 1 of two traces are
unrelated.
"""

import numpy as np
import polars as pl

from advcluster_dagster.contracts.ratings import HIGHEST_SCORE, LOWEST_SCORE
from advcluster_dagster.science.statistics.resampling import FloatArray

#: Numbers of traces and scores, total, squared total divided by the number of scores, sum of squares around the mean.
SUMS = ["n_traces", "n_scores", "total", "between", "within"]
_MIDDLE = (LOWEST_SCORE + HIGHEST_SCORE) / 2


def with_traces(ratings: pl.DataFrame, traces: pl.DataFrame) -> pl.DataFrame:
    """Join ratings with columns of their traces by question_id, role and trial.

    Raises:
        ValueError: A rated trace is not among the traces.
    """
    key = ["question_id", "role", "trial"]
    unknown = ratings.join(traces.select(key).unique(), on=key, how="anti")
    if not unknown.is_empty():
        names = unknown.select(key)
        raise ValueError(f"{names.n_unique()} rated traces are unknown, e.g. {names.row(0)}")
    return ratings.join(traces, on=key, maintain_order="left", validate="m:1")


def trace_sums(ratings: pl.DataFrame, *further: str) -> pl.DataFrame:
    """Sum each trace's scores by dimension, for means and intraclass correlations.

    Args:
        ratings: Columns question_id, role, trial, dimension, score; one row per generation, null scores are ignored.
        further: Additional key columns.

    Returns:
        The key, mean_score and the columns ``SUMS``, sorted by key; a trace without scores has no row. Sums are of
        scores minus the middle of the scale, which leaves correlations unchanged and the sums exact.
    """
    key = ["question_id", "role", "trial", "dimension", *further]
    centred = pl.col("score").cast(pl.Float64) - _MIDDLE
    return (
        ratings.drop_nulls("score")
        .group_by(key)
        .agg(
            mean_score=pl.col("score").mean(),
            n_scores=pl.len().cast(pl.Float64),
            total=centred.sum(),
            squares=(centred**2).sum(),
        )
        .with_columns(n_traces=pl.lit(1.0), between=pl.col("total") ** 2 / pl.col("n_scores"))
        .with_columns(within=pl.col("squares") - pl.col("between"))
        .sort(key)
        .select(*key, "mean_score", *SUMS)
    )


def intraclass_correlation(sums: FloatArray) -> FloatArray:
    """ICC(1,k) of the mean of k generations in the one-way random model: 1 - MSW / MSB.

    With n_i scores of trace i of a traces, N = sum of n_i, mean m_i, grand mean m:

        MSB = sum of n_i (m_i - m)^2 / (a - 1), MSW = sum over all scores of (x - m_i)^2 / (N - a).

    For unequal numbers of generations, k is n_0 = (N - sum of n_i^2 / N) / (a - 1), and the variance between traces is
    (MSB - MSW) / n_0; divided by itself plus MSW / n_0 this is again 1 - MSW / MSB.

    1: the generations of a trace never differ; 0 and below: they differ as much as traces do. NaN for fewer than two
    traces, if no trace has two scores, or if all traces have the same mean.

    Args:
        sums: The columns ``SUMS`` of :func:`trace_sums`, summed over the traces, shape (..., 5).

    Returns:
        float64 of shape (...), at most 1.

    References:
        Shrout and Fleiss (1979), Intraclass correlations; Searle, Casella and McCulloch (1992), Variance components
        (n_0).
    """
    n_traces, n_scores, total, between, within = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        squares_of_means = between - total**2 / n_scores
        # A tiny difference of equal sums is rounding error.
        squares_of_means = np.where(squares_of_means > 1e-9 * np.maximum(between, 1), squares_of_means, np.nan)
        values: FloatArray = 1 - (within / (n_scores - n_traces)) / (squares_of_means / (n_traces - 1))
    return np.where((n_traces >= 2) & (n_scores > n_traces), values, np.nan)


def icc(sums: pl.DataFrame) -> float | None:
    """ICC(1,k) of the traces of one dimension (see :func:`intraclass_correlation`); None if undefined.

    Args:
        sums: Rows of :func:`trace_sums`.
    """
    value = float(intraclass_correlation(sums.select(SUMS).to_numpy().sum(axis=0)))
    return None if np.isnan(value) else value

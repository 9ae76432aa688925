"""How far the generations of a rating agree: the intraclass correlation, and sums that a bootstrap can reweight.

The model is one-way random: a generation is any reply of the rater, so generation 1 of two traces have nothing in
common.
"""

import numpy as np
import polars as pl

from advcluster_dagster.science.statistics.resampling import FloatArray, bootstrap_weights

#: Columns of the sums of a key: traces, scores, centred total, squares between traces, squares within traces.
N_SUMS = 5
#: Weights held at a time, in numbers.
_MOST_WEIGHTS = 20_000_000


def with_traces(ratings: pl.DataFrame, traces: pl.DataFrame) -> pl.DataFrame:
    """Ratings beside what is known of their traces, joined by question_id, role and trial.

    Raises:
        ValueError: a rated trace is not among the traces.
    """
    key = ["question_id", "role", "trial"]
    joined = ratings.join(traces.select(key).unique(), on=key, how="anti")
    if not joined.is_empty():
        raise ValueError(f"{joined.select(key).n_unique()} rated traces are unknown, first {joined.select(key).row(0)}")
    return ratings.join(traces, on=key, maintain_order="left", validate="m:1")


def score_sums(scores: pl.DataFrame, key: str) -> pl.DataFrame:
    """Sums of each key from which :func:`intraclass_correlation` follows.

    Args:
        scores: one row a generation: ``key``, question_id, role, trial, score; null scores are left out.
        key: name of the column to sum by.

    Returns:
        key, n_traces, n_scores, total, between, within, sorted by key; scores are centred by the middle of the scale,
        which changes nothing but keeps the sums exact.
    """
    centred = scores.drop_nulls("score").with_columns((pl.col("score").cast(pl.Float64) - 3).alias("score"))
    score = pl.col("score")
    traces = (
        centred.group_by(key, "question_id", "role", "trial")
        .agg(n=pl.len().cast(pl.Float64), total=score.sum(), within=((score - score.mean()) ** 2).sum())
        .sort(key, "question_id", "role", "trial")
    )
    return (
        traces.group_by(key, maintain_order=True)
        .agg(
            n_traces=pl.len().cast(pl.Float64),
            n_scores=pl.col("n").sum(),
            total=pl.col("total").sum(),
            between=(pl.col("total") ** 2 / pl.col("n")).sum(),
            within=pl.col("within").sum(),
        )
        .sort(key)
    )


def intraclass_correlation(sums: FloatArray) -> FloatArray:
    """ICC(1,k) of the mean of k generations, one-way random: 1 - MSW / MSB.

    With n_i scores of trace i of a traces, N = sum of n_i, mean m_i, grand mean m:

        MSB = sum of n_i (m_i - m)^2 / (a - 1), MSW = sum over all scores of (x - m_i)^2 / (N - a).

    Where generations are unequally many, k stands for n_0 = (N - sum of n_i^2 / N) / (a - 1), and the variance between
    traces is (MSB - MSW) / n_0: divided by itself plus MSW / n_0 it gives the same 1 - MSW / MSB.

    1: the generations of a trace never differ; 0 and below: they differ as much as traces do. NaN for fewer than two
    traces, without a trace of two scores, or where all traces have the same mean.

    Args:
        sums: the five columns of :func:`score_sums`, summed over what is to count, shape (..., 5).

    Returns:
        float64 of shape (...), at most 1.

    References:
        Shrout and Fleiss (1979), Intraclass correlations; Searle, Casella and McCulloch (1992), Variance components
        (n_0).
    """
    n_traces, n_scores, total, between, within = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_means = between - total**2 / n_scores
        # What is left of the difference of equal sums is rounding.
        of_means = np.where(of_means > 1e-9 * np.maximum(between, 1), of_means, np.nan)
        values: FloatArray = 1 - (within / (n_scores - n_traces)) / (of_means / (n_traces - 1))
    return np.where((n_traces >= 2) & (n_scores > n_traces), values, np.nan)


def icc(scores: pl.DataFrame) -> float | None:
    """ICC(1,k) of scores (see :func:`intraclass_correlation`), None where it is undefined.

    Args:
        scores: question_id, role, trial, score; one row a generation.
    """
    sums = score_sums(scores.with_columns(all=pl.lit(0)), "all").drop("all").to_numpy()
    value = float(intraclass_correlation(sums.sum(axis=0))) if len(sums) else np.nan
    return None if np.isnan(value) else value


def replicate_sums(sums: FloatArray, strata: list[str], n_bootstrap: int, rng: np.random.Generator) -> FloatArray:
    """Bootstrap replicates of sums over keys, drawn within strata, at a bounded use of memory.

    Args:
        sums: a row a key, shape (C, m).
        strata: stratum of each key, C of them.
        n_bootstrap: replicates B.
        rng: source of random numbers.

    Returns:
        float64 of shape (B, m).
    """
    step = max(1, _MOST_WEIGHTS // max(len(strata), 1))
    parts = [
        bootstrap_weights(strata, min(step, n_bootstrap - start), rng).astype(np.float64) @ sums
        for start in range(0, n_bootstrap, step)
    ]
    return np.concatenate(parts) if parts else np.empty((0, sums.shape[1]))

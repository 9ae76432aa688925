"""Mean scores of traces, quality deltas within pairs, and correlates of the deltas.

References:
    The paper on preference deltas, table 1 (mean delta by dimension) and the definition of sample-level delta.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.ratings import DELTA_SUMMARIES, DIMENSIONS, QUALITY_DELTAS, TRACE_QUALITIES
from advcluster_dagster.science.ratings.reliability import icc, trace_sums, with_traces
from advcluster_dagster.science.statistics.resampling import (
    MIN_KEYS,
    FloatArray,
    IntArray,
    percentile_interval,
    replicate_sums,
)

_TRACE = ["question_id", "role", "trial"]
#: Decimal places of a delta, so that equal differences of means are exactly tied.
_PLACES = 9
#: Minimum number of points of a correlation.
_MIN_POINTS = 3


@dataclass(frozen=True)
class RatedFamily:
    """Rated traces and pairs of a family, over all domains.

    Attributes:
        deltas: Rows of ``quality_deltas`` with their domain.
        ratings: Rows of ``trace_ratings``; columns other than key and score are ignored.
        traces: Columns domain, question_id, role, trial, is_correct, is_mixed of the rated traces.
        lengths: Columns pair_id, larger_length, smaller_length of the traces in one unit; null if unknown.
        gaps: Columns question_id, gap_mean of ``question_statistics``.
    """

    deltas: pl.DataFrame
    ratings: pl.DataFrame
    traces: pl.DataFrame
    lengths: pl.DataFrame
    gaps: pl.DataFrame


def trace_qualities(ratings: pl.DataFrame) -> pl.DataFrame:
    """Compute the mean score of each trace and dimension over its generations.

    Args:
        ratings: Columns question_id, role, trial, dimension, score (null if not rated) of ``trace_ratings``.

    Returns:
        Rows of ``trace_qualities``, sorted by key; a trace with only null scores has n_generations 0 and a null mean.
    """
    score = pl.col("score")
    order = pl.col("dimension").replace_strict(DIMENSIONS, range(len(DIMENSIONS)), return_dtype=pl.Int64)
    return (
        ratings.group_by(*_TRACE, "dimension")
        .agg(
            mean_score=score.mean(),
            # Sorted, so that the last digit does not depend on row order.
            sd=score.sort().std(),
            n_generations=score.count().cast(pl.Int64),
        )
        .sort(*_TRACE, order)
        .select(pl.col(name).cast(dtype) for name, dtype in TRACE_QUALITIES.own_schema.items())
    )


def quality_deltas(pairs: pl.DataFrame, qualities: pl.DataFrame) -> pl.DataFrame:
    """Compute the difference of the mean scores within each pair, larger minus smaller model.

    Args:
        pairs: Columns pair_id, question_id, source_key, larger_trial, smaller_trial.
        qualities: Rows of ``trace_qualities``.

    Returns:
        Rows of ``quality_deltas``: five per pair, in the order of the pairs; scores and delta are null for unrated
        traces.
    """
    dimensions = pl.DataFrame({"dimension": DIMENSIONS}, schema={"dimension": pl.String})
    rows = pairs.select("pair_id", "question_id", "source_key", "larger_trial", "smaller_trial").join(
        dimensions, how="cross", maintain_order="left_right"
    )
    for role in ("larger", "smaller"):
        renamed = {"trial": f"{role}_trial", "mean_score": f"{role}_score"}
        scores = qualities.filter(role=role).select("question_id", "dimension", *renamed).rename(renamed)
        keys = ["question_id", "dimension", f"{role}_trial"]
        rows = rows.join(scores, on=keys, how="left", maintain_order="left", validate="m:1")
    delta = (pl.col("larger_score") - pl.col("smaller_score")).round(_PLACES)
    return rows.with_columns(delta=delta).select(QUALITY_DELTAS.own_schema.names())


def delta_summaries(rated: RatedFamily, confidence: float, n_bootstrap: int, rng: np.random.Generator) -> pl.DataFrame:
    """Summarise the mean delta by domain and dimension with its interval, and correlations of the ratings.

    Mean and share weight pairs equally, as the paper does; the interval resamples source keys within their domain, so
    that the pairs of an item stay together. Replicates of the family's row are the sums over its domains.

    gap_correlation relates the mean delta of each question to its posterior mean gap, over the questions of the row;
    since questions are selected for a large gap, it is weaker than over all questions. verdict_correlation is the
    point-biserial correlation of mean score and verdict over the traces of the mixed sample. length_correlation
    relates, over pairs, the delta to the larger minus the smaller model's length: near 1 the rater rewards length,
    near -1 brevity. Correlations are null for fewer than three points, or if either variable is constant.

    Args:
        rated: Rated traces and pairs of the family.
        confidence: Confidence level of the intervals, in (0, 1).
        n_bootstrap: Number of replicates of the key bootstrap.
        rng: Random generator.

    Returns:
        Rows of ``delta_summaries``: five per domain, domains sorted, then ``all``; empty without pairs. Intervals are
        null for fewer than five source keys.

    Raises:
        ValueError: A rated trace is not among the traces.
    """
    if rated.deltas.is_empty():
        return pl.DataFrame(schema=DELTA_SUMMARIES.own_schema)
    difference = pl.col("larger_length").cast(pl.Float64) - pl.col("smaller_length").cast(pl.Float64)
    lengths = rated.lengths.select("pair_id", length_difference=difference)
    deltas = (
        rated.deltas.join(lengths, on="pair_id", how="left", validate="m:1")
        .join(rated.gaps.select("question_id", "gap_mean"), on="question_id", how="left", validate="m:1")
        .sort("domain", "source_key", "pair_id")
    )
    traces = rated.traces.select("domain", *_TRACE, "is_correct", "is_mixed")
    scores = with_traces(trace_sums(rated.ratings), traces)
    rows = []
    for domain, replicates in _replicates(deltas, n_bootstrap, rng).items():
        in_domain = pl.lit(True) if domain == "all" else pl.col("domain") == domain
        domain_deltas, domain_scores = deltas.filter(in_domain), scores.filter(in_domain)
        for place, dimension in enumerate(DIMENSIONS):
            pair_columns = _pair_columns(domain_deltas.filter(dimension=dimension), replicates[:, :, place], confidence)
            trace_columns = _trace_columns(domain_scores.filter(dimension=dimension))
            rows.append({"domain": domain, "dimension": dimension, **pair_columns, **trace_columns})
    return pl.DataFrame(rows, schema=DELTA_SUMMARIES.own_schema)


def _replicates(deltas: pl.DataFrame, n_bootstrap: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Replicates of (sum of deltas, number of pairs) by dimension, shape (B, 2, 5), for each domain and overall."""
    replicates: dict[str, FloatArray] = {}
    total = np.zeros((n_bootstrap, 2, len(DIMENSIONS)))
    for (domain,), part in deltas.group_by("domain", maintain_order=True):
        rated = part.drop_nulls("delta")
        keys: IntArray = rated["source_key"].rank("dense").cast(pl.Int64).to_numpy() - 1
        n_keys = int(keys.max()) + 1 if len(keys) else 0
        places = np.array([DIMENSIONS.index(name) for name in rated["dimension"]], dtype=np.int64)
        shape, cells = (n_keys, len(DIMENSIONS)), keys * len(DIMENSIONS) + places
        sums = [
            np.bincount(cells, weights, n_keys * len(DIMENSIONS)).reshape(shape)
            for weights in (rated["delta"].to_numpy(), None)
        ]
        sampled = replicate_sums(np.hstack(sums), [str(domain)] * n_keys, n_bootstrap, rng)
        replicates[str(domain)] = sampled.reshape(n_bootstrap, 2, len(DIMENSIONS))
        total += replicates[str(domain)]
    return {**replicates, "all": total}


def _pair_columns(pairs: pl.DataFrame, replicates: FloatArray, confidence: float) -> dict[str, float | int | None]:
    """Columns of a row computed from its pairs; replicates have shape (B, 2)."""
    rated = pairs.drop_nulls("delta")
    n_keys = rated.select("domain", "source_key").n_unique()
    low, high = None, None
    if n_keys >= MIN_KEYS:
        with np.errstate(invalid="ignore", divide="ignore"):
            low, high = percentile_interval(replicates[:, 0] / replicates[:, 1], confidence)
    values = rated["delta"].to_numpy()
    questions = rated.drop_nulls("gap_mean").group_by("question_id", maintain_order=True)
    by_question = questions.agg(pl.col("delta").mean(), pl.col("gap_mean").first())
    measured = rated.drop_nulls("length_difference")
    return {
        "n_pairs": rated.height,
        "n_unrated": pairs.height - rated.height,
        "n_questions": rated["question_id"].n_unique(),
        "n_keys": n_keys,
        "mean_delta": float(values.mean()) if len(values) else None,
        "low": low,
        "high": high,
        "share_positive": float((values > 0).mean()) if len(values) else None,
        "gap_correlation": rank_correlation(by_question["delta"].to_numpy(), by_question["gap_mean"].to_numpy()),
        "length_correlation": rank_correlation(measured["delta"].to_numpy(), measured["length_difference"].to_numpy()),
    }


def _trace_columns(scores: pl.DataFrame) -> dict[str, float | int | None]:
    """Columns of a row computed from its rated traces."""
    mixed = scores.filter(pl.col("is_mixed")).drop_nulls("is_correct")
    return {
        "reliability": icc(scores),
        "verdict_correlation": correlation(mixed["mean_score"].to_numpy(), mixed["is_correct"].to_numpy()),
        "n_mixed": mixed.height,
    }


def correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Pearson's correlation of two arrays of shape (n,), in [-1, 1]; None below three points or if one is constant.

    For a 0/1 variable this is the point-biserial correlation.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if len(a) < _MIN_POINTS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))


def rank_correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Spearman's correlation with mean ranks for ties; None as for :func:`correlation`.

    References:
        Spearman (1904), The proof and measurement of association between two things.
    """
    from scipy.stats import rankdata

    return correlation(rankdata(first), rankdata(second))

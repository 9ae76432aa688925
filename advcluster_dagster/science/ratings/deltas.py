"""Mean scores of traces, their differences within pairs, and what these differences go along with.

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
#: Decimal places of a delta: equal differences of means are then equal numbers, and ties are ties.
_PLACES = 9
#: Fewer points than this make no correlation.
_FEWEST_POINTS = 3


@dataclass(frozen=True)
class RatedFamily:
    """What was rated in a family, all domains together.

    Attributes:
        deltas: rows of ``quality_deltas`` with their domain.
        ratings: rows of ``trace_ratings``; columns beyond key and score are ignored.
        traces: domain, question_id, role, trial, is_correct, is_mixed of the rated traces.
        lengths: pair_id, larger_length, smaller_length of the traces in one unit; null where unknown.
        gaps: question_id, gap_mean of ``question_statistics``.
    """

    deltas: pl.DataFrame
    ratings: pl.DataFrame
    traces: pl.DataFrame
    lengths: pl.DataFrame
    gaps: pl.DataFrame


def trace_qualities(ratings: pl.DataFrame) -> pl.DataFrame:
    """Mean score of each trace and dimension over its generations.

    Args:
        ratings: question_id, role, trial, dimension, score (null where not rated) of ``trace_ratings``.

    Returns:
        Rows of ``trace_qualities``, sorted by key; a trace of null scores alone has n_generations 0 and a null mean.
    """
    score = pl.col("score")
    order = pl.col("dimension").replace_strict(DIMENSIONS, range(len(DIMENSIONS)), return_dtype=pl.Int64)
    return (
        ratings.group_by(*_TRACE, "dimension")
        .agg(
            mean_score=score.mean(),
            # Of the scores in order: the last digit does not depend on the order of the rows.
            sd=score.sort().std(),
            n_generations=score.count().cast(pl.Int64),
        )
        .sort(*_TRACE, order)
        .select(pl.col(name).cast(dtype) for name, dtype in TRACE_QUALITIES.own_schema.items())
    )


def quality_deltas(pairs: pl.DataFrame, qualities: pl.DataFrame) -> pl.DataFrame:
    """Difference of the mean scores within each pair, larger minus smaller model.

    Args:
        pairs: pair_id, question_id, source_key, larger_trial, smaller_trial.
        qualities: rows of ``trace_qualities``.

    Returns:
        Rows of ``quality_deltas``: five a pair, in the order of the pairs; scores and delta are null where a trace is
        not rated.
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
    """Mean delta by domain and dimension with its interval, and how the ratings hang together.

    Mean and share count every pair alike, as the paper does; the interval draws source keys within their domain, so
    the pairs of an item stand and fall together. Replicates of the family's row are those of its domains added up.

    gap_correlation compares the mean delta of each question with its posterior mean gap, over the questions of the
    row; as questions were kept for a large gap, it is weaker than over all questions. verdict_correlation is the
    point-biserial correlation of mean score and verdict over the traces of the mixed sample. length_correlation
    compares, over pairs, the delta with the larger minus the smaller model's length: near 1 the rater rewards length,
    near -1 brevity. Correlations are null below three points, or where either side is constant.

    Args:
        rated: what was rated.
        confidence: of the intervals, (0, 1).
        n_bootstrap: replicates of the key bootstrap.
        rng: source of random numbers.

    Returns:
        Rows of ``delta_summaries``: five a domain, domains sorted, then ``all``; none without pairs. Intervals are
        null for fewer than five source keys.

    Raises:
        ValueError: a rated trace is not among the traces.
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
        is_here = pl.lit(True) if domain == "all" else pl.col("domain") == domain
        here, scored = deltas.filter(is_here), scores.filter(is_here)
        for place, dimension in enumerate(DIMENSIONS):
            of_pairs = _of_pairs(here.filter(dimension=dimension), replicates[:, :, place], confidence)
            of_traces = _of_traces(scored.filter(dimension=dimension))
            rows.append({"domain": domain, "dimension": dimension, **of_pairs, **of_traces})
    return pl.DataFrame(rows, schema=DELTA_SUMMARIES.own_schema)


def _replicates(deltas: pl.DataFrame, n_bootstrap: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Replicates of (sum of deltas, number of pairs) by dimension, shape (B, 2, 5), of each domain and of all."""
    replicates: dict[str, FloatArray] = {}
    total = np.zeros((n_bootstrap, 2, len(DIMENSIONS)))
    for (domain,), part in deltas.group_by("domain", maintain_order=True):
        given = part.drop_nulls("delta")
        keys: IntArray = given["source_key"].rank("dense").cast(pl.Int64).to_numpy() - 1
        n_keys = int(keys.max()) + 1 if len(keys) else 0
        places = np.array([DIMENSIONS.index(name) for name in given["dimension"]], dtype=np.int64)
        shape, cells = (n_keys, len(DIMENSIONS)), keys * len(DIMENSIONS) + places
        sums = [
            np.bincount(cells, weights, n_keys * len(DIMENSIONS)).reshape(shape)
            for weights in (given["delta"].to_numpy(), None)
        ]
        drawn = replicate_sums(np.hstack(sums), [str(domain)] * n_keys, n_bootstrap, rng)
        replicates[str(domain)] = drawn.reshape(n_bootstrap, 2, len(DIMENSIONS))
        total += replicates[str(domain)]
    return {**replicates, "all": total}


def _of_pairs(pairs: pl.DataFrame, replicates: FloatArray, confidence: float) -> dict[str, float | int | None]:
    """Columns of a row that its pairs give; replicates have shape (B, 2)."""
    given = pairs.drop_nulls("delta")
    n_keys = given.select("domain", "source_key").n_unique()
    low, high = None, None
    if n_keys >= MIN_KEYS:
        with np.errstate(invalid="ignore", divide="ignore"):
            low, high = percentile_interval(replicates[:, 0] / replicates[:, 1], confidence)
    values = given["delta"].to_numpy()
    questions = given.drop_nulls("gap_mean").group_by("question_id", maintain_order=True)
    by_question = questions.agg(pl.col("delta").mean(), pl.col("gap_mean").first())
    measured = given.drop_nulls("length_difference")
    return {
        "n_pairs": given.height,
        "n_unrated": pairs.height - given.height,
        "n_questions": given["question_id"].n_unique(),
        "n_keys": n_keys,
        "mean_delta": float(values.mean()) if len(values) else None,
        "low": low,
        "high": high,
        "share_positive": float((values > 0).mean()) if len(values) else None,
        "gap_correlation": rank_correlation(by_question["delta"].to_numpy(), by_question["gap_mean"].to_numpy()),
        "length_correlation": rank_correlation(measured["delta"].to_numpy(), measured["length_difference"].to_numpy()),
    }


def _of_traces(scores: pl.DataFrame) -> dict[str, float | int | None]:
    """Columns of a row that its rated traces give."""
    mixed = scores.filter(pl.col("is_mixed")).drop_nulls("is_correct")
    return {
        "reliability": icc(scores),
        "verdict_correlation": correlation(mixed["mean_score"].to_numpy(), mixed["is_correct"].to_numpy()),
        "n_mixed": mixed.height,
    }


def correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Pearson's correlation of two arrays of shape (n,), in [-1, 1]; None below three points or for a constant.

    With a variable that is 0 or 1 it is the point-biserial correlation.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if len(a) < _FEWEST_POINTS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))


def rank_correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Spearman's correlation, tied values at their mean rank; None as for :func:`correlation`.

    References:
        Spearman (1904), The proof and measurement of association between two things.
    """
    from scipy.stats import rankdata

    return correlation(rankdata(first), rankdata(second))

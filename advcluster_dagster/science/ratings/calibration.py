"""Calibration of the rater: reliability checks to consult before any delta.

The paper on preference deltas calls its judge calibrated without describing a calibration; these checks are this
project's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from advcluster_dagster.contracts.ratings import DIMENSIONS, FAULT_DIMENSIONS, LOGIC_DIMENSIONS, RATING_CALIBRATIONS
from advcluster_dagster.science.ratings.reliability import (
    SUMS,
    intraclass_correlation,
    trace_sums,
    with_traces,
)
from advcluster_dagster.science.statistics.resampling import MIN_KEYS, FloatArray, percentile_interval, replicate_sums

#: Minimum ICC(1,k), minimum area under the curve, maximum change of a score that a fault must not affect.
MIN_RELIABILITY = 0.7
MIN_AREA = 0.6
MAX_CHANGE = 0.5
_TRACE = ["question_id", "role", "trial"]
_Row = tuple[str, str, float | None, float | None, float | None, int, int, float, bool | None]


@dataclass(frozen=True)
class Bootstrap:
    """Confidence level in (0, 1), number of replicates, and random generator."""

    confidence: float
    n_bootstrap: int
    rng: np.random.Generator


def rating_calibrations(
    ratings: pl.DataFrame, traces: pl.DataFrame, faulted: pl.DataFrame, bootstrap: Bootstrap
) -> pl.DataFrame:
    """Check repeatability, discrimination and detection of injected faults, with intervals over source keys.

    - ``repeatability``: ICC(1,k) of each dimension over all rated traces; passed if at least .7.
    - ``discrimination``: on the logic dimensions, the probability that a right trace scores above a wrong trace of the
      same question and role (:func:`discrimination`); passed if at least .6.
    - ``changed_number``, ``added_filler``: mean change of a trace's mean score caused by the fault. The dimension that
      must detect it passes if its interval lies below 0, the others if the mean change is within .5 of 0.

    Args:
        ratings: Columns question_id, role, trial, dimension, generation, score of ``trace_ratings``.
        traces: Columns domain, source_key, question_id, role, trial, is_correct of the rated traces.
        faulted: Ratings of faulted traces: question_id, role, trial, fault, dimension, generation, score.
        bootstrap: Settings of the intervals.

    Returns:
        Rows of ``rating_calibrations``: every check on each of its dimensions. Value and is_passed are null if
        undefined; intervals are null for fewer than five source keys.

    Raises:
        ValueError: A rated trace is not among the traces.
    """
    traces = traces.select("domain", "source_key", *_TRACE, "is_correct")
    scores = with_traces(trace_sums(ratings), traces)
    changes = fault_changes(scores, with_traces(trace_sums(faulted, "fault"), traces))
    rows = [*_repeatability(scores, bootstrap)]
    areas = discrimination(scores.filter(pl.col("dimension").is_in(LOGIC_DIMENSIONS)))
    for dimension, columns in _means_by_key(areas, "area", LOGIC_DIMENSIONS, bootstrap).items():
        is_undecided = columns[0] is None or columns[4] < MIN_KEYS
        is_passed = None if is_undecided else (columns[0] or 0.0) >= MIN_AREA
        rows.append(("discrimination", dimension, *columns, MIN_AREA, is_passed))
    for fault in FAULT_DIMENSIONS:
        rows.extend(_fault_rows(fault, changes.filter(fault=fault), bootstrap))
    return pl.DataFrame(rows, schema=RATING_CALIBRATIONS.own_schema, orient="row")


def discrimination(scores: pl.DataFrame) -> pl.DataFrame:
    """Area under the ROC curve of the mean score for right versus wrong traces of the same question and role.

    The share of (right, wrong) couples in which the right trace has the higher mean score, with ties counting 1/2:
    (R - n_r (n_r + 1) / 2) / (n_r n_w), where R is the sum of the ranks of the n_r right traces. 1 if every right trace
    scores above every wrong trace, 1/2 if scores are uninformative. Comparing within question and role excludes effects
    of a question's difficulty and of the model.

    Args:
        scores: Columns domain, source_key, question_id, role, trial, dimension, mean_score, is_correct; one row per
            trace and dimension. Traces without a verdict are ignored.

    Returns:
        Columns domain, source_key, question_id, dimension, area (mean over the question's roles that have right and
        wrong traces), sorted; questions without such a role have no row.

    References:
        Hanley and McNeil (1982), The meaning and use of the area under a receiver operating characteristic curve.
    """
    group = ["domain", "source_key", "question_id", "dimension", "role"]
    graded = scores.drop_nulls("is_correct").with_columns(rank=pl.col("mean_score").rank("average").over(group))
    n_right = pl.col("is_correct").sum().cast(pl.Float64)
    rank_sum = pl.col("rank").filter(pl.col("is_correct")).sum()
    return (
        graded.group_by(group)
        .agg(n_right=n_right, n_wrong=pl.len() - n_right, rank_sum=rank_sum)
        .filter((pl.col("n_right") > 0) & (pl.col("n_wrong") > 0))
        .with_columns(
            area=(pl.col("rank_sum") - pl.col("n_right") * (pl.col("n_right") + 1) / 2)
            / (pl.col("n_right") * pl.col("n_wrong"))
        )
        .sort(group)
        .group_by(group[:-1], maintain_order=True)
        .agg(pl.col("area").mean())
    )


def fault_changes(scores: pl.DataFrame, faulted: pl.DataFrame) -> pl.DataFrame:
    """Mean score of each faulted trace minus that of the original trace.

    Args:
        scores: Columns question_id, role, trial, dimension, mean_score of the original traces.
        faulted: Columns domain, source_key, question_id, role, trial, fault, dimension, mean_score.

    Returns:
        Columns domain, source_key, question_id, role, trial, fault, dimension, change, sorted; no row if the original
        trace has no score.
    """
    key = [*_TRACE, "dimension"]
    columns = ["domain", "source_key", *_TRACE, "fault", "dimension"]
    before = scores.select(*key, before="mean_score")
    change = pl.col("mean_score") - pl.col("before")
    return faulted.join(before, on=key, validate="m:1").select(*columns, change=change).sort(columns)


def _repeatability(scores: pl.DataFrame, bootstrap: Bootstrap) -> list[_Row]:
    keyed = _with_key_index(scores)
    strata = _strata(keyed)
    sums = np.zeros((len(strata), len(DIMENSIONS), len(SUMS)))
    places = np.array([DIMENSIONS.index(name) for name in keyed["dimension"]], dtype=np.int64)
    np.add.at(sums, (keyed["key"].to_numpy(), places), keyed.select(SUMS).to_numpy())
    flat = sums.reshape(len(strata), len(DIMENSIONS) * len(SUMS))
    sampled = replicate_sums(flat, strata, bootstrap.n_bootstrap, bootstrap.rng)
    replicates = intraclass_correlation(sampled.reshape(-1, len(DIMENSIONS), len(SUMS)))
    values = intraclass_correlation(sums.sum(axis=0))
    rows: list[_Row] = []
    for place, dimension in enumerate(DIMENSIONS):
        n_keys, n_traces = int((sums[:, place, 0] > 0).sum()), int(sums[:, place, 0].sum())
        value = None if np.isnan(values[place]) else float(values[place])
        low, high = _interval(replicates[:, place], n_keys, bootstrap) if value is not None else (None, None)
        is_passed = None if value is None or n_keys < MIN_KEYS else value >= MIN_RELIABILITY
        rows.append(("repeatability", dimension, value, low, high, n_traces, n_keys, MIN_RELIABILITY, is_passed))
    return rows


def _fault_rows(fault: str, changes: pl.DataFrame, bootstrap: Bootstrap) -> list[_Row]:
    """Rows of one fault: the dimension that must detect it, and those that must not change."""
    rows: list[_Row] = []
    for dimension, columns in _means_by_key(changes, "change", DIMENSIONS, bootstrap).items():
        value, _, high, _, n_keys = columns
        is_undecided = value is None or n_keys < MIN_KEYS
        threshold, is_passed = MAX_CHANGE, None if is_undecided else abs(value or 0.0) <= MAX_CHANGE
        if dimension == FAULT_DIMENSIONS[fault]:
            threshold, is_passed = 0.0, None if high is None else high < 0
        rows.append((fault, dimension, *columns, threshold, is_passed))
    return rows


def _means_by_key(
    rows: pl.DataFrame, column: str, dimensions: Sequence[str], bootstrap: Bootstrap
) -> dict[str, tuple[float | None, float | None, float | None, int, int]]:
    """(mean, low, high, number of rows, number of keys) by dimension, all from the same resamples of keys."""
    keyed = _with_key_index(rows)
    strata = _strata(keyed)
    sums = np.zeros((len(strata), 2, len(dimensions)))
    places = np.array([dimensions.index(name) for name in keyed["dimension"]], dtype=np.int64)
    for kind, values in enumerate((keyed[column].to_numpy(), np.ones(keyed.height))):
        np.add.at(sums[:, kind], (keyed["key"].to_numpy(), places), values)
    draws = replicate_sums(sums.reshape(len(strata), 2 * len(dimensions)), strata, bootstrap.n_bootstrap, bootstrap.rng)
    totals, counts = np.moveaxis(draws.reshape(-1, 2, len(dimensions)), 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates = totals / counts
    means = {}
    for place, dimension in enumerate(dimensions):
        n, n_keys = int(sums[:, 1, place].sum()), int((sums[:, 1, place] > 0).sum())
        mean = float(sums[:, 0, place].sum()) / n if n else None
        means[dimension] = (mean, *_interval(replicates[:, place], n_keys, bootstrap), n, n_keys)
    return means


def _with_key_index(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the index of each row's source key, in order of domain and key, independent of row order."""
    keys = rows.select("domain", "source_key").unique().sort("domain", "source_key").with_row_index("key")
    return rows.join(
        keys.with_columns(pl.col("key").cast(pl.Int64)), on=["domain", "source_key"], maintain_order="left"
    )


def _strata(keyed: pl.DataFrame) -> list[str]:
    """Domain of each key, in the order of key indices."""
    return keyed.unique("key").sort("key")["domain"].to_list()


def _interval(replicates: FloatArray, n_keys: int, bootstrap: Bootstrap) -> tuple[float | None, float | None]:
    return percentile_interval(replicates, bootstrap.confidence) if n_keys >= MIN_KEYS else (None, None)

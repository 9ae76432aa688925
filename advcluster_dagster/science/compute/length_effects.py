"""Whether long traces go with wrong answers within a question, where its difficulty is the same.

Between questions, wrong traces are long because hard questions are: that says nothing of a trace. The difference of the
mean log2 lengths of a question's wrong and right trials does not have that fault. What is left in it are truncated
trials, which are wrong because they are long; so the effect without them stands beside it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.science.statistics.resampling import (
    MIN_KEYS,
    FloatArray,
    IntArray,
    percentile_interval,
    replicate_sums,
)


def question_length_effects(trials: pl.DataFrame) -> pl.DataFrame:
    """Mean log2 tokens of a question's wrong trials minus that of its right ones, by role.

    Args:
        trials: question_id, role, completion_tokens, is_correct, is_truncated. Trials that are not scored, or whose
            tokens are null or 0, are left out.

    Returns:
        question_id, role, length_effect and length_effect_finished (without truncated trials): 1 means that wrong
        traces are twice as long (geometric mean). Null where a question has trials of one outcome only, as always with
        one trial. Rows by question and role.

    >>> rows = [("q", "larger", n, n == 64, n == 256) for n in (64, 128, 256)]
    >>> names = ["question_id", "role", "completion_tokens", "is_correct", "is_truncated"]
    >>> question_length_effects(pl.DataFrame(rows, schema=names, orient="row")).row(0)
    ('q', 'larger', 1.5, 1.0)
    """
    bits = pl.col("completion_tokens").log(2)
    right, wrong = bits.filter(pl.col("is_correct")), bits.filter(~pl.col("is_correct"))
    finished = bits.filter(~pl.col("is_correct") & ~pl.col("is_truncated"))
    measured = trials.filter(pl.col("is_correct").is_not_null(), pl.col("completion_tokens") > 0)
    return (
        measured.group_by("question_id", "role")
        .agg(length_effect=wrong.mean() - right.mean(), length_effect_finished=finished.mean() - right.mean())
        .sort("question_id", "role")
    )


def mean_intervals(
    values: Sequence[FloatArray],
    keys: IntArray,
    strata: npt.ArrayLike,
    confidence: float,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> list[tuple[float | None, float | None]]:
    """Percentile intervals of several means over the same questions, from one draw of source keys.

    Args:
        values: of each mean, float64 of shape (n,), NaN where a question does not count in it.
        keys: source key of each question as a number from 0, shape (n,).
        strata: stratum of each key, shape (C,).
        confidence: of the intervals, (0, 1).
        n_bootstrap: replicates B.
        rng: source of random numbers.

    Returns:
        (low, high) of each mean; nulls where fewer than five keys have a value.
    """
    n_keys = len(np.asarray(strata))
    counted = [~np.isnan(column) for column in values]
    counts = [np.bincount(keys, is_counted, n_keys) for is_counted in counted]
    able = [place for place, count in enumerate(counts) if (count > 0).sum() >= MIN_KEYS]
    if not able:
        return [(None, None)] * len(values)
    sums = [np.bincount(keys, np.nan_to_num(values[place]), n_keys) for place in able]
    totals = np.stack([*sums, *(counts[place] for place in able)], axis=1)
    replicates = replicate_sums(totals, strata, n_bootstrap, rng)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = replicates[:, : len(able)] / replicates[:, len(able) :]
    intervals = {place: percentile_interval(column, confidence) for place, column in zip(able, means.T, strict=True)}
    return [intervals.get(place, (None, None)) for place in range(len(values))]

"""Association of trace length with wrong answers within questions, where difficulty is constant.

Between questions, wrong traces are longer because hard questions have longer traces. The difference of the mean log2
lengths of a question's wrong and right trials avoids this confounding. Truncated trials remain a confounder, since they
are wrong because they are long; therefore the effect without them is also computed.
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
    """Mean log2 tokens of a question's wrong trials minus that of its right trials, by role.

    Args:
        trials: Columns question_id, role, completion_tokens, is_correct, is_truncated. Trials that are unscored, or
            whose tokens are null or 0, are ignored.

    Returns:
        Columns question_id, role, length_effect and length_effect_finished (without truncated trials), sorted by
        question and role: 1 means that wrong traces are twice as long (geometric mean). Null if all trials of a
        question have the same outcome.

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
    """Percentile intervals of several means over the same questions, from the same resamples of source keys.

    Args:
        values: Values of each mean, float64 of shape (n,), NaN for questions not included.
        keys: Source key of each question as an integer from 0, shape (n,).
        strata: Stratum of each key, shape (C,).
        confidence: Confidence level of the intervals, in (0, 1).
        n_bootstrap: Number of replicates B.
        rng: Random generator.

    Returns:
        (low, high) of each mean; (None, None) if fewer than five keys have a value.
    """
    n_keys = len(np.asarray(strata))
    counted = [~np.isnan(column) for column in values]
    counts = [np.bincount(keys, is_counted, n_keys) for is_counted in counted]
    defined = [i for i, count in enumerate(counts) if (count > 0).sum() >= MIN_KEYS]
    if not defined:
        return [(None, None)] * len(values)
    sums = [np.bincount(keys, np.nan_to_num(values[i]), n_keys) for i in defined]
    totals = np.stack([*sums, *(counts[i] for i in defined)], axis=1)
    replicates = replicate_sums(totals, strata, n_bootstrap, rng)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = replicates[:, : len(defined)] / replicates[:, len(defined) :]
    intervals = {i: percentile_interval(column, confidence) for i, column in zip(defined, means.T, strict=True)}
    return [intervals.get(i, (None, None)) for i in range(len(values))]

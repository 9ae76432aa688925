"""Split-half gaps: select questions on half of the trials and measure the gap on the other half, over all splits."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.question_set import SPLIT_HALF_GAPS
from advcluster_dagster.science.question_set.question_statistics import least_gap_correct
from advcluster_dagster.science.question_set.selection import is_complete
from advcluster_dagster.science.statistics.resampling import (
    MIN_KEYS,
    FloatArray,
    IntArray,
    bootstrap_weights,
    codes_of,
    percentile_interval,
)


@lru_cache(maxsize=65536)
def split_half(x_larger: int, x_smaller: int, n_trials: int, min_gap: float) -> tuple[float, float, float]:
    """Probability of selection on one half of the trials, and expected gaps on both halves.

    Over all splits of T trials into h = T // 2 for selection and T - h for replication: the probability P that the rule
    selects the question, and the P-weighted sums of the gap on the selecting and on the other half.

    >>> p, _, e = split_half(8, 2, 10, 0.6)
    >>> round(p, 4), round(e / p, 4)
    (0.7037, 0.5018)
    """
    from scipy.stats import hypergeom

    half = n_trials // 2
    n_correct = np.arange(half + 1)
    larger, smaller = (hypergeom.pmf(n_correct, n_trials, x, half) for x in (x_larger, x_smaller))
    joint = np.outer(larger, smaller)
    gaps = n_correct[:, None] - n_correct[None, :]
    joint = np.where(gaps >= least_gap_correct(min_gap, half), joint, 0.0)
    replicated_gaps = ((x_larger - n_correct)[:, None] - (x_smaller - n_correct)[None, :]) / (n_trials - half)
    return float(joint.sum()), float((joint * gaps / half).sum()), float((joint * replicated_gaps).sum())


def split_half_gaps(
    pass_rates: pl.DataFrame,
    min_gap: float,
    trials: int,
    confidence: float,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Expected number of questions selected on half of the trials, and their gap on either half, by domain.

    The rule at h trials is noisier than the study's at T, so the replicated gap is a lower bound of the selected
    questions' gap on fresh trials, not an estimate. Only the interval uses random numbers.

    Args:
        pass_rates: Columns domain, question_id, source_key and the counts of ``pass_rate_table``, of one family.
        min_gap: Minimum gap, in (0, 1].
        trials: Number of trials T; the table is empty for a single trial.
        confidence: Confidence level of the interval.
        n_bootstrap: Number of replicates of the key bootstrap.
        rng: Random generator.

    Returns:
        Rows of ``split_half_gaps``, domains in order, then ``all``.
    """
    complete = pass_rates.filter(is_complete(trials)) if trials > 1 else pass_rates.clear()
    parts = [(str(domain), part) for (domain,), part in complete.group_by("domain", maintain_order=True)]
    rows = []
    for domain, part in [*parts, *([("all", complete)] if parts else [])]:
        counts = part.select("larger_n_correct", "smaller_n_correct").iter_rows()
        p, selected, replicated = np.array([split_half(*row, trials, min_gap) for row in counts]).T
        keys = codes_of(list(part.select("domain", "source_key").iter_rows()))
        low, high = _interval(p, replicated, keys, part["domain"].to_numpy(), confidence, n_bootstrap, rng)
        total = float(p.sum())
        means = (float(selected.sum()) / total, float(replicated.sum()) / total) if total > 0 else (None, None)
        rows.append((domain, part.height, len(np.unique(keys)), total, *means, low, high))
    return pl.DataFrame(rows, schema=SPLIT_HALF_GAPS.own_schema, orient="row")


def _interval(
    p: FloatArray,
    replicated: FloatArray,
    keys: IntArray,
    domains: npt.NDArray[np.str_],
    confidence: float,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[float | None, float | None]:
    n_keys = int(keys.max()) + 1
    if n_keys < MIN_KEYS or not p.any():
        return None, None
    strata = domains[np.unique(keys, return_index=True)[1]]
    weights = bootstrap_weights(strata, n_bootstrap, rng)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (weights @ np.bincount(keys, replicated)) / (weights @ np.bincount(keys, p))
    return percentile_interval(ratios, confidence)

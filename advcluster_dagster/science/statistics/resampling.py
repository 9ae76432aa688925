"""Resampling of source items: seeds, bootstrap weights, percentile intervals, permutation p-values.

A source key identifies the item that one or several questions come from (both CRUXEval tasks of one program, the
questions of one passage). Keys are resampled, never questions or advantages, and always within their stratum, the
domain.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Minimum number of source keys for a bootstrap interval.
MIN_KEYS = 5
#: Maximum number of bootstrap weights in memory at a time.
_MAX_WEIGHTS = 20_000_000


def table_rng(seed: int, *names: str | None) -> np.random.Generator:
    """Random generator of one table, determined by study seed, table, family and domain."""
    text = "\x1f".join([str(seed), *(name or "" for name in names)])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def codes_of(values: Sequence[object]) -> IntArray:
    """Encode values as integers 0, 1, … in order of first appearance, int64 of shape (n,)."""
    codes: dict[object, int] = {}
    return np.array([codes.setdefault(value, len(codes)) for value in values], dtype=np.int64)


def bootstrap_weights(strata: npt.ArrayLike, n_bootstrap: int, rng: np.random.Generator) -> IntArray:
    """Number of times each key is sampled in each bootstrap replicate.

    Args:
        strata: Stratum of each key, shape (C,); every stratum keeps its number of keys.
        n_bootstrap: Number of replicates B.
        rng: Random generator.

    Returns:
        int64 of shape (B, C).
    """
    stratum_of_key = np.asarray(strata)
    weights = np.zeros((n_bootstrap, len(stratum_of_key)), dtype=np.int64)
    for stratum in dict.fromkeys(stratum_of_key.tolist()):
        members = np.flatnonzero(stratum_of_key == stratum)
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=n_bootstrap)
    return weights


def replicate_sums(sums: FloatArray, strata: npt.ArrayLike, n_bootstrap: int, rng: np.random.Generator) -> FloatArray:
    """Bootstrap replicates of sums over keys, resampled within strata, with bounded memory.

    Args:
        sums: One row per key, shape (C, m).
        strata: Stratum of each key, shape (C,).
        n_bootstrap: Number of replicates B.
        rng: Random generator.

    Returns:
        float64 of shape (B, m).
    """
    step = max(1, _MAX_WEIGHTS // max(len(sums), 1))
    parts = [
        bootstrap_weights(strata, min(step, n_bootstrap - start), rng).astype(np.float64) @ sums
        for start in range(0, n_bootstrap, step)
    ]
    return np.concatenate(parts) if parts else np.empty((0, sums.shape[1]))


def percentile_interval(replicates: FloatArray, confidence: float) -> tuple[float | None, float | None]:
    """Percentile interval of bootstrap replicates, ignoring NaN; (None, None) if no replicate is defined."""
    defined = replicates[~np.isnan(replicates)]
    if not defined.size:
        return None, None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def permutation_p(observed: float, replicates: FloatArray, is_upper: bool = True) -> float:
    """Permutation p-value (1 + number of replicates at least as extreme) / (B + 1), which is never 0.

    Args:
        observed: Statistic of the data.
        replicates: Statistics of permuted data, shape (B,).
        is_upper: Whether large values are extreme, rather than small ones.

    References:
        Phipson and Smyth (2010), Permutation p-values should never be zero.
    """
    tolerance = 1e-9 * max(1.0, abs(observed))  # sums in a different order count as equal
    extreme = replicates >= observed - tolerance if is_upper else replicates <= observed + tolerance
    return (1 + int(extreme.sum())) / (len(replicates) + 1)


def q_values(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg adjusted p-values, in input order.

    References:
        Benjamini and Hochberg (1995), Controlling the false discovery rate.

    >>> [round(q, 3) for q in q_values([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    if not p_values:
        return []
    from scipy.stats import false_discovery_control

    return [float(q) for q in false_discovery_control(np.asarray(p_values), method="bh")]

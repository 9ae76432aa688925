"""Resampling of source items: seeds, bootstrap weights, percentile intervals, permutation p-values.

A source key names the item that one or several questions come from (both CRUXEval tasks of one program, the questions
of one passage). Keys are drawn, never questions or advantages, and always within their stratum, the domain.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Fewer source keys than this give no bootstrap interval.
MIN_KEYS = 5
#: Bootstrap weights held at a time, in numbers.
_MOST_WEIGHTS = 20_000_000


def table_rng(seed: int, *names: str | None) -> np.random.Generator:
    """The generator of one table's random numbers: the same for the same study seed, table, family and domain."""
    text = "\x1f".join([str(seed), *(name or "" for name in names)])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def codes_of(values: Sequence[object]) -> IntArray:
    """Each value as the number of its first occurrence, int64 of shape (n,): 0, 1, … in order of appearance."""
    known: dict[object, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)


def bootstrap_weights(strata: npt.ArrayLike, n_bootstrap: int, rng: np.random.Generator) -> IntArray:
    """How often each key is drawn in each bootstrap replicate.

    Args:
        strata: stratum of each key, shape (C,); every stratum keeps its number of keys.
        n_bootstrap: number of replicates B.
        rng: source of random numbers.

    Returns:
        int64 of shape (B, C).
    """
    of_key = np.asarray(strata)
    weights = np.zeros((n_bootstrap, len(of_key)), dtype=np.int64)
    for stratum in dict.fromkeys(of_key.tolist()):
        members = np.flatnonzero(of_key == stratum)
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=n_bootstrap)
    return weights


def replicate_sums(sums: FloatArray, strata: npt.ArrayLike, n_bootstrap: int, rng: np.random.Generator) -> FloatArray:
    """Bootstrap replicates of sums over keys, drawn within strata, at a bounded use of memory.

    Args:
        sums: a row a key, shape (C, m).
        strata: stratum of each key, shape (C,).
        n_bootstrap: replicates B.
        rng: source of random numbers.

    Returns:
        float64 of shape (B, m).
    """
    step = max(1, _MOST_WEIGHTS // max(len(sums), 1))
    parts = [
        bootstrap_weights(strata, min(step, n_bootstrap - start), rng).astype(np.float64) @ sums
        for start in range(0, n_bootstrap, step)
    ]
    return np.concatenate(parts) if parts else np.empty((0, sums.shape[1]))


def percentile_interval(replicates: FloatArray, confidence: float) -> tuple[float | None, float | None]:
    """Percentile interval of bootstrap replicates, NaN left out; nulls where no replicate is defined."""
    defined = replicates[~np.isnan(replicates)]
    if not defined.size:
        return None, None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def permutation_p(observed: float, replicates: FloatArray, is_upper: bool = True) -> float:
    """(1 + number of replicates at least as extreme) / (B + 1), which is never 0.

    Args:
        observed: the statistic of the data.
        replicates: of permuted data, shape (B,).
        is_upper: whether large values are extreme, else small ones.

    References:
        Phipson and Smyth (2010), Permutation p-values should never be zero.
    """
    tolerance = 1e-9 * max(1.0, abs(observed))  # equal values that were summed in another order count as equal
    extreme = replicates >= observed - tolerance if is_upper else replicates <= observed + tolerance
    return (1 + int(extreme.sum())) / (len(replicates) + 1)


def q_values(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg adjusted p-values, in the order given.

    References:
        Benjamini and Hochberg (1995), Controlling the false discovery rate.

    >>> [round(q, 3) for q in q_values([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    if not p_values:
        return []
    from scipy.stats import false_discovery_control

    return [float(q) for q in false_discovery_control(np.asarray(p_values), method="bh")]

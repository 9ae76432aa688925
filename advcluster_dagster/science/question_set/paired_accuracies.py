"""Paired accuracies of both models on the same questions, with intervals of the means and of their difference.

The mean over benchmarks, then over domains, is the paper's (table 1). Its standard error is clustered by source key; it
differs from the spread over trials reported in the paper, which is the variation of one trial of all questions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from advcluster_dagster.contracts.question_set import PAIRED_ACCURACIES
from advcluster_dagster.science.statistics.resampling import FloatArray, IntArray, codes_of, permutation_p

#: Sum of the normal quantiles of 80 % power and a two-sided 5 % level.
_POWER_FACTOR = 2.80


@dataclass(frozen=True)
class WeightedMean:
    """A weighted mean over questions with standard error and interval; None with fewer than two keys."""

    mean: float
    standard_error: float | None
    low: float | None
    high: float | None


def weighted_mean(
    values: FloatArray, weights: FloatArray, benchmarks: IntArray, keys: IntArray, confidence: float
) -> WeightedMean:
    """Weighted mean with a standard error clustered by source key and centred by benchmark.

    Var = sum over keys c of (sum over q in c of w_q sqrt(C_b / (C_b - 1)) (d_q - mean of d in b))^2, where C_b counts
    the keys of q's benchmark b; without this factor, small benchmarks contribute too little variance. The interval is
    Student's t with Satterthwaite's degrees of freedom.

    Args:
        values: d_q, shape (n,).
        weights: w_q, summing to 1, shape (n,).
        benchmarks: Benchmark of each question as an integer from 0, shape (n,).
        keys: Source key of each question as an integer from 0, shape (n,).
        confidence: Confidence level of the interval, in (0, 1).

    Returns:
        The mean with standard error and interval; these are None if a benchmark has a single key.

    References:
        Satterthwaite (1946), An approximate distribution of estimates of variance components; Miller (2024), Adding
        error bars to evals (clustered standard errors).

    >>> d = np.array([.6, .2, -.1, .4]); w = np.full(4, .25); b = np.zeros(4, int)
    >>> [round(v, 6) for v in vars(weighted_mean(d, w, b, np.arange(4), .95)).values()]
    [0.275, 0.149304, -0.200152, 0.750152]
    """
    # Rounding must not move the mean beyond the values: an accuracy is at most 1.
    mean = float(np.clip(weights @ values, values.min(), values.max()))
    n_benchmarks = int(benchmarks.max()) + 1
    n_keys = np.array([len(np.unique(keys[benchmarks == b])) for b in range(n_benchmarks)])
    if (n_keys < 2).any():
        return WeightedMean(mean, None, None, None)
    means = np.bincount(benchmarks, values) / np.bincount(benchmarks)
    terms = weights * np.sqrt(n_keys / (n_keys - 1))[benchmarks] * (values - means[benchmarks])
    variance = float((np.bincount(keys, terms) ** 2).sum())
    variances = np.array(
        [(np.bincount(keys[benchmarks == b], terms[benchmarks == b]) ** 2).sum() for b in range(n_benchmarks)]
    )
    error = float(np.sqrt(variance))
    if not variances.any():
        return WeightedMean(mean, error, mean, mean)
    freedom = float(variances.sum() ** 2 / (variances**2 / (n_keys - 1)).sum())
    from scipy.stats import t

    margin = float(t.ppf((1 + confidence) / 2, freedom)) * error
    return WeightedMean(mean, error, mean - margin, mean + margin)


def task_format(answer_type: str) -> pl.Expr:
    """``multiple_choice`` if an answer is one or several options, else ``open_ended``."""
    is_choice = pl.col(answer_type).is_in(["choice", "choices"])
    return pl.when(is_choice).then(pl.lit("multiple_choice")).otherwise(pl.lit("open_ended"))


def paired_accuracies(
    questions: pl.DataFrame, confidence: float, n_permutations: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Compare both models by benchmark, by domain and over the family, each for all task formats and by format.

    Args:
        questions: Columns domain, benchmark, question_id, source_key, task_format, larger_n_scored, larger_n_correct,
            smaller_n_scored, smaller_n_correct of one family. Questions without a scored trial of both are ignored.
        confidence: Confidence level of the intervals, in (0, 1).
        n_permutations: Number of sign flips for a p-value.
        rng: Random generator.

    Returns:
        Rows of ``paired_accuracies``, accuracies and differences as fractions.
    """
    scored = questions.filter((pl.col("larger_n_scored") > 0) & (pl.col("smaller_n_scored") > 0))
    formats = ["all", *scored["task_format"].unique().sort()]
    formats = formats if len(formats) > 2 else ["all"]
    rows = [
        (*key, _compare(part, confidence, n_permutations, rng))
        for task_format in formats
        for key, part in _levels(
            scored if task_format == "all" else scored.filter(pl.col("task_format") == task_format), task_format
        )
    ]
    schema = PAIRED_ACCURACIES.own_schema
    return pl.DataFrame([(*row[:-1], *row[-1]) for row in rows], schema=schema, orient="row")


def _levels(rows: pl.DataFrame, task_format: str) -> Iterator[tuple[tuple[str, str, str, str], pl.DataFrame]]:
    if rows.is_empty():
        return
    for (domain, benchmark), part in rows.group_by("domain", "benchmark", maintain_order=True):
        yield ("benchmark", str(domain), str(benchmark), task_format), part
    for (domain,), part in rows.group_by("domain", maintain_order=True):
        yield ("domain", str(domain), "all", task_format), part
    yield ("family", "all", "all", task_format), rows


def _weights(domains: Sequence[str], benchmarks: Sequence[tuple[str, str]]) -> FloatArray:
    """Weights of the unweighted mean over questions, then benchmarks, then domains."""
    n_benchmarks = {domain: len({b for b in benchmarks if b[0] == domain}) for domain in set(domains)}
    sizes = {benchmark: benchmarks.count(benchmark) for benchmark in set(benchmarks)}
    return np.array([1 / (len(n_benchmarks) * n_benchmarks[b[0]] * sizes[b]) for b in benchmarks])


def _compare(
    rows: pl.DataFrame, confidence: float, n_permutations: int, rng: np.random.Generator
) -> tuple[float | int | None, ...]:
    """Compute the non-key columns of one row."""
    benchmark_names = list(rows.select("domain", "benchmark").iter_rows())
    weights = _weights(rows["domain"].to_list(), benchmark_names)
    benchmarks, keys = codes_of(benchmark_names), codes_of(list(rows.select("domain", "source_key").iter_rows()))
    n_scored = {role: rows[f"{role}_n_scored"].to_numpy().astype(float) for role in ("larger", "smaller")}
    rates = {role: rows[f"{role}_n_correct"].to_numpy() / n_scored[role] for role in n_scored}
    gaps = rates["larger"] - rates["smaller"]
    difference, larger, smaller = (
        weighted_mean(values, weights, benchmarks, keys, confidence)
        for values in (gaps, rates["larger"], rates["smaller"])
    )
    error = difference.standard_error
    return (
        rows.height,
        len(np.unique(keys)),
        larger.mean,
        smaller.mean,
        difference.mean,
        error,
        _clipped(difference.low, -1.0),
        _clipped(difference.high, -1.0),
        sign_flip_p(np.bincount(keys, weights * gaps).astype(np.float64), n_permutations, rng),
        _clipped(larger.low),
        _clipped(larger.high),
        _clipped(smaller.low),
        _clipped(smaller.high),
        _correlation(rates["larger"], rates["smaller"]),
        int((gaps > 0).sum()),
        int((gaps == 0).sum()),
        int((gaps < 0).sum()),
        _trial_share(weights, rates, n_scored, error),
        None if error is None else _POWER_FACTOR * error,
    )


def is_gap_shown(paired: pl.DataFrame, tests: pl.DataFrame) -> bool:
    """Whether a family's larger model is better beyond chance, overall or on single questions.

    Clusters describe selected questions, and chance alone also selects questions. Claims about clusters (stability,
    specialisation in a domain) are therefore made only if one of the two holds.

    Args:
        paired: Rows of ``paired_accuracies`` of one family.
        tests: Rows of ``gap_tests`` of the family.

    Returns:
        True if the interval of the family's difference lies above 0, or if any question's gap is a discovery.
    """
    family_row = paired.filter(pl.col("level") == "family", pl.col("task_format") == "all")
    return bool((family_row["difference_low"] > 0).any()) or bool(tests["is_discovery"].any())


def sign_flip_p(key_sums: FloatArray, n_permutations: int, rng: np.random.Generator) -> float | None:
    """Two-sided p-value that a sum over keys is 0, by flipping the signs of keys; None for fewer than two keys."""
    if len(key_sums) < 2:
        return None
    signs = rng.integers(0, 2, size=(n_permutations, len(key_sums)), dtype=np.int8) * 2.0 - 1.0
    return permutation_p(abs(float(key_sums.sum())), np.abs(signs @ key_sums))


def _clipped(value: float | None, lowest: float = 0.0) -> float | None:
    """Clip a bound of a t interval, which may exceed the range for few questions."""
    return None if value is None else min(max(value, lowest), 1.0)


def _correlation(larger: FloatArray, smaller: FloatArray) -> float | None:
    if len(larger) < 2 or np.ptp(larger) == 0 or np.ptp(smaller) == 0:
        return None
    return float(np.clip(np.corrcoef(larger, smaller)[0, 1], -1, 1))


def _trial_share(
    weights: FloatArray, rates: dict[str, FloatArray], n_scored: dict[str, FloatArray], error: float | None
) -> float | None:
    """Share of the difference's variance caused by the limited number of trials T, in [0, 1]."""
    if not error or any((n < 2).any() for n in n_scored.values()):
        return None
    trial_variances = sum(rates[role] * (1 - rates[role]) / (n_scored[role] - 1) for role in rates)
    return min(1.0, float((weights**2 * trial_variances).sum()) / error**2)

"""Accuracies of both models on the same questions, with intervals of the means and of their difference.

The mean over benchmarks, then over domains, is the paper's (table 1). Its standard error counts source keys, and the
spread over trials that the paper prints is something else: how much one trial of all questions varies.
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
    """A weighted mean over questions, and how sure it is; nulls where fewer than two keys make that unknown."""

    mean: float
    standard_error: float | None
    low: float | None
    high: float | None


def weighted_mean(
    values: FloatArray, weights: FloatArray, benchmarks: IntArray, keys: IntArray, confidence: float
) -> WeightedMean:
    """Weighted mean with a standard error clustered by source key and centred by benchmark.

    Var = sum over keys c of (sum over q in c of w_q sqrt(C_b / (C_b - 1)) (d_q - mean of d in b))^2, where C_b counts
    the keys of q's benchmark b: without the factor a small benchmark's share of the variance is too small. The interval
    is Student's t with Satterthwaite's degrees of freedom.

    Args:
        values: d_q, shape (n,).
        weights: w_q, summing to 1, shape (n,).
        benchmarks: benchmark of each question as a number from 0, shape (n,).
        keys: source key of each question as a number from 0, shape (n,).
        confidence: of the interval, (0, 1).

    Returns:
        Standard error and interval are None where a benchmark has a single key.

    References:
        Satterthwaite (1946), An approximate distribution of estimates of variance components; Miller (2024), Adding
        error bars to evals (clustered standard errors).

    >>> d = np.array([.6, .2, -.1, .4]); w = np.full(4, .25); b = np.zeros(4, int)
    >>> [round(v, 6) for v in vars(weighted_mean(d, w, b, np.arange(4), .95)).values()]
    [0.275, 0.149304, -0.200152, 0.750152]
    """
    # Rounding must not lift the mean of equal values above them: an accuracy is at most 1.
    mean = float(np.clip(weights @ values, values.min(), values.max()))
    n_benchmarks = int(benchmarks.max()) + 1
    n_keys = np.array([len(np.unique(keys[benchmarks == b])) for b in range(n_benchmarks)])
    if (n_keys < 2).any():
        return WeightedMean(mean, None, None, None)
    means = np.bincount(benchmarks, values) / np.bincount(benchmarks)
    terms = weights * np.sqrt(n_keys / (n_keys - 1))[benchmarks] * (values - means[benchmarks])
    variance = float((np.bincount(keys, terms) ** 2).sum())
    of_benchmark = np.array(
        [(np.bincount(keys[benchmarks == b], terms[benchmarks == b]) ** 2).sum() for b in range(n_benchmarks)]
    )
    error = float(np.sqrt(variance))
    if not of_benchmark.any():
        return WeightedMean(mean, error, mean, mean)
    freedom = float(of_benchmark.sum() ** 2 / (of_benchmark**2 / (n_keys - 1)).sum())
    from scipy.stats import t

    reach = float(t.ppf((1 + confidence) / 2, freedom)) * error
    return WeightedMean(mean, error, mean - reach, mean + reach)


def task_format(answer_type: str) -> pl.Expr:
    """``multiple_choice`` where an answer is one or several options, else ``open_ended``."""
    is_choice = pl.col(answer_type).is_in(["choice", "choices"])
    return pl.when(is_choice).then(pl.lit("multiple_choice")).otherwise(pl.lit("open_ended"))


def paired_accuracies(
    questions: pl.DataFrame, confidence: float, n_permutations: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Paired comparison by benchmark, by domain and over the family, each for all task formats and by format.

    Args:
        questions: domain, benchmark, question_id, source_key, task_format, larger_n_scored, larger_n_correct,
            smaller_n_scored, smaller_n_correct of one family. Questions without a scored trial of both are left out.
        confidence: of the intervals, (0, 1).
        n_permutations: sign flips behind a p-value.
        rng: source of random numbers.

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
    """Weights that make the plain mean over questions, then benchmarks, then domains."""
    of_domain = {domain: len({b for b in benchmarks if b[0] == domain}) for domain in set(domains)}
    sizes = {benchmark: benchmarks.count(benchmark) for benchmark in set(benchmarks)}
    return np.array([1 / (len(of_domain) * of_domain[b[0]] * sizes[b]) for b in benchmarks])


def _compare(
    rows: pl.DataFrame, confidence: float, n_permutations: int, rng: np.random.Generator
) -> tuple[float | int | None, ...]:
    """The columns of one row behind its key."""
    places = list(rows.select("domain", "benchmark").iter_rows())
    weights = _weights(rows["domain"].to_list(), places)
    benchmarks, keys = codes_of(places), codes_of(list(rows.select("domain", "source_key").iter_rows()))
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
        _within(difference.low, -1.0),
        _within(difference.high, -1.0),
        sign_flip_p(np.bincount(keys, weights * gaps).astype(np.float64), n_permutations, rng),
        _within(larger.low),
        _within(larger.high),
        _within(smaller.low),
        _within(smaller.high),
        _correlation(rates["larger"], rates["smaller"]),
        int((gaps > 0).sum()),
        int((gaps == 0).sum()),
        int((gaps < 0).sum()),
        _trial_share(weights, rates, n_scored, error),
        None if error is None else _POWER_FACTOR * error,
    )


def is_gap_shown(paired: pl.DataFrame, tests: pl.DataFrame) -> bool:
    """Whether a family's larger model is better beyond chance, over all questions or on single ones.

    Clusters describe kept questions, which chance alone would keep as well. So nothing is said of them, neither that
    they are stable nor that they belong to a domain, unless one of the two holds.

    Args:
        paired: rows of ``paired_accuracies`` of one family.
        tests: rows of ``gap_tests`` of the family.

    Returns:
        True where the interval of the family's difference lies above 0, or a question's gap is a discovery.
    """
    whole = paired.filter(pl.col("level") == "family", pl.col("task_format") == "all")
    return bool((whole["difference_low"] > 0).any()) or bool(tests["is_discovery"].any())


def sign_flip_p(key_sums: FloatArray, n_permutations: int, rng: np.random.Generator) -> float | None:
    """Two-sided p-value that a sum over keys is 0, by flipping the sign of whole keys; None below two keys."""
    if len(key_sums) < 2:
        return None
    signs = rng.integers(0, 2, size=(n_permutations, len(key_sums)), dtype=np.int8) * 2.0 - 1.0
    return permutation_p(abs(float(key_sums.sum())), np.abs(signs @ key_sums))


def _within(value: float | None, least: float = 0.0) -> float | None:
    """An end of an interval, not beyond what can be: a t interval of few questions reaches past the bounds."""
    return None if value is None else min(max(value, least), 1.0)


def _correlation(larger: FloatArray, smaller: FloatArray) -> float | None:
    if len(larger) < 2 or np.ptp(larger) == 0 or np.ptp(smaller) == 0:
        return None
    return float(np.clip(np.corrcoef(larger, smaller)[0, 1], -1, 1))


def _trial_share(
    weights: FloatArray, rates: dict[str, FloatArray], n_scored: dict[str, FloatArray], error: float | None
) -> float | None:
    """Share of the difference's variance that comes from having T trials and not more, [0, 1]."""
    if not error or any((n < 2).any() for n in n_scored.values()):
        return None
    of_trials = sum(rates[role] * (1 - rates[role]) / (n_scored[role] - 1) for role in rates)
    return min(1.0, float((weights**2 * of_trials).sum()) / error**2)

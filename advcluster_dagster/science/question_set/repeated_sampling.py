"""Accuracy of repeated sampling: pass@k with a perfect checker, majority votes without one."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import comb

import numpy as np
import polars as pl

from advcluster_dagster.contracts.question_set import MAJORITY_VOTES, PASS_AT_K_RATES
from advcluster_dagster.science.question_set.answer_counts import answer_counts
from advcluster_dagster.science.question_set.paired_accuracies import weighted_mean
from advcluster_dagster.science.statistics.resampling import codes_of

#: Sample sizes k reported in addition to T and the study's.
STANDARD_K = (1, 2, 3, 5)
#: Maximum number of distributions of k votes over the answers for an exact computation.
_MAX_COMPOSITIONS = 20_000
_N_DRAWS = 1000


def pass_at_k(n_correct: int, n_scored: int, k: int) -> float | None:
    """Probability that at least one of k trials, sampled without replacement, is correct; None below k trials.

    References:
        Chen et al. (2021), Evaluating large language models trained on code (the unbiased estimator).

    >>> [round(pass_at_k(3, 10, k), 6) for k in (1, 2, 3, 5, 8)]
    [0.3, 0.533333, 0.708333, 0.916667, 1.0]
    """
    return None if n_scored < k else 1 - comb(n_scored - n_correct, k) / comb(n_scored, k)


@lru_cache(maxsize=65536)
def majority_vote(n_correct: int, n_wrong: tuple[int, ...], n_silent: int, k: int, seed: int) -> tuple[float, float]:
    """Probability that the most frequent answer of k trials is correct, and that the vote is tied.

    Trials are sampled without replacement; each of m tied answers counts 1/m.

    Args:
        n_correct: Number of trials with the correct answer, in any spelling.
        n_wrong: Number of trials of each wrong answer, in a fixed order.
        n_silent: Number of trials that do not vote.
        k: Number of trials sampled, at most the total.
        seed: Seed of the 1,000 samples that replace the exact computation if there are very many answers.

    >>> right, _ = majority_vote(3, (2, 1), 0, 3, 0)  # three of A A A B B C, where A is correct
    >>> round(right, 6)
    0.6
    """
    counts = [n_correct, *n_wrong, n_silent]
    if comb(len(counts) + k - 1, k) > _MAX_COMPOSITIONS:
        draws = np.random.default_rng(seed).multivariate_hypergeometric(counts, k, size=_N_DRAWS)
        outcomes = [(1 / _N_DRAWS, tuple(map(int, draw))) for draw in draws]
    else:
        total = comb(sum(counts), k)
        outcomes = [(ways / total, draw) for ways, draw in _draws(tuple(counts), k)]
    right = tied = 0.0
    for probability, draw in outcomes:
        votes = draw[:-1]
        n_votes = max(votes)
        n_tied = votes.count(n_votes)
        if n_votes:
            right += probability / n_tied if votes[0] == n_votes else 0.0
            tied += probability if n_tied > 1 else 0.0
    return right, tied


def _draws(counts: tuple[int, ...], k: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (number of subsets, count of each class) for all ways to sample k."""
    if len(counts) == 1:
        if k <= counts[0]:
            yield comb(counts[0], k), (k,)
        return
    for first in range(min(k, counts[0]) + 1):
        for ways, rest in _draws(counts[1:], k - first):
            yield comb(counts[0], first) * ways, (first, *rest)


def sample_sizes(trials: int, requested: Sequence[int]) -> list[int]:
    """Sample sizes k of the tables: 1, 2, 3, 5, T and the requested sizes, at most T."""
    return sorted({k for k in (*STANDARD_K, trials, *requested) if 1 <= k <= trials})


def pass_at_k_rates(trials: pl.DataFrame, sizes: Sequence[int], confidence: float) -> pl.DataFrame:
    """Compute pass@k by benchmark and role, with intervals over source keys.

    Args:
        trials: Columns benchmark, role, question_id, source_key, is_correct (null for unscored trials).
        sizes: Sample sizes k.
        confidence: Confidence level of the interval.

    Returns:
        Rows of ``pass_at_k_rates``; questions with fewer than k scored trials are ignored and not counted.
    """
    scored = trials.drop_nulls("is_correct")
    questions = scored.group_by("benchmark", "role", "question_id", "source_key", maintain_order=True).agg(
        n_correct=pl.col("is_correct").sum(), n_scored=pl.len()
    )
    rows = []
    for (benchmark, role), part in questions.group_by("benchmark", "role", maintain_order=True):
        for k in sizes:
            values = [pass_at_k(c, n, k) for c, n in part.select("n_correct", "n_scored").iter_rows()]
            rows.append((benchmark, role, k, *_mean_of(values, part["source_key"].to_list(), confidence)))
    table = pl.DataFrame(rows, schema=[name for name in PASS_AT_K_RATES.own_schema if name != "reaches_larger"],
                         orient="row", infer_schema_length=None)  # fmt: skip
    if table.is_empty():
        return pl.DataFrame(schema=PASS_AT_K_RATES.own_schema)
    single = table.filter((pl.col("role") == "larger") & (pl.col("k") == 1)).select("benchmark", larger_mean="mean")
    reaches = pl.when(pl.col("role") == "smaller").then(pl.col("mean") >= pl.col("larger_mean"))
    joined = table.join(single, on="benchmark", how="left", maintain_order="left").with_columns(reaches_larger=reaches)
    return joined.select(pl.col(name).cast(dtype) for name, dtype in PASS_AT_K_RATES.own_schema.items())


def majority_votes(trials: pl.DataFrame, sizes: Sequence[int], confidence: float, seed: int) -> pl.DataFrame:
    """Compute the accuracy of majority votes of k trials by benchmark and role.

    All correct answers are one class; wrong answers are distinguished by text without white space, numbers by value.
    Trials without an answer do not vote.

    Args:
        trials: Columns benchmark, role, question_id, source_key, answer_type, prediction, verdict, is_correct.
        sizes: Sample sizes k.
        confidence: Confidence level of the interval.
        seed: Seed of the samples of :func:`majority_vote`.

    Returns:
        Rows of ``majority_votes``.
    """
    scored = trials.drop_nulls("is_correct")
    by_question = scored.group_by("benchmark", "role", "question_id", "source_key", maintain_order=True).agg(
        rate=pl.col("is_correct").mean(), n=pl.len()
    )
    counted = by_question.join(answer_counts(trials), on=["question_id", "role"], how="left", maintain_order="left")
    parts: dict[tuple[str, str], list[tuple[str, float, int, tuple[int, tuple[int, ...], int]]]] = {}
    for benchmark, role, _question, key, rate, n, n_correct, wrong, n_silent in counted.iter_rows():
        parts.setdefault((benchmark, role), []).append((key, rate, n, (n_correct, tuple(wrong), n_silent)))
    rows = []
    for (benchmark, role), questions in parts.items():
        for k in sizes:
            with_k_trials = [(key, rate, answers) for key, rate, n, answers in questions if n >= k]
            votes = [majority_vote(*answers, k, seed) for _, _, answers in with_k_trials]
            right = [vote for vote, _ in votes]
            shares: tuple[float | None, ...] = (None, None, None)
            if votes:
                rates = [rate for _, rate, _ in with_k_trials]
                shares = (
                    float(np.mean([tie for _, tie in votes])),
                    float(np.mean([v if r < 0.5 else 0.0 for v, r in zip(right, rates, strict=True)])),
                    float(np.mean([1 - v if r > 0.5 else 0.0 for v, r in zip(right, rates, strict=True)])),
                )
            rows.append((benchmark, role, k, *_mean_of(right, [key for key, *_ in with_k_trials], confidence), *shares))
    return pl.DataFrame(rows, schema=MAJORITY_VOTES.own_schema, orient="row")


def _mean_of(
    values: Sequence[float | None], keys: Sequence[str], confidence: float
) -> tuple[float | None, float | None, float | None, int]:
    """(mean, low, high, number of questions) over the defined values."""
    pairs = [(value, key) for value, key in zip(values, keys, strict=True) if value is not None]
    if not pairs:
        return None, None, None, 0
    n = len(pairs)
    mean = weighted_mean(
        np.array([value for value, _ in pairs]),
        np.full(n, 1 / n),
        np.zeros(n, dtype=np.int64),
        codes_of([key for _, key in pairs]),
        confidence,
    )
    ends = (None if end is None else min(max(end, 0.0), 1.0) for end in (mean.low, mean.high))
    low, high = ends
    return min(max(mean.mean, 0.0), 1.0), low, high, n

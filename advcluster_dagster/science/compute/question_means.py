"""Nested means over questions, then benchmarks, then domains, as for accuracies in paper table 1."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.science.question_set.paired_accuracies import weighted_mean
from advcluster_dagster.science.statistics.resampling import FloatArray, IntArray, codes_of


@dataclass(frozen=True)
class Places:
    """Domain, benchmark and source key of n questions as integers from 0, each int64 of shape (n,).

    Benchmarks and source keys of different domains have different numbers.
    """

    domains: IntArray
    benchmarks: IntArray
    keys: IntArray

    @classmethod
    def of(cls, questions: pl.DataFrame) -> "Places":
        """Encode rows with columns domain, benchmark and source_key."""
        return cls(
            codes_of(questions["domain"].to_list()),
            codes_of(list(questions.select("domain", "benchmark").iter_rows())),
            codes_of(list(questions.select("domain", "source_key").iter_rows())),
        )

    @property
    def n_keys(self) -> int:
        """Number of distinct source keys."""
        return len(np.unique(self.keys))

    def take(self, mask: npt.NDArray[np.bool_]) -> "Places":
        """Places of the selected questions, renumbered from 0."""
        parts = (np.unique(codes[mask], return_inverse=True)[1] for codes in (self.domains, self.benchmarks, self.keys))
        return Places(*(codes.astype(np.int64) for codes in parts))

    def weights(self) -> FloatArray:
        """Weights of the unweighted mean over questions, then benchmarks, then domains; shape (n,), summing to 1."""
        n_questions = np.bincount(self.benchmarks)
        domain_of_benchmark = np.zeros(len(n_questions), dtype=np.int64)
        domain_of_benchmark[self.benchmarks] = self.domains
        n_benchmarks = np.bincount(domain_of_benchmark)
        weights: FloatArray = 1.0 / (
            len(n_benchmarks) * n_benchmarks[self.domains] * n_questions[self.benchmarks].astype(np.float64)
        )
        return weights


def nested_mean(values: FloatArray, places: Places) -> float | None:
    """Compute the mean over questions, then benchmarks, then domains.

    Args:
        values: Value of each question, NaN if undefined; shape (n,).
        places: Places of the same questions.

    Returns:
        The mean over the defined values; None if a benchmark has none, since means over different benchmarks are not
        comparable.
    """
    defined = ~np.isnan(values)
    if not defined.any() or len(np.unique(places.benchmarks[defined])) < len(np.unique(places.benchmarks)):
        return None
    mean = places.take(defined).weights() @ values[defined]
    return float(np.clip(mean, values[defined].min(), values[defined].max()))  # rounding must not exceed the values


def accuracy_interval(
    values: FloatArray, places: Places, confidence: float
) -> tuple[float, float | None, float | None]:
    """(mean, low, high) in [0, 1] of defined values; low and high are None if a benchmark has a single key."""
    estimate = weighted_mean(values, places.weights(), places.benchmarks, places.keys, confidence)
    low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in (estimate.low, estimate.high))
    return min(max(estimate.mean, 0.0), 1.0), low, high


def mark_paired(trials: pl.DataFrame) -> pl.DataFrame:
    """Sort trials and add ``is_paired``: whether both models have a scored trial of the question.

    Args:
        trials: domain, benchmark, question_id, role, trial, is_correct of one family, and any other columns.
    """
    n_roles = pl.col("role").filter(pl.col("is_correct").is_not_null()).n_unique().over("question_id")
    return trials.sort("domain", "benchmark", "question_id", "role", "trial").with_columns(is_paired=n_roles == 2)

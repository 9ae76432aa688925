"""Statistics of each question's gap, and reliability of the selection of questions."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Literal

import numpy as np
import polars as pl

from advcluster_dagster.contracts.question_set import GAP_TESTS, QUESTION_STATISTICS, SELECTION_RELIABILITIES
from advcluster_dagster.science.question_set.gap_posteriors import (
    MIN_QUESTIONS,
    GapPosteriors,
    fit_joint_prior,
    jeffreys_posteriors,
    joint_posteriors,
)
from advcluster_dagster.science.question_set.selection import is_complete, is_kept
from advcluster_dagster.science.statistics.proportions import boschloo_p, jeffreys_interval
from advcluster_dagster.science.statistics.resampling import IntArray, q_values

Prior = Literal["auto", "empirical", "jeffreys"]
_COUNTS = ("larger_n_correct", "larger_n_scored", "smaller_n_correct", "smaller_n_scored")


@dataclass(frozen=True)
class GapRule:
    """The study's rule for selecting questions, and settings of the statistics.

    Attributes:
        min_gap: Minimum gap of a selected question, in (0, 1].
        trials: Number of trials T.
        confidence: Confidence level of all intervals, in (0, 1).
        fdr: False discovery rate of the gap tests, in (0, 1).
        prior: ``empirical`` estimates a joint prior, ``jeffreys`` uses independent Jeffreys priors, ``auto`` estimates
            a joint prior if there are enough complete questions.
    """

    min_gap: float
    trials: int
    confidence: float = 0.95
    fdr: float = 0.05
    prior: Prior = "auto"


def question_statistics(pass_rates: pl.DataFrame, source_keys: pl.DataFrame, rule: GapRule) -> pl.DataFrame:
    """Compute intervals, gap posterior, test and variation of every question with a scored trial of both models.

    Args:
        pass_rates: Rows of ``pass_rate_table`` of one family and domain.
        source_keys: Columns question_id, source_key.
        rule: Selection rule and settings of the statistics.

    Returns:
        Rows of ``question_statistics`` in the order given. Statistics are null for a question that lacks a scored trial
        of either model.
    """
    rows = pass_rates.join(source_keys, on="question_id", how="left", maintain_order="left").with_columns(
        pl.col("source_key").fill_null(pl.col("question_id")),
        is_selected=is_kept(rule.min_gap, rule.trials).fill_null(False),
    )
    scored = rows.filter((pl.col("larger_n_scored") > 0) & (pl.col("smaller_n_scored") > 0))
    counts = _counts(scored)
    posteriors = _posteriors(scored, counts, priors_of(pass_rates, rule), rule)
    columns: dict[str, object] = {"question_id": scored["question_id"]}
    for role, first in (("larger", 0), ("smaller", 2)):
        low, high = jeffreys_interval(counts[:, first], counts[:, first + 1], rule.confidence)
        columns |= {f"{role}_low": low, f"{role}_high": high}
        columns[f"{role}_variation"] = [_variation(*map(int, row)) for row in counts[:, first : first + 2]]
    columns |= {
        "gap_mean": posteriors.mean,
        "gap_low": posteriors.low,
        "gap_high": posteriors.high,
        "gap_positive_probability": posteriors.positive,
        "gap_reached_probability": posteriors.reached,
        "half_gap_probability": posteriors.half_reached,
        "p_value": [boschloo_p(*map(int, row)) for row in counts],
    }
    measured = pl.DataFrame(columns, schema_overrides={"question_id": pl.String}, strict=False)
    joined = rows.join(measured, on="question_id", how="left", maintain_order="left")
    schema = QUESTION_STATISTICS.own_schema
    return joined.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def priors_of(pass_rates: pl.DataFrame, rule: GapRule) -> dict[str, str]:
    """The prior used for each benchmark's questions: ``benchmark``, ``domain`` or ``jeffreys``."""
    complete = pass_rates.filter(is_complete(rule.trials))
    sizes = dict(complete.group_by("benchmark").len().iter_rows())
    names = pass_rates["benchmark"].unique(maintain_order=True).to_list()
    if rule.prior == "jeffreys":
        return dict.fromkeys(names, "jeffreys")
    min_questions = 1 if rule.prior == "empirical" else MIN_QUESTIONS
    pooled = "domain" if complete.height >= min_questions else "jeffreys"
    return {name: "benchmark" if sizes.get(name, 0) >= MIN_QUESTIONS else pooled for name in names}


def _posteriors(rows: pl.DataFrame, counts: IntArray, priors: Mapping[str, str], rule: GapRule) -> GapPosteriors:
    is_complete_row = rows.select(is_complete(rule.trials).alias("is"))["is"].to_numpy()
    benchmarks = rows["benchmark"].to_numpy()
    parts: dict[str, np.ndarray] = {name: np.full(len(rows), np.nan) for name in GapPosteriors.__dataclass_fields__}
    groups = [(kind := priors[name], name if kind == "benchmark" else "") for name in benchmarks]
    for kind, name in dict.fromkeys(groups):
        members = np.array([group == (kind, name) for group in groups], dtype=bool)
        if kind == "jeffreys":
            posteriors = jeffreys_posteriors(counts[members], rule.min_gap, rule.confidence)
        else:
            in_prior = is_complete_row & (benchmarks == name if kind == "benchmark" else True)
            posteriors = joint_posteriors(
                counts[members], fit_joint_prior(counts[in_prior]), rule.min_gap, rule.confidence
            )
        for field, values in parts.items():
            values[members] = getattr(posteriors, field)
    return GapPosteriors(**parts)


def _counts(rows: pl.DataFrame) -> IntArray:
    return rows.select(_COUNTS).to_numpy().astype(np.int64).reshape(-1, 4)


def _variation(n_correct: int, n_scored: int) -> float | None:
    """Coefficient of variation of the 0/1 scores, sqrt((1 - p) / p); None at p = 0.

    >>> round(_variation(3, 10), 6)
    1.527525
    """
    return sqrt((n_scored - n_correct) / n_correct) if n_correct else None


def gap_tests(statistics: pl.DataFrame, complete: pl.DataFrame, fdr: float) -> pl.DataFrame:
    """Benjamini-Hochberg tests over all complete questions of a family, selected or not, to avoid selecting twice.

    Args:
        statistics: Rows of ``question_statistics`` of one family.
        complete: Columns domain, question_id of its complete questions.
        fdr: False discovery rate, in (0, 1).
    """
    tested = complete.join(
        statistics.select("domain", "question_id", "p_value"),
        on=["domain", "question_id"],
        how="inner",
        maintain_order="left",
    ).drop_nulls("p_value")
    adjusted = q_values(tested["p_value"].to_list())
    rows = tested.with_columns(q_value=pl.Series(adjusted, dtype=pl.Float64))
    return rows.with_columns(is_discovery=pl.col("q_value") <= fdr).select(GAP_TESTS.own_schema.names())


def selection_reliabilities(
    statistics: pl.DataFrame, pass_rates: pl.DataFrame, tests: pl.DataFrame, trials: int
) -> pl.DataFrame:
    """Estimate how much of the selected questions' observed gap persists on fresh trials, by domain and overall.

    Args:
        statistics: Rows of ``question_statistics`` of one family.
        pass_rates: Rows of ``pass_rate_table`` of the family.
        tests: Rows of ``gap_tests``.
        trials: Number of trials T.

    Returns:
        Rows of ``selection_reliabilities``; shares and gaps are null without selected questions.
    """
    keys = ["domain", "question_id"]
    pool = (
        pass_rates.filter(is_complete(trials))
        .select(*keys, "pass_rate_gap")
        .join(statistics, on=keys, how="inner", maintain_order="left")
        .join(tests.select(*keys, "is_discovery"), on=keys, how="left", maintain_order="left")
    )
    is_selected = pl.col("is_selected")
    measures = (
        pl.len().cast(pl.Int64).alias("n_pool"),
        is_selected.sum().cast(pl.Int64).alias("n_kept"),
        pl.col("pass_rate_gap").filter(is_selected).mean().alias("observed_gap"),
        pl.col("gap_mean").filter(is_selected).mean().alias("estimated_gap"),
        (1 - pl.col("gap_reached_probability").filter(is_selected).mean()).alias("false_keep_share"),
        (1 - pl.col("half_gap_probability").filter(is_selected).mean()).alias("half_false_keep_share"),
        (1 - pl.col("gap_positive_probability").filter(is_selected).mean()).alias("no_gap_share"),
        pl.col("gap_reached_probability").filter(~is_selected).sum().alias("expected_missed"),
        pl.col("is_discovery").fill_null(False).sum().cast(pl.Int64).alias("n_discoveries"),
    )
    by_domain = pool.group_by("domain", maintain_order=True).agg(measures)
    overall = pool.select(pl.lit("all").alias("domain"), *measures)
    shares = ("false_keep_share", "half_false_keep_share", "no_gap_share")
    rows = pl.concat([by_domain, overall]) if pool.height else by_domain
    return rows.with_columns(pl.col(shares).clip(0, 1)).select(SELECTION_RELIABILITIES.own_schema.names())


def least_gap_correct(min_gap: float, n_trials: int) -> int:
    """Minimum surplus of correct trials of the larger model for a gap of ``min_gap``, exact for decimal fractions.

    >>> least_gap_correct(0.6, 10), least_gap_correct(0.6, 2)
    (6, 2)
    """
    share = Fraction(str(min_gap)) * n_trials
    return -(-share.numerator // share.denominator)

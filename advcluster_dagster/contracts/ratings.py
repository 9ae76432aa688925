"""Tables of rated traces: scores, differences within pairs, and the rater's reliability."""

import polars as pl

from advcluster_dagster.contracts.columns import (
    PAIR_ID,
    QUESTION_ID,
    ROLE,
    SOURCE_KEY,
    TRIAL,
    count,
    flag,
    number,
    rate,
    text,
)
from advcluster_dagster.contracts.table import Column, Table

#: Dimensions by category of the rubric, in the order of all tables.
DIMENSIONS_BY_CATEGORY: dict[str, tuple[str, ...]] = {
    "logic": ("factuality", "strategy", "step_coherence", "computational_precision"),
    "brevity": ("signal_to_noise",),
}
DIMENSIONS: tuple[str, ...] = tuple(name for names in DIMENSIONS_BY_CATEGORY.values() for name in names)
#: Dimensions on which a correct trace should score above a wrong one of the same question and role.
LOGIC_DIMENSIONS: tuple[str, ...] = DIMENSIONS_BY_CATEGORY["logic"]
LOWEST_SCORE, HIGHEST_SCORE = 1, 5
LARGEST_DELTA = HIGHEST_SCORE - LOWEST_SCORE

#: Faults injected into correct traces, with the dimension whose score must drop.
FAULT_DIMENSIONS: dict[str, str] = {
    "changed_number": "computational_precision",
    "added_filler": "signal_to_noise",
}
CHECKS: tuple[str, ...] = ("repeatability", "discrimination", *FAULT_DIMENSIONS)


def _dimension(name: str = "dimension", description: str = "Rated dimension.") -> Column:
    return text(name, description, allowed=DIMENSIONS)


def _score(name: str, description: str) -> Column:
    return number(name, description, LOWEST_SCORE, HIGHEST_SCORE)


TRACE_RATINGS = Table(
    "trace_ratings",
    "family_domain",
    "The rater's scores of each trace, one row per dimension and generation; failed replies have no rows.",
    ("question_id", "role", "trial", "dimension", "generation"),
    (
        QUESTION_ID,
        ROLE,
        TRIAL,
        _dimension(),
        count("generation", "Number of the rater's reply to the same trace, from 0."),
        Column(
            "score",
            pl.Int64(),
            "5 (faultless) to 1 (failed); null if the rater declines to rate the dimension.",
            True,
            LOWEST_SCORE,
            HIGHEST_SCORE,
        ),
        text("justification", "The rater's reason; empty if it gave none."),
        Column("deductions", pl.List(pl.String()), "Faults named by the rater."),
        flag("is_truncated", "Whether the trace ends at the token limit."),
    ),
    section="ratings",
)
TRACE_QUALITIES = Table(
    "trace_qualities",
    "family_domain",
    "Mean score of each rated trace over the generations.",
    ("question_id", "role", "trial", "dimension"),
    (
        QUESTION_ID,
        ROLE,
        TRIAL,
        _dimension(),
        _score("mean_score", "Mean score over the generations with a score; null if there are none."),
        number("sd", "Sample standard deviation over these generations; null below two.", 0),
        count("n_generations", "Generations with a score."),
    ),
    section="ratings",
)
QUALITY_DELTAS = Table(
    "quality_deltas",
    "family_domain",
    "Rating of the larger model's trace minus that of the smaller model's trace, per pair.",
    ("pair_id", "dimension"),
    (
        PAIR_ID,
        _dimension(),
        QUESTION_ID,
        SOURCE_KEY,
        _score("larger_score", "Mean score of the larger model's trace; null if not rated."),
        _score("smaller_score", "Mean score of the smaller model's trace; null if not rated."),
        number("delta", "larger_score - smaller_score; null if either is null.", -LARGEST_DELTA, LARGEST_DELTA),
    ),
    section="ratings",
)
DELTA_SUMMARIES = Table(
    "delta_summaries",
    "family",
    "Mean difference in rated quality by domain and dimension, with its correlates.",
    ("domain", "dimension"),
    (
        text("domain", "Domain; `all` for the family."),
        _dimension(),
        count("n_pairs", "Pairs with a delta."),
        count("n_unrated", "Pairs without a delta because a trace is not rated."),
        count("n_questions", "Questions among the pairs with a delta."),
        count("n_keys", "Source keys of these questions, the resampling unit of the interval."),
        number("mean_delta", "Mean delta over pairs; null if there are none.", -LARGEST_DELTA, LARGEST_DELTA),
        number("low", "Lower bound of its confidence interval, over source keys.", -LARGEST_DELTA, LARGEST_DELTA),
        number("high", "Upper bound.", -LARGEST_DELTA, LARGEST_DELTA),
        rate("share_positive", "Share of these pairs with a delta above 0."),
        number("gap_correlation", "Spearman correlation of a question's mean delta with its gap_mean.", -1, 1),
        number("reliability", "ICC(1,k) of the mean score of k generations, over all rated traces.", None, 1),
        number(
            "verdict_correlation", "Correlation of score and correctness over the traces of the mixed sample.", -1, 1
        ),
        count("n_mixed", "Number of traces behind verdict_correlation."),
        number(
            "length_correlation", "Spearman correlation of delta and difference in trace length, over pairs.", -1, 1
        ),
    ),
    section="ratings",
)
DELTA_OVERLAPS = Table(
    "delta_overlaps",
    "family",
    "Overlap of the pairs with the largest deltas in two dimensions.",
    ("dimension_a", "dimension_b", "k"),
    (
        _dimension("dimension_a", "First dimension."),
        _dimension("dimension_b", "Second dimension, later in the order of the dimensions."),
        Column("k", pl.Int64(), "Number of pairs with the largest deltas taken per dimension.", minimum=1),
        count("n_pairs", "Pairs with a delta in both dimensions."),
        Column("n_shared", pl.Int64(), "Pairs in the top k of both dimensions; null if k exceeds n_pairs.", True, 0),
        rate("overlap_share", "n_shared / k."),
        rate("chance_share", "k / n_pairs: the expected overlap of two random draws of k pairs."),
        Column(
            "n_tied",
            pl.Int64(),
            "Pairs tied with an excluded pair; ties are broken by the hash of pair_id.",
            True,
            0,
        ),
    ),
    section="ratings",
)
RATING_CALIBRATIONS = Table(
    "rating_calibrations",
    "family",
    "Whether the rater agrees with itself, separates correct from wrong traces, and detects injected faults.",
    ("check", "dimension"),
    (
        text("check", "Name of the check.", allowed=CHECKS),
        _dimension(),
        number("estimate", "ICC(1,k), area under the ROC curve, or mean change of the score; null if undefined."),
        number("low", "Lower bound of its confidence interval, over source keys."),
        number("high", "Upper bound."),
        count("n", "Number of traces; for discrimination, questions with correct and wrong traces of a role."),
        count("n_keys", "Number of their source keys."),
        number("threshold", "Least estimate; for a fault, the largest change, or 0 if the interval must be below 0."),
        flag("is_passed", "Whether the check passes; null if undecided, for instance below five source keys.", True),
    ),
    section="ratings",
)

TABLES = (TRACE_RATINGS, TRACE_QUALITIES, QUALITY_DELTAS, DELTA_SUMMARIES, DELTA_OVERLAPS, RATING_CALIBRATIONS)

"""Tables of rated traces: scores, differences within pairs, and whether the rater can be relied on."""

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
#: Dimensions on which a right trace should score above a wrong one of the same question and role.
LOGIC_DIMENSIONS: tuple[str, ...] = DIMENSIONS_BY_CATEGORY["logic"]
LOWEST_SCORE, HIGHEST_SCORE = 1, 5
LARGEST_DELTA = HIGHEST_SCORE - LOWEST_SCORE

#: Checks of the rater, and the faults that are put into right traces, with the dimension that must see each.
FAULT_DIMENSIONS: dict[str, str] = {
    "changed_number": "computational_precision",
    "added_filler": "signal_to_noise",
}
CHECKS: tuple[str, ...] = ("repeatability", "discrimination", *FAULT_DIMENSIONS)


def _dimension(name: str = "dimension", description: str = "What is rated.") -> Column:
    return text(name, description, allowed=DIMENSIONS)


def _score(name: str, description: str) -> Column:
    return number(name, description, LOWEST_SCORE, HIGHEST_SCORE)


TRACE_RATINGS = Table(
    "trace_ratings",
    "family_domain",
    "Scores that the rater gave each trace, one row a dimension and generation; a reply that failed has none.",
    ("question_id", "role", "trial", "dimension", "generation"),
    (
        QUESTION_ID,
        ROLE,
        TRIAL,
        _dimension(),
        count("generation", "Reply of the rater to the same trace, counted from 0."),
        Column(
            "score",
            pl.Int64(),
            "5 faultless to 1 failed; null where the rater says it cannot rate the dimension.",
            True,
            LOWEST_SCORE,
            HIGHEST_SCORE,
        ),
        text("justification", "The rater's reason; empty where it gave none."),
        Column("deductions", pl.List(pl.String()), "Faults that it names."),
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
        _score("mean_score", "Mean over the generations with a score; null without any."),
        number("sd", "Sample standard deviation over them; null below two.", 0),
        count("n_generations", "Generations with a score."),
    ),
    section="ratings",
)
QUALITY_DELTAS = Table(
    "quality_deltas",
    "family_domain",
    "How much better the larger model's trace of a pair is rated than the smaller model's.",
    ("pair_id", "dimension"),
    (
        PAIR_ID,
        _dimension(),
        QUESTION_ID,
        SOURCE_KEY,
        _score("larger_score", "Mean score of the larger model's trace; null where it is not rated."),
        _score("smaller_score", "Mean score of the smaller model's trace; null where it is not rated."),
        number("delta", "larger_score - smaller_score; null where either is.", -LARGEST_DELTA, LARGEST_DELTA),
    ),
    section="ratings",
)
DELTA_SUMMARIES = Table(
    "delta_summaries",
    "family",
    "Mean difference in rated quality by domain and dimension, and what it goes along with.",
    ("domain", "dimension"),
    (
        text("domain", "Domain; `all` for the family."),
        _dimension(),
        count("n_pairs", "Pairs with a delta."),
        count("n_unrated", "Pairs without, because a trace of theirs is not rated."),
        count("n_questions", "Questions among the pairs with a delta."),
        count("n_keys", "Source keys among them, the unit of the interval."),
        number("mean_delta", "Mean delta over pairs; null without any.", -LARGEST_DELTA, LARGEST_DELTA),
        number("low", "Lower end of its interval, over source keys.", -LARGEST_DELTA, LARGEST_DELTA),
        number("high", "Upper end.", -LARGEST_DELTA, LARGEST_DELTA),
        rate("share_positive", "Share of these pairs with a delta above 0."),
        number("gap_correlation", "Spearman, question's mean delta with its gap_mean.", -1, 1),
        number("reliability", "ICC(1,k) of the mean score of k generations, over all rated traces.", None, 1),
        number("verdict_correlation", "Score with right or wrong, over the traces of the mixed sample.", -1, 1),
        count("n_mixed", "Traces behind verdict_correlation."),
        number("length_correlation", "Spearman, delta with the difference of the traces' lengths, over pairs.", -1, 1),
    ),
    section="ratings",
)
DELTA_OVERLAPS = Table(
    "delta_overlaps",
    "family",
    "How far the pairs with the largest deltas in two dimensions are the same.",
    ("dimension_a", "dimension_b", "k"),
    (
        _dimension("dimension_a", "First dimension."),
        _dimension("dimension_b", "Second dimension, behind the first in their order."),
        Column("k", pl.Int64(), "Pairs taken of each dimension, those with the largest deltas.", minimum=1),
        count("n_pairs", "Pairs with a delta in both dimensions."),
        Column("n_shared", pl.Int64(), "Pairs among the k of both; null for more than n_pairs.", True, 0),
        rate("overlap_share", "n_shared / k."),
        rate("chance_share", "k / n_pairs: what two random draws of k share on average."),
        Column(
            "n_tied",
            pl.Int64(),
            "Pairs whose delta is also that of a pair left out; the pair_id's hash decides.",
            True,
            0,
        ),
    ),
    section="ratings",
)
RATING_CALIBRATIONS = Table(
    "rating_calibrations",
    "family",
    "Whether the rater agrees with itself, tells right from wrong, and sees faults put into right traces.",
    ("check", "dimension"),
    (
        text("check", "What is checked.", allowed=CHECKS),
        _dimension(),
        number("estimate", "ICC(1,k), area under the ROC curve, or mean change of the score; null where undefined."),
        number("low", "Lower end of its interval, over source keys."),
        number("high", "Upper end."),
        count("n", "Traces behind it; for discrimination, questions with right and wrong traces of a role."),
        count("n_keys", "Source keys among them."),
        number("threshold", "Least value; of a fault, the most change, or 0 that the interval must lie below."),
        flag("is_passed", "Whether the check is passed; null where undecided, as below five source keys.", True),
    ),
    section="ratings",
)

TABLES = (TRACE_RATINGS, TRACE_QUALITIES, QUALITY_DELTAS, DELTA_SUMMARIES, DELTA_OVERLAPS, RATING_CALIBRATIONS)

"""Select the analysis question set (paper section 3.2.1, table 9)."""

from fractions import Fraction
from math import ceil

import polars as pl


def select_analysis_questions(pass_rates: pl.DataFrame, min_gap: float, trials: int) -> pl.DataFrame:
    """Select the questions with a pass-rate gap of at least ``min_gap`` and all T trials of both models scored.

    A question with a missing or ungraded trial is incomplete and not selected, whatever its gap; see
    :func:`count_incomplete_questions`.

    Args:
        pass_rates: Rows of ``pass_rate_table``.
        min_gap: Minimum gap, in (0, 1].
        trials: Number of trials T.

    Returns:
        Rows of ``analysis_question_set`` in the order given.

    References:
        Paper section 3.2.1, gap-based filtering.
    """
    return pass_rates.filter(is_kept(min_gap, trials)).select(
        "question_id",
        "benchmark",
        "larger_pass_rate",
        "smaller_pass_rate",
        "pass_rate_gap",
        _n_more_correct().alias("n_more_correct"),
    )


def is_kept(min_gap: float, trials: int) -> pl.Expr:
    """Selection rule on rows of ``pass_rate_table``: all T trials of both models are scored, the gap is large enough.

    The comparison is exact, on counts: with all trials scored the gap is (n_L - n_S) / T, and ``min_gap`` is taken as a
    decimal fraction (0.6 is 3/5).

    Args:
        min_gap: Minimum gap, in (0, 1].
        trials: Number of trials T.
    """
    return is_complete(trials) & (_n_more_correct() >= ceil(Fraction(str(min_gap)) * trials))


def _n_more_correct() -> pl.Expr:
    """n_L - n_S: surplus of correct trials of the larger model."""
    return pl.col("larger_n_correct") - pl.col("smaller_n_correct")


def count_incomplete_questions(pass_rates: pl.DataFrame, trials: int) -> int:
    """Number of questions with a missing or ungraded trial of either model."""
    return pass_rates.filter(~is_complete(trials)).height


def is_complete(trials: int) -> pl.Expr:
    """Whether all T trials of both models are scored."""
    return (pl.col("larger_n_scored") == trials) & (pl.col("smaller_n_scored") == trials)

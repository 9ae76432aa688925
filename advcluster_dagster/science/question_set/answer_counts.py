"""Count how often a model gave each answer to a question, for votes over trials."""

from fractions import Fraction

import polars as pl

_SILENT = ("no_answer", "truncated")


def answer_counts(trials: pl.DataFrame) -> pl.DataFrame:
    """Count trials with the right answer, with each wrong answer, and without an answer, by question and role.

    The classes are those of ``majority_votes``: all correct answers are one class; wrong answers are distinguished by
    text without white space, numbers by value; trials without an answer and truncated trials do not vote.

    Args:
        trials: Columns question_id, role, answer_type, prediction, verdict, is_correct; unscored trials are ignored.

    Returns:
        Columns question_id, role, n_correct, n_wrong (a list, most frequent first), n_silent, sorted by question and
        role.
    """
    keys = ["question_id", "role"]
    scored = trials.filter(pl.col("is_correct").is_not_null()).cast({"is_correct": pl.Boolean})
    silent = ~pl.col("is_correct") & (pl.col("verdict").is_in(_SILENT) | pl.col("prediction").is_null())
    classed = scored.with_columns(is_silent=silent, answer=_answers(scored))
    wrong = classed.filter(~pl.col("is_correct") & ~pl.col("is_silent")).group_by(*keys, "answer").len()
    votes = wrong.group_by(keys).agg(n_wrong=pl.col("len").cast(pl.Int64).sort(descending=True))
    counts = classed.group_by(keys).agg(n_correct=pl.col("is_correct").sum(), n_silent=pl.col("is_silent").sum())
    joined = counts.join(votes, on=keys, how="left").sort(keys)
    return joined.select(
        *keys, pl.col("n_correct").cast(pl.Int64), pl.col("n_wrong").fill_null([]), pl.col("n_silent").cast(pl.Int64)
    )


def _answers(trials: pl.DataFrame) -> pl.Series:
    """Predictions without white space; numeric predictions as their value, if they have one."""
    distinct = trials.select("answer_type", "prediction").unique()
    texts = [
        None if prediction is None else _answer(prediction, answer_type == "numeric")
        for answer_type, prediction in distinct.iter_rows()
    ]
    normalised = distinct.with_columns(pl.Series("answer", texts, dtype=pl.String))
    joined = trials.select("answer_type", "prediction").join(
        normalised, on=["answer_type", "prediction"], how="left", nulls_equal=True, maintain_order="left"
    )
    return joined["answer"]


def _answer(prediction: str, is_numeric: bool) -> str:
    text = "".join(prediction.split())
    if not is_numeric:
        return text
    try:
        return f"= {Fraction(text.replace(',', ''))}"
    except (ValueError, ZeroDivisionError):
        return text

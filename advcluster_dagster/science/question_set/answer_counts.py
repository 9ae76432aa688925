"""How often a model gave each answer to a question, which is what a vote over its trials needs."""

from fractions import Fraction

import polars as pl

_SILENT = ("no_answer", "truncated")


def answer_counts(trials: pl.DataFrame) -> pl.DataFrame:
    """Trials with the right answer, with each wrong one, and without any, by question and role.

    The classes are those of ``majority_votes``: all correct answers are one; wrong ones are told apart by their text
    without spacing, numbers by value; trials without an answer and truncated ones do not vote.

    Args:
        trials: question_id, role, answer_type, prediction, verdict, is_correct; trials that are not scored are left
            out.

    Returns:
        question_id, role, n_correct, n_wrong (a list, most frequent first), n_silent. Rows by question and role.
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
    """Each prediction without its spacing; a numeric one as its value where it has one."""
    distinct = trials.select("answer_type", "prediction").unique()
    texts = [
        None if prediction is None else _answer(prediction, answer_type == "numeric")
        for answer_type, prediction in distinct.iter_rows()
    ]
    known = distinct.with_columns(pl.Series("answer", texts, dtype=pl.String))
    joined = trials.select("answer_type", "prediction").join(
        known, on=["answer_type", "prediction"], how="left", nulls_equal=True, maintain_order="left"
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

"""Judge panel: models vote on answers that the rules could not decide (an addition of this project to the paper)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from advcluster_dagster.contracts.vocabularies import UNDECIDED_VERDICTS
from advcluster_dagster.science.grading.judge_agreement import agreeing_share, cohen_kappa

#: Verdicts of the rules that decide an answer.
DECIDED = ("correct", "wrong")
#: Minimum number of votes for a decision.
MIN_VOTES = 2
#: Value of `grader` for trials decided by the panel.
PANEL = "panel"

# Answer types whose answers are executed or evaluated rather than judged by meaning.
_OF_PROGRAMS = ("python_output", "python_input")
_KEY = ("question_id", "prediction")
_PANEL_COLUMNS = (*_KEY, "answer", "symbolic_verdict", "n_votes", "n_same", "is_same")


@dataclass(frozen=True)
class Agreement:
    """Agreement of panel and rules on the answers that both decided.

    ``share`` is the share of equal decisions, in [0, 1]; None without such answers. ``kappa`` is Cohen's kappa, in
    [-1, 1], 1 for full agreement and 0 for chance level; None if panel and rules only ever gave one and the same label.
    """

    n_pairs: int
    share: float | None
    kappa: float | None


def panel_pairs(
    graded: pl.DataFrame, questions: pl.DataFrame, n_agreement_pairs: int, seed: int, family: str
) -> pl.DataFrame:
    """Select the distinct answers for the panel: all undecided ones, and a sample of decided ones to measure agreement.

    Answers of program questions are excluded. The sample consists of the answers with the lowest sha256 of seed,
    family and answer, so that added questions displace few of them.

    Args:
        graded: Rows of ``graded_trials``.
        questions: Columns question_id, answer, answer_type and prompt; others are ignored.
        n_agreement_pairs: Maximum number of decided answers sampled.
        seed: Seed of the study.
        family: Name of the family.

    Returns:
        Columns question_id, prediction, answer, symbolic_verdict and prompt, sorted by question and prediction.
    """
    of_meaning = questions.filter(~pl.col("answer_type").is_in(_OF_PROGRAMS))
    distinct = (
        graded.filter(pl.col("prediction").is_not_null())
        .select(*_KEY, symbolic_verdict="verdict")
        .unique()
        .join(of_meaning.select("question_id", "answer", "prompt"), on="question_id")
        .select(*_KEY, "answer", "symbolic_verdict", "prompt")
        .sort(_KEY)
    )
    decided = distinct.filter(pl.col("symbolic_verdict").is_in(DECIDED))
    ranks = [_rank(seed, family, *key) for key in decided.select(_KEY).iter_rows()]
    sampled = decided.with_columns(rank=pl.Series(ranks, dtype=pl.String)).sort("rank").head(n_agreement_pairs)
    undecided = distinct.filter(pl.col("symbolic_verdict").is_in(UNDECIDED_VERDICTS))
    return pl.concat([undecided, sampled.drop("rank")]).sort(_KEY)


def _rank(seed: int, family: str, question_id: str, prediction: str) -> str:
    text = "\x1f".join((str(seed), family, question_id, prediction))
    return hashlib.sha256(text.encode()).hexdigest()


def count_votes(pairs: pl.DataFrame, votes: Sequence[Sequence[bool | None]]) -> pl.DataFrame:
    """Build the rows of ``grading_panel``: the majority vote of the members that replied.

    Args:
        pairs: Result of :func:`panel_pairs`.
        votes: For each member one vote per pair: whether both answers mean the same; None without a usable reply.

    Returns:
        ``is_same`` is null for ties and for fewer than two votes.
    """
    per_pair = [[vote for vote in replies if vote is not None] for replies in zip(*votes, strict=True)]
    n_votes = pl.Series([len(usable) for usable in per_pair], dtype=pl.Int64)
    n_same = pl.Series([sum(usable) for usable in per_pair], dtype=pl.Int64)
    has_majority = (pl.col("n_votes") >= MIN_VOTES) & (2 * pl.col("n_same") != pl.col("n_votes"))
    is_same = pl.when(has_majority).then(2 * pl.col("n_same") > pl.col("n_votes"))
    return pairs.with_columns(n_votes=n_votes, n_same=n_same).with_columns(is_same=is_same).select(_PANEL_COLUMNS)


def decide_by_panel(graded: pl.DataFrame, panel: pl.DataFrame) -> pl.DataFrame:
    """Apply the panel's decisions to trials that the rules left undecided; columns and row order are preserved.

    Args:
        graded: Rows of ``graded_trials``.
        panel: Rows of ``grading_panel``.
    """
    decisions = panel.filter(pl.col("is_same").is_not_null()).select(*_KEY, "is_same")
    joined = graded.join(decisions, on=_KEY, how="left", maintain_order="left")
    is_decided = pl.col("verdict").is_in(UNDECIDED_VERDICTS) & pl.col("is_same").is_not_null()
    verdict = pl.when("is_same").then(pl.lit("correct")).otherwise(pl.lit("wrong"))
    return joined.with_columns(
        verdict=pl.when(is_decided).then(verdict).otherwise("verdict"),
        is_correct=pl.when(is_decided).then("is_same").otherwise("is_correct"),
        grader=pl.when(is_decided).then(pl.lit(PANEL)).otherwise("grader"),
    ).drop("is_same")


def measure_agreement(panel: pl.DataFrame) -> Agreement:
    """Measure the agreement of panel and rules on the answers of ``grading_panel`` that both decided.

    References:
        Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20 (1960).
    """
    both = panel.filter(pl.col("symbolic_verdict").is_in(DECIDED), pl.col("is_same").is_not_null())
    by_rule, by_panel = (both["symbolic_verdict"] == "correct").to_numpy(), both["is_same"].to_numpy().astype(bool)
    votes = np.column_stack([by_rule, by_panel])
    return Agreement(len(votes), agreeing_share(votes), cohen_kappa(votes))

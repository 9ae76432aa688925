"""Sample trace pairs (paper section 3.2.2): a correct trace of the larger and a wrong one of the smaller model."""

import hashlib
import random
from collections.abc import Iterator, Sequence

import polars as pl

from advcluster_dagster.contracts.advantage_extraction import TRACE_PAIRS
from advcluster_dagster.contracts.vocabularies import WRONG_VERDICTS


def draw_trace_pairs(
    questions: pl.DataFrame, graded: pl.DataFrame, family: str, seed: int, verdicts: Sequence[str] = WRONG_VERDICTS
) -> pl.DataFrame:
    """Sample G = min(n_L - n_S, correct trials of L, wrong trials of S) pairs for each question.

    G correct trials of the larger and G wrong trials of the smaller model are sampled without replacement and matched
    in sampling order. Each question's generator is seeded by (study seed, family, question_id), so its pairs do not
    depend on the rest of the study. n_L - n_S, the difference of the correct counts, is the gap times T.

    Args:
        questions: Rows of ``analysis_question_set``.
        graded: Rows of ``graded_trials``, including all these questions.
        family: Name of the family.
        seed: Seed of the study.
        verdicts: Verdicts of the smaller model's trials that count as wrong.

    Returns:
        Rows of ``trace_pairs``.
    """
    right = pl.col("is_correct") & (pl.col("role") == "larger")
    wrong = pl.col("verdict").is_in(list(verdicts)) & (pl.col("role") == "smaller")
    trials = {role: _trials_by_question(graded, chosen) for role, chosen in (("larger", right), ("smaller", wrong))}
    verdict_of = {(q, trial): verdict for q, trial, verdict in
                  graded.filter(wrong).select("question_id", "trial", "verdict").iter_rows()}  # fmt: skip
    rows = [
        (f"{question_id}:{index}", question_id, index, larger, smaller, verdict_of[question_id, smaller])
        for question_id, n_more_correct in questions.select("question_id", "n_more_correct").iter_rows()
        for index, (larger, smaller) in enumerate(
            _match(
                trials["larger"].get(question_id, []),
                trials["smaller"].get(question_id, []),
                n_more_correct,
                pair_generator(seed, family, question_id),
            )
        )
    ]
    return pl.DataFrame(rows, schema=TRACE_PAIRS.own_schema, orient="row")


def pair_generator(seed: int, family: str, question_id: str) -> random.Random:
    """Random generator of a question, seeded by the sha256 of (seed, family, question_id)."""
    digest = hashlib.sha256(f"{seed}\x1f{family}\x1f{question_id}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))


def _match(larger: list[int], smaller: list[int], n_pairs: int, generator: random.Random) -> Iterator[tuple[int, int]]:
    n_matched = min(n_pairs, len(larger), len(smaller))
    return zip(generator.sample(larger, n_matched), generator.sample(smaller, n_matched), strict=True)


def _trials_by_question(graded: pl.DataFrame, chosen: pl.Expr) -> dict[str, list[int]]:
    """Selected trials in ascending order, by question; ungraded trials are neither right nor wrong."""
    grouped = (
        graded.filter(chosen).sort("question_id", "trial").group_by("question_id", maintain_order=True).agg("trial")
    )
    return dict(grouped.iter_rows())

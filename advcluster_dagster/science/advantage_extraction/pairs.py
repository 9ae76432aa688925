"""Draw pairs of traces (paper section 3.2.2): a right one of the larger model with a wrong one of the smaller model."""

import hashlib
import random
from collections.abc import Iterator, Sequence

import polars as pl

from advcluster_dagster.contracts.advantage_extraction import TRACE_PAIRS
from advcluster_dagster.contracts.vocabularies import WRONG_VERDICTS


def draw_trace_pairs(
    questions: pl.DataFrame, graded: pl.DataFrame, family: str, seed: int, verdicts: Sequence[str] = WRONG_VERDICTS
) -> pl.DataFrame:
    """Draw G = min(n_L - n_S, correct trials of L, wrong trials of S) pairs for each question.

    G correct trials of the larger and G wrong trials of the smaller model are drawn without replacement and matched in
    drawn order. A question's generator is seeded by (study seed, family, question_id) alone, so its pairs do not
    depend on what else the study holds. n_L - n_S, the difference of the correct counts, is the gap times T.

    Args:
        questions: rows of ``analysis_question_set``.
        graded: rows of ``graded_trials`` of at least these questions.
        family: name of the family.
        seed: the study's seed.
        verdicts: those of the smaller model's trials that are paired.

    Returns:
        Rows of ``trace_pairs``.
    """
    right = pl.col("is_correct") & (pl.col("role") == "larger")
    wrong = pl.col("verdict").is_in(list(verdicts)) & (pl.col("role") == "smaller")
    drawn = {role: _trials_by_question(graded, chosen) for role, chosen in (("larger", right), ("smaller", wrong))}
    verdict_of = {(q, trial): verdict for q, trial, verdict in
                  graded.filter(wrong).select("question_id", "trial", "verdict").iter_rows()}  # fmt: skip
    rows = [
        (f"{question_id}:{index}", question_id, index, larger, smaller, verdict_of[question_id, smaller])
        for question_id, n_more_correct in questions.select("question_id", "n_more_correct").iter_rows()
        for index, (larger, smaller) in enumerate(
            _match(
                drawn["larger"].get(question_id, []),
                drawn["smaller"].get(question_id, []),
                n_more_correct,
                pair_generator(seed, family, question_id),
            )
        )
    ]
    return pl.DataFrame(rows, schema=TRACE_PAIRS.own_schema, orient="row")


def pair_generator(seed: int, family: str, question_id: str) -> random.Random:
    """The question's own generator, seeded by the sha256 of (seed, family, question_id)."""
    digest = hashlib.sha256(f"{seed}\x1f{family}\x1f{question_id}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))


def _match(larger: list[int], smaller: list[int], n_wanted: int, generator: random.Random) -> Iterator[tuple[int, int]]:
    n_pairs = min(n_wanted, len(larger), len(smaller))
    return zip(generator.sample(larger, n_pairs), generator.sample(smaller, n_pairs), strict=True)


def _trials_by_question(graded: pl.DataFrame, chosen: pl.Expr) -> dict[str, list[int]]:
    """Ascending trials that are chosen, by question; ungraded trials are neither right nor wrong."""
    grouped = (
        graded.filter(chosen).sort("question_id", "trial").group_by("question_id", maintain_order=True).agg("trial")
    )
    return dict(grouped.iter_rows())

"""Sample preference pairs: a chosen and a rejected trace of one question.

Scheme ``generator`` prefers a trace of the larger model to one of the smaller model, ``same_model`` pairs two traces of
one model. A combination gives the verdicts of both, chosen first: c correct, i incorrect. Every sampled pair is a row;
pairs that must not be used for training have a reason.

References:
    Sections 3.1.1 and 4 of the paper on preference deltas: pools of questions, correctness combinations.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from advcluster_dagster.contracts.preferences import COMBINATIONS, PREFERENCE_PAIRS, SCHEMES
from advcluster_dagster.science.preferences.pairing import Pair, Trial, draw_pairs, pair_fault, trial_pools

#: Why a question has no pair of a scheme and combination: not all trials are scored, no trial has the verdict needed
#: for the chosen or the rejected trace, or another requested combination has no pair.
REASONS_WITHOUT_PAIR = ("incomplete", "no_chosen_trial", "no_rejected_trial", "unmatched")
_CELL = ("scheme", "combination")


@dataclass(frozen=True)
class DrawSettings:
    """Settings of the sampling.

    Attributes:
        schemes: Subset of ``SCHEMES``.
        combinations: Subset of ``COMBINATIONS``.
        is_matched: Whether to use only questions with pairs of every requested scheme and combination, and equal
            numbers of each, so that these differ in their traces and not in their questions.
        n_per_question: Maximum number of pairs per question, scheme and combination.
        same_model_role: Role whose traces scheme ``same_model`` pairs.
        max_tokens: Maximum tokens of the prompt and a trace together; None for no limit, including unknown counts.
        accepts_unknown_finish: Whether traces without a finish reason, common for imported traces, count as finished.

    Raises:
        ValueError: A scheme or combination is unknown, or a number is below 1.
    """

    schemes: Sequence[str] = ("generator",)
    combinations: Sequence[str] = ("c_i",)
    is_matched: bool = False
    n_per_question: int = 1
    same_model_role: Literal["larger", "smaller"] = "smaller"
    max_tokens: int | None = 8192
    accepts_unknown_finish: bool = False

    def __post_init__(self) -> None:
        for name, values, allowed in (
            ("scheme", self.schemes, SCHEMES),
            ("combination", self.combinations, COMBINATIONS),
        ):
            unknown = [value for value in values if value not in allowed]
            if unknown:
                raise ValueError(f"unknown {name} {unknown[0]!r}; allowed: {', '.join(allowed)}")
        if self.n_per_question < 1 or (self.max_tokens is not None and self.max_tokens < 1):
            raise ValueError("n_per_question and max_tokens must be at least 1")

    @property
    def cells(self) -> list[tuple[str, str]]:
        """All requested (scheme, combination), in the order of the vocabularies."""
        return [(s, c) for s in SCHEMES if s in self.schemes for c in COMBINATIONS if c in self.combinations]

    def roles(self, scheme: str) -> tuple[str, str]:
        """Roles of the chosen and of the rejected trace."""
        return ("larger", "smaller") if scheme == "generator" else (self.same_model_role, self.same_model_role)


@dataclass(frozen=True)
class PreferenceDraw:
    """Sampled pairs, and counts of questions without pairs.

    Attributes:
        preferences: Rows of ``preference_pairs`` without the domain, including pairs left out; deltas, clusters and
            stages are null.
        without_pair: Number of questions by (scheme, combination, reason of ``REASONS_WITHOUT_PAIR``). Together with
            the questions in ``preferences`` they sum to all questions, for each scheme and combination.
    """

    preferences: pl.DataFrame
    without_pair: Mapping[tuple[str, str, str], int]


def draw_preferences(
    questions: pl.DataFrame,
    trials: pl.DataFrame,
    trace_pairs: pl.DataFrame,
    held_out: pl.DataFrame,
    allowed_benchmarks: Collection[str],
    settings: DrawSettings,
    n_trials: int,
    family: str,
    seed: int,
) -> PreferenceDraw:
    """Sample up to ``n_per_question`` pairs of each question, scheme and combination, using no trial twice.

    For scheme ``generator`` and combination ``c_i``, pairs of ``trace_pairs`` are used first. The rest is sampled and
    matched in sampling order, preferring trials that can be exported and different texts. The generator is seeded by
    (seed, family, scheme, combination, question_id), so that a question's pairs do not depend on other questions, on
    other combinations unless ``is_matched``, or on row order.

    Args:
        questions: Columns question_id (unique), source_key, benchmark.
        trials: Columns question_id, role, trial, is_correct (null if unscored), response, finish_reason,
            prompt_tokens, completion_tokens, of both models.
        trace_pairs: Rows of ``trace_pairs``; may be empty.
        held_out: Rows of ``held_out_matches``. Duplicates are left out, with all questions of the same source key.
        allowed_benchmarks: Benchmarks whose questions may be used for training.
        settings: Settings of the sampling.
        n_trials: Number of trials T; questions with fewer scored trials of either model have no pair.
        family: Name of the family.
        seed: Seed of the study.
    """
    pools = trial_pools(trials, n_trials, settings.max_tokens, settings.accepts_unknown_finish)
    pairs_of_question = _known_pairs(trace_pairs)
    faults = _question_faults(questions, held_out, allowed_benchmarks)
    rows: list[tuple[object, ...]] = []
    without: Counter[tuple[str, str, str]] = Counter()
    for question in questions.select("question_id", "source_key", "benchmark").sort("question_id").iter_rows():
        pool = pools.get(question[0])
        reasons = {cell: _reason_without(pool, cell, settings) for cell in settings.cells}
        if settings.is_matched and any(reasons.values()):
            reasons = {cell: reason or "unmatched" for cell, reason in reasons.items()}
        for cell, reason in reasons.items():
            if reason is not None or pool is None:
                without[*cell, reason or "incomplete"] += 1
                continue
            generator = _generator(seed, family, *cell, question[0])
            known = pairs_of_question.get(question[0], {}) if cell == ("generator", "c_i") else {}
            pairs = draw_pairs(*_sides(pool, cell, settings), list(known), settings.n_per_question, generator)
            rows += _rows(question, cell, pairs, known, faults.get(question[0]))
    preferences = _frame(rows)
    return PreferenceDraw(keep_matched(preferences) if settings.is_matched else preferences, dict(without))


def keep_matched(preferences: pl.DataFrame) -> pl.DataFrame:
    """Leave out pairs so that each question has equal numbers of exported pairs of every scheme and combination.

    Pairs with the highest index are left out as ``unmatched``. A question without an exported pair of any scheme and
    combination in the table keeps none.

    Args:
        preferences: Rows of ``preference_pairs``.
    """
    n_cells = preferences.select(_CELL).n_unique()
    exported = preferences.filter("is_exported")
    counts = exported.group_by("question_id", *_CELL).len()
    kept = counts.group_by("question_id").agg(
        n_kept=pl.when(pl.len() == n_cells).then(pl.col("len").min()).otherwise(0).cast(pl.Int64)
    )
    index = pl.col("preference_id").str.extract(r":(\d+)$").cast(pl.Int64)
    ranked = exported.select("preference_id", "question_id", place=index.rank("ordinal").over("question_id", *_CELL))
    surplus = ranked.join(kept, on="question_id").filter(pl.col("place") > pl.col("n_kept"))["preference_id"]
    return leave_out(preferences, pl.col("preference_id").is_in(surplus.to_list()), "unmatched")


def leave_out(preferences: pl.DataFrame, condition: pl.Expr, reason: str) -> pl.DataFrame:
    """Mark exported pairs that meet the condition as left out for the reason; earlier reasons are kept."""
    is_dropped = pl.col("is_exported") & condition.fill_null(False)
    return preferences.with_columns(
        is_exported=pl.col("is_exported") & ~is_dropped,
        reason_left_out=pl.when(is_dropped).then(pl.lit(reason)).otherwise(pl.col("reason_left_out")),
    )


def _known_pairs(trace_pairs: pl.DataFrame) -> dict[str, dict[tuple[int, int], str]]:
    """Ids of the trace pairs of each question in order, by (trial of the larger, trial of the smaller model)."""
    known: dict[str, dict[tuple[int, int], str]] = {}
    columns = ("question_id", "larger_trial", "smaller_trial", "pair_id")
    for question_id, larger, smaller, pair_id in trace_pairs.sort("pair_index").select(columns).iter_rows():
        known.setdefault(question_id, {})[larger, smaller] = pair_id
    return known


def _question_faults(
    questions: pl.DataFrame, held_out: pl.DataFrame, allowed_benchmarks: Collection[str]
) -> dict[str, str]:
    """Reasons why questions must not be used for training; other questions are not listed."""
    is_id, is_allowed = pl.col("how") == "ids", pl.col("benchmark").is_in(list(allowed_benchmarks))
    duplicates = held_out.filter(pl.col("relation") == "duplicate").select(
        "question_id", fault=pl.when(is_id).then(pl.lit("held_out")).otherwise(pl.lit("near_duplicate"))
    )
    by_key = duplicates.join(questions, on="question_id").group_by("source_key").agg(pl.col("fault").min())
    fault = pl.when(is_allowed).then("fault").otherwise(pl.lit("training_refused"))
    joined = questions.join(by_key, on="source_key", how="left").select("question_id", fault)
    return dict(joined.drop_nulls().iter_rows())


def _sides(pool: list[Trial], cell: tuple[str, str], settings: DrawSettings) -> tuple[list[Trial], list[Trial]]:
    """Candidate chosen and candidate rejected trials; equal lists if both come from the same pool."""
    chosen, rejected = (
        [trial for trial in pool if trial.role == role and trial.is_correct == (verdict == "c")]
        for role, verdict in zip(settings.roles(cell[0]), cell[1].split("_"), strict=True)
    )
    return chosen, rejected


def _reason_without(pool: list[Trial] | None, cell: tuple[str, str], settings: DrawSettings) -> str | None:
    if pool is None:
        return "incomplete"
    chosen, rejected = _sides(pool, cell, settings)
    if not chosen:
        return "no_chosen_trial"
    return "no_rejected_trial" if not rejected or chosen == rejected == chosen[:1] else None


def _generator(*names: object) -> random.Random:
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))


def _rows(
    question: tuple[str, str, str],
    cell: tuple[str, str],
    pairs: list[Pair],
    known: Mapping[tuple[int, int], str],
    question_fault: str | None,
) -> Iterator[tuple[object, ...]]:
    for index, (chosen, rejected) in enumerate(pairs):
        reason = question_fault or pair_fault((chosen, rejected))
        yield (
            f"{cell[0]}:{cell[1]}:{question[0]}:{index}", *question, *cell, chosen.role, chosen.trial, rejected.role,
            rejected.trial, known.get((chosen.trial, rejected.trial)), chosen.tokens, rejected.tokens, reason is None,
            reason,
        )  # fmt: skip


_UNKNOWN_YET = ("delta", "clusters", "first_error_stage")


def _frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    schema = {name: dtype for name, dtype in PREFERENCE_PAIRS.own_schema.items() if name != "domain"}
    known = {name: dtype for name, dtype in schema.items() if not name.startswith(_UNKNOWN_YET)}
    frame = pl.DataFrame(rows, schema=known, orient="row")
    return frame.select(
        pl.col(name) if name in known else pl.lit(None, dtype=dtype).alias(name) for name, dtype in schema.items()
    )

"""Pools of trials for preference pairs, and sampling of disjoint pairs from them."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from advcluster_dagster.contracts.preferences import REASONS_LEFT_OUT


class Trial(NamedTuple):
    """A scored trial, with its fault (why its trace cannot be exported, or None), text hash and tokens."""

    role: str
    trial: int
    is_correct: bool
    fault: str | None
    text_hash: int | None
    tokens: int | None


Pair = tuple[Trial, Trial]


def _trial_fault(max_tokens: int | None, accepts_unknown_finish: bool) -> pl.Expr:
    """Reason why a single trace cannot be exported; null if it can."""
    total = pl.col("prompt_tokens") + pl.col("completion_tokens")
    text = pl.col("response").str.strip_chars()
    fault = (
        pl.when(text.fill_null("") == "")
        .then(pl.lit("no_text"))
        .when(pl.col("finish_reason").is_null() & (not accepts_unknown_finish))
        .then(pl.lit("finish_unknown"))
        .when(pl.col("finish_reason") != "stop")
        .then(pl.lit("not_finished"))
    )
    if max_tokens is not None:
        fault = fault.when(total.is_null()).then(pl.lit("missing_tokens"))
        fault = fault.when(total > max_tokens).then(pl.lit("too_long"))
    return fault.otherwise(None)


def trial_pools(
    trials: pl.DataFrame, n_trials: int, max_tokens: int | None, accepts_unknown_finish: bool
) -> dict[str, list[Trial]]:
    """Collect the trials of each complete question, sorted by role and trial.

    Args:
        trials: Columns question_id, role, trial, is_correct, response, finish_reason, prompt_tokens,
            completion_tokens.
        n_trials: Number of scored trials per model of a complete question.
        max_tokens: Maximum tokens of the prompt and a trace together; None for no limit.
        accepts_unknown_finish: Whether a trace without a finish reason counts as finished.
    """
    scored = trials.filter(pl.col("is_correct").is_not_null()).select(
        "question_id",
        "role",
        "trial",
        "is_correct",
        fault=_trial_fault(max_tokens, accepts_unknown_finish),
        text_hash=pl.col("response").str.strip_chars().hash(),
        tokens=pl.col("completion_tokens"),
    )
    pools: dict[str, list[Trial]] = {}
    for question_id, *fields in scored.sort("question_id", "role", "trial").iter_rows():
        pools.setdefault(question_id, []).append(Trial(*fields))
    return {
        question_id: pool
        for question_id, pool in pools.items()
        if Counter(trial.role for trial in pool) == {"larger": n_trials, "smaller": n_trials}
    }


def pair_fault(pair: Pair) -> str | None:
    """First reason, in the order of ``REASONS_LEFT_OUT``, why a pair cannot be exported; None if it can."""
    faults = [trial.fault for trial in pair if trial.fault]
    if not faults and pair[0].text_hash == pair[1].text_hash:
        return "identical_text"
    return min(faults, key=REASONS_LEFT_OUT.index, default=None)


def draw_pairs(
    chosen: list[Trial],
    rejected: list[Trial],
    known: Sequence[tuple[int, int]],
    n_pairs: int,
    generator: random.Random,
) -> list[Pair]:
    """Sample up to ``n_pairs`` disjoint pairs; pairs that can be exported come first.

    Args:
        chosen: Candidates for the chosen trial.
        rejected: Candidates for the rejected trial; the same list if both come from the same pool.
        known: (chosen trial, rejected trial) of pairs to use first, if they can be exported.
        n_pairs: Maximum number of pairs.
        generator: Random generator.
    """
    by_trial = {trial.trial: trial for trial in chosen}, {trial.trial: trial for trial in rejected}
    first = [(by_trial[0][c], by_trial[1][r]) for c, r in known if c in by_trial[0] and r in by_trial[1]]
    first = [pair for pair in first if pair_fault(pair) is None][:n_pairs]
    used = {trial for pair in first for trial in pair}
    sides = (chosen,) if chosen == rejected else (chosen, rejected)
    orders = [_usable_first(generator.sample(side, len(side)), used) for side in sides]
    sampled = sorted(_match(orders[0], orders[-1]), key=lambda pair: pair_fault(pair) is not None)
    return [*first, *sampled][:n_pairs]


def _usable_first(order: list[Trial], used: set[Trial]) -> list[Trial]:
    return sorted((trial for trial in order if trial not in used), key=lambda trial: trial.fault is not None)


def _match(chosen: list[Trial], rejected: list[Trial]) -> Iterator[Pair]:
    """Match trials in order, each with the first remaining trial that gives an exportable pair, else the first."""
    while chosen:
        trial = chosen.pop(0)
        if not rejected:
            return
        partner = next((other for other in rejected if pair_fault((trial, other)) is None), rejected[0])
        rejected.remove(partner)
        yield trial, partner

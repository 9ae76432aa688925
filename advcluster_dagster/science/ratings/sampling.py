"""Sample the traces to rate: both traces of pairs, plus right and wrong traces of the same question and role.

Pairs alone cannot show whether a rater distinguishes right from wrong, because the right trace of a pair is always the
larger model's. Each question therefore adds, for each role, a trial with the other verdict.
"""

import hashlib
from dataclasses import dataclass

import polars as pl

from advcluster_dagster.contracts.columns import ROLES

#: Default number of rated traces per family and domain.
DEFAULT_N_TRACES = 200
_KEY = ["question_id", "role", "trial"]


@dataclass(frozen=True)
class RatedSample:
    """Traces to rate, and counts of excluded traces.

    Attributes:
        traces: Columns question_id, role, trial, is_correct, is_truncated, is_paired (part of a pair), is_mixed (the
            sample has a right and a wrong trace of its question and role), sorted by question, role and trial.
        n_left_out: Number of traces of pairs and of the mixed sample beyond the cap.
        n_without_text: Number of traces of pairs that have no text and cannot be rated.
    """

    traces: pl.DataFrame
    n_left_out: int
    n_without_text: int


def draw_rated_traces(
    pairs: pl.DataFrame, trials: pl.DataFrame, family: str, seed: int, n_traces: int = DEFAULT_N_TRACES
) -> RatedSample:
    """Sample the traces to rate, covering as many questions as possible first.

    Questions are in an order seeded by (study seed, family, question_id). The first round takes the first pair of each
    question, and for each role a trial with the other verdict if there is one, so that both roles have a right and a
    wrong trace; the next round takes the second pair of each question, and so on. A pair, or a question's traces of the
    first round, is taken completely or not at all, and sampling ends before the first that exceeds the cap. The traces
    of a smaller cap are therefore a subset of those of a larger cap.

    Args:
        pairs: Columns question_id, pair_index, larger_trial, smaller_trial; others are ignored.
        trials: Columns question_id, role, trial, verdict, is_correct, has_text, including all questions of the pairs.
        family: Name of the family.
        seed: Seed of the study.
        n_traces: Maximum number of traces, >= 0.
    """
    keyed = pairs.select("question_id", "pair_index", "larger_trial", "smaller_trial").unique()
    rounds = pl.concat([_of_pairs(keyed), _of_other_verdict(keyed, trials, family, seed)])
    rounds = rounds.sort("round", "is_paired", descending=[False, True])
    requested = rounds.unique(_KEY, keep="first", maintain_order=True)
    with_trials = requested.join(trials.unique(_KEY), on=_KEY, how="inner", maintain_order="left")
    readable = with_trials.filter(pl.col("has_text"))
    order = _order(readable, family, seed)
    sampled = order.filter(pl.col("n_so_far") <= n_traces)
    is_right = pl.col("is_correct")
    has_both = is_right.any().over("question_id", "role") & is_right.not_().any().over("question_id", "role")
    traces = sampled.select(
        *_KEY,
        "is_correct",
        (pl.col("verdict") == "truncated").alias("is_truncated"),
        "is_paired",
        (has_both & is_right.is_not_null()).fill_null(False).alias("is_mixed"),
    ).sort(_KEY)
    return RatedSample(traces, readable.height - sampled.height, requested.height - readable.height)


def _of_pairs(pairs: pl.DataFrame) -> pl.DataFrame:
    """Traces of the pairs, with the round given by the pair's rank within its question."""
    ranked = pairs.with_columns(
        (pl.col("pair_index").rank("ordinal").over("question_id", order_by=["pair_index", "larger_trial"]) - 1)
        .cast(pl.Int64)
        .alias("round")
    )
    sides = [
        ranked.select("question_id", pl.lit(role).alias("role"), pl.col(f"{role}_trial").alias("trial"), "round")
        for role in ROLES
    ]
    return pl.concat(sides).with_columns(is_paired=pl.lit(True))


def _of_other_verdict(pairs: pl.DataFrame, trials: pl.DataFrame, family: str, seed: int) -> pl.DataFrame:
    """For each question of the pairs, a wrong trace of the larger and a right trace of the smaller model, if any."""
    has_other_verdict = (pl.col("role") == "smaller") == pl.col("is_correct")
    pool = trials.filter(has_other_verdict & pl.col("has_text")).join(pairs, on="question_id", how="semi").select(_KEY)
    drawn_by = pl.Series("drawn_by", [_digest(seed, family, *row) for row in pool.iter_rows()], pl.String)
    sampled = pool.with_columns(drawn_by).sort("drawn_by").unique(["question_id", "role"], keep="first")
    return sampled.select(*_KEY, pl.lit(0, dtype=pl.Int64).alias("round"), pl.lit(False).alias("is_paired"))


def _order(traces: pl.DataFrame, family: str, seed: int) -> pl.DataFrame:
    """Sort traces in sampling order, with the cumulative number of traces including their question and round."""
    questions = traces["question_id"].unique().to_list()
    places = pl.DataFrame(
        {"question_id": questions, "place": [_digest(seed, family, question) for question in questions]},
        schema={"question_id": pl.String, "place": pl.String},
    )
    unit = ["round", "place"]
    placed = traces.join(places, on="question_id", maintain_order="left")
    ends = placed.group_by(unit).len().sort(unit).with_columns(pl.col("len").cum_sum().alias("n_so_far")).drop("len")
    return placed.join(ends, on=unit, maintain_order="left")


def _digest(seed: int, *parts: object) -> str:
    return hashlib.sha256("\x1f".join(map(str, (seed, "trace_ratings", *parts))).encode()).hexdigest()

"""Which traces are rated: both sides of pairs, and right beside wrong traces of the same question and role.

Pairs alone cannot show whether a rater tells right from wrong, for in a pair the right trace is always the larger
model's. So each question adds, for each role, a trial of the other verdict.
"""

import hashlib
from dataclasses import dataclass

import polars as pl

from advcluster_dagster.contracts.columns import ROLES

#: Traces rated of a family and domain unless the study says otherwise.
DEFAULT_N_TRACES = 200
_KEY = ["question_id", "role", "trial"]


@dataclass(frozen=True)
class RatedSample:
    """Traces to rate, and what the draw left out.

    Attributes:
        traces: question_id, role, trial, is_correct, is_truncated, is_paired (of a pair), is_mixed (a right and a wrong
            trace of its question and role are in the draw), sorted by question, role and trial.
        n_left_out: traces of pairs and of the mixed sample beyond the cap.
        n_without_text: traces of pairs that hold no text and cannot be rated.
    """

    traces: pl.DataFrame
    n_left_out: int
    n_without_text: int


def draw_rated_traces(
    pairs: pl.DataFrame, trials: pl.DataFrame, family: str, seed: int, n_traces: int = DEFAULT_N_TRACES
) -> RatedSample:
    """Draw the traces to rate, most questions first.

    Questions are in an order seeded by (study seed, family, question_id). The first round takes of each question its
    first pair together with a trial of the other verdict for each role that has one, so that both roles have a right
    and a wrong trace; the next rounds take the second pair of each question, and so on. A pair, or the first round's
    traces of a question, are drawn whole or not at all, and the draw ends before the first that exceeds the cap. So the
    traces of a smaller cap are among those of a larger one.

    Args:
        pairs: question_id, pair_index, larger_trial, smaller_trial; further columns are ignored.
        trials: question_id, role, trial, verdict, is_correct, has_text of at least the questions of the pairs.
        family: name of the family.
        seed: the study's seed.
        n_traces: most traces, at least 0.
    """
    keyed = pairs.select("question_id", "pair_index", "larger_trial", "smaller_trial").unique()
    wanted = pl.concat([_of_pairs(keyed), _of_other_verdict(keyed, trials, family, seed)])
    wanted = wanted.sort("round", "is_paired", descending=[False, True]).unique(_KEY, keep="first", maintain_order=True)
    known = wanted.join(trials.unique(_KEY), on=_KEY, how="inner", maintain_order="left")
    readable = known.filter(pl.col("has_text"))
    order = _order(readable, family, seed)
    drawn = order.filter(pl.col("n_so_far") <= n_traces)
    of_group = pl.col("is_correct")
    has_both = of_group.any().over("question_id", "role") & of_group.not_().any().over("question_id", "role")
    traces = drawn.select(
        *_KEY,
        "is_correct",
        (pl.col("verdict") == "truncated").alias("is_truncated"),
        "is_paired",
        (has_both & of_group.is_not_null()).fill_null(False).alias("is_mixed"),
    ).sort(_KEY)
    return RatedSample(traces, readable.height - drawn.height, wanted.height - readable.height)


def _of_pairs(pairs: pl.DataFrame) -> pl.DataFrame:
    """Traces of the pairs, each in the round of its pair within the question."""
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
    """Of each question of the pairs a wrong trace of the larger and a right trace of the smaller model, where there is
    any; ties of the draw cannot occur.
    """
    other = (pl.col("role") == "smaller") == pl.col("is_correct")
    pool = trials.filter(other & pl.col("has_text")).join(pairs, on="question_id", how="semi").select(_KEY)
    drawn_by = pl.Series("drawn_by", [_digest(seed, family, *row) for row in pool.iter_rows()], pl.String)
    drawn = pool.with_columns(drawn_by).sort("drawn_by").unique(["question_id", "role"], keep="first")
    return drawn.select(*_KEY, pl.lit(0, dtype=pl.Int64).alias("round"), pl.lit(False).alias("is_paired"))


def _order(traces: pl.DataFrame, family: str, seed: int) -> pl.DataFrame:
    """Traces in drawing order, with how many are drawn once the last of their question and round is."""
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

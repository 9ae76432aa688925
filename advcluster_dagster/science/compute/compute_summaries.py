"""Accuracy, length and cost of both models by benchmark, domain and family, and by task format.

Truncated trials count as wrong; accuracies without them, and with them counted as right, are reported too.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.contracts.compute import COMPUTE_SUMMARIES
from advcluster_dagster.science.compute.length_effects import mean_intervals, question_length_effects
from advcluster_dagster.science.compute.question_means import Places, mark_paired, nested_mean
from advcluster_dagster.science.compute.trace_costs import lengths
from advcluster_dagster.science.statistics.resampling import IntArray

Mask = npt.NDArray[np.bool_]
Columns = dict[str, float | int | None]
_COUNTS = ("n_trials", "n_scored", "n_without_tokens")
_MEANS = (
    "accuracy",
    "accuracy_truncated_dropped",
    "accuracy_truncated_right",
    "tokens_mean",
    "flops_mean",
    "cost_mean",
    "truncated_share",
)
#: Length effects, and the column with the number of questions of each.
_EFFECTS = {"length_effect": "n_length_questions", "length_effect_finished": "n_finished_questions"}
_OF_QUESTION = ("domain", "benchmark", "task_format", "source_key", "question_id")


def compute_summaries(
    trials: pl.DataFrame, confidence: float, n_bootstrap: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Summarise the questions with a scored trial of both models.

    Means are over a question's trials, then questions, benchmarks, domains; mean costs are null if a benchmark has no
    trial with known cost. ``tokens_correct`` and ``tokens_wrong`` weight all such trials equally, so they reflect the
    difficulty of questions. ``token_factor`` is over the questions with token counts of both models.

    Args:
        trials: Columns domain, benchmark, task_format, question_id, source_key and those of ``trace_costs``, of one
            family; a question may lack trials of a model.
        confidence: Confidence level of the intervals, in (0, 1).
        n_bootstrap: Number of replicates of the key bootstrap, with domains as strata.
        rng: Random generator.

    Returns:
        Rows of ``compute_summaries``: benchmarks, domains and the family, each over all task formats and by format, the
        larger model first. ``n_unpaired`` counts the questions without a scored trial of both models.
    """
    marked = mark_paired(trials)
    questions = marked.group_by(_OF_QUESTION, maintain_order=True).agg(pl.col("is_paired").first())
    is_paired = questions["is_paired"].to_numpy()
    paired = questions.filter("is_paired")
    measured = _per_question(marked.filter("is_paired"), paired)
    places = Places.of(paired)
    parts = _parts(questions)
    masks = [mask[is_paired] for _, mask in parts]
    strata = paired["domain"].to_numpy()[np.unique(places.keys, return_index=True)[1]]
    effects = _length_effects(measured, masks, places.keys, strata, confidence, n_bootstrap, rng)
    rows = []
    for number, ((key, mask), inner) in enumerate(zip(parts, masks, strict=True)):
        within, inside = places.take(inner), {role: frame.filter(inner) for role, frame in measured.items()}
        shared = {"n_unpaired": int((mask & ~is_paired).sum()), **_comparison(inside, within)}
        for role, frame in inside.items():
            rows.append({**key, "role": role, **shared, **_summary(frame, within), **effects[role, number]})
    return pl.DataFrame(rows, schema=COMPUTE_SUMMARIES.own_schema)


def _per_question(trials: pl.DataFrame, questions: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Aggregate trials to one row per question for each role, in question order."""
    right, cut, tokens = pl.col("is_correct"), pl.col("is_truncated"), pl.col("completion_tokens")
    scored = right.is_not_null()
    aggregates = trials.group_by("question_id", "role").agg(
        n_trials=pl.len(),
        n_scored=scored.sum(),
        n_without_tokens=tokens.is_null().sum(),
        accuracy=right.mean(),
        accuracy_truncated_dropped=right.filter(~cut).mean(),
        accuracy_truncated_right=(right | cut).filter(scored).mean(),
        tokens_mean=tokens.mean(),
        flops_mean=pl.col("flops").mean(),
        cost_mean=pl.col("cost").mean(),
        truncated_share=cut.filter(scored).mean(),
        **{
            f"{kind}_{name}": getattr(tokens.filter(outcome), how)()
            for name, outcome in (("correct", right), ("wrong", ~right))
            for kind, how in (("sum", "sum"), ("n", "count"))
        },
    )
    table = aggregates.join(question_length_effects(trials), on=["question_id", "role"], how="left")
    names = questions.select("question_id")
    return {
        role: names.join(table.filter(pl.col("role") == role), on="question_id", how="left", maintain_order="left")
        for role in ROLES
    }


def _parts(questions: pl.DataFrame) -> list[tuple[dict[str, str], Mask]]:
    """The row keys (domain, benchmark, task format) with the masks of their questions."""
    columns = {name: questions[name].to_numpy() for name in ("domain", "benchmark", "task_format")}
    domains = questions["domain"].unique().sort().to_list()
    benchmarks = list(questions.select("domain", "benchmark").unique().sort("domain", "benchmark").iter_rows())
    formats = ["all", *questions["task_format"].unique().sort()] if questions.height else []
    parts = []
    for task_format in formats:
        for domain, benchmark in [*benchmarks, *((domain, "all") for domain in domains), ("all", "all")]:
            key = {"domain": domain, "benchmark": benchmark, "task_format": task_format}
            mask = np.ones(questions.height, dtype=np.bool_)
            for name, value in key.items():
                mask &= np.array(value == "all") | (columns[name] == value)
            if mask.any():
                parts.append((key, mask))
    return parts


def _summary(rows: pl.DataFrame, places: Places) -> Columns:
    """Columns that depend on one role only."""
    pooled = {name: int(rows[f"n_{name}"].sum()) for name in ("correct", "wrong")}
    return {
        **{name: int(rows[name].sum()) for name in _COUNTS},
        **{name: nested_mean(lengths(rows[name]), places) for name in _MEANS},
        **{f"tokens_{name}": float(rows[f"sum_{name}"].sum()) / n if n else None for name, n in pooled.items()},
    }


def _comparison(measured: Mapping[str, pl.DataFrame], places: Places) -> Columns:
    """Columns shared by both roles: numbers of questions, gain and token factor of the larger model."""
    larger, smaller = (nested_mean(lengths(measured[role]["accuracy"]), places) for role in ROLES)
    tokens = [lengths(measured[role]["tokens_mean"]) for role in ROLES]
    undefined = np.isnan(tokens[0]) | np.isnan(tokens[1])
    means = [nested_mean(np.where(undefined, np.nan, values), places) for values in tokens]
    return {
        "n_questions": measured["larger"].height,
        "n_keys": places.n_keys,
        "gain": None if larger is None or smaller is None else larger - smaller,
        "token_factor": means[0] / means[1] if means[0] is not None and means[1] else None,
    }


def _length_effects(
    measured: Mapping[str, pl.DataFrame],
    masks: Sequence[Mask],
    keys: IntArray,
    strata: npt.NDArray[np.str_],
    confidence: float,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> dict[tuple[str, int], Columns]:
    """Mean length effects by role and part index, with intervals from the same resamples of keys."""
    values = {
        (role, part, name): np.where(mask, lengths(rows[name]), np.nan)
        for role, rows in measured.items()
        for part, mask in enumerate(masks)
        for name in _EFFECTS
    }
    intervals = mean_intervals(list(values.values()), keys, strata, confidence, n_bootstrap, rng)
    columns: dict[tuple[str, int], Columns] = {}
    for ((role, part, name), effects), (low, high) in zip(values.items(), intervals, strict=True):
        defined = effects[~np.isnan(effects)]
        mean = float(defined.mean()) if defined.size else None
        ends: Columns = {f"{name}_low": low, f"{name}_high": high, _EFFECTS[name]: int(defined.size)}
        columns.setdefault((role, part), {}).update({name: mean, **ends})
    return columns

"""Accuracy versus budget: one trial, best of k trials, majority vote over k, or one trial with a shorter token limit.

All strategies are computed from existing trials, without generation. pass@k needs a perfect checker; it is an upper
bound for any method of choosing among k trials. Truncated trials count as wrong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.contracts.compute import BUDGET_CURVES
from advcluster_dagster.science.compute.flops import decode_flops, prefill_flops
from advcluster_dagster.science.compute.model_shapes import ModelShape
from advcluster_dagster.science.compute.pareto import pareto_front
from advcluster_dagster.science.compute.question_means import Places, accuracy_interval, mark_paired, nested_mean
from advcluster_dagster.science.compute.trace_costs import Prices, Shapes, dollars_of, lengths
from advcluster_dagster.science.question_set.answer_counts import answer_counts
from advcluster_dagster.science.question_set.repeated_sampling import majority_vote, pass_at_k
from advcluster_dagster.science.statistics.resampling import FloatArray, IntArray

#: Percentiles of the completion tokens used as token limits.
LENGTH_PERCENTILES = (0, 25, 50, 75, 100)
_COSTS = ("flops", "tokens", "cost")
_FLAGS = ("is_efficient", "is_efficient_tokens", "is_efficient_unaided", "is_efficient_unaided_tokens")


@dataclass(frozen=True)
class _Model:
    """Trials of one role in one domain, arrays of shape (m,), on n questions.

    ``question`` is the question's index from 0; unknown values are NaN. ``answers`` are the arguments of
    :func:`majority_vote` for each question.
    """

    question: IntArray
    correct: FloatArray
    prompt: FloatArray
    generated: FloatArray
    places: Places
    answers: list[tuple[int, tuple[int, ...], int]]
    shape: ModelShape | None
    price: tuple[float, float] | None

    def means(self, values: FloatArray) -> FloatArray:
        """Mean over the defined trials of each question, shape (n,); NaN if there are none."""
        defined = ~np.isnan(values)
        n = len(self.answers)
        with np.errstate(invalid="ignore"):
            means: FloatArray = np.bincount(self.question[defined], values[defined], n) / np.bincount(
                self.question[defined], minlength=n
            )
        return means

    def costs(self, generated: FloatArray, k: int) -> dict[str, FloatArray]:
        """Mean costs per question of k samples with the given lengths, each of shape (n,)."""
        unknown = np.full(len(generated), np.nan)
        shape, price = self.shape, self.price
        reading = unknown if shape is None else prefill_flops(shape, self.prompt)
        decoding = unknown if shape is None else decode_flops(shape, self.prompt, generated)
        dollars = unknown if price is None else dollars_of(price, self.prompt, generated)
        return {
            "flops": self.means(np.where(np.isnan(decoding), np.nan, reading)) + k * self.means(decoding),
            "tokens": k * self.means(generated),
            "cost": k * self.means(dollars),
        }


@dataclass(frozen=True)
class _Point:
    """A strategy with its accuracy and costs per question, shape (n,); NaN if undefined."""

    strategy: str
    k: int
    accuracies: FloatArray
    costs: dict[str, FloatArray]
    limit: int = 0
    percentile: float | None = None


def budget_curves(
    trials: pl.DataFrame, shapes: Shapes, prices: Prices, sizes: Sequence[int], confidence: float, seed: int
) -> pl.DataFrame:
    """Compute accuracy and costs of every strategy on the questions with a scored trial of both models.

    k samples cost the FLOPs of reading the prompt once and of generating k mean traces, the tokens of k mean traces,
    and the money of k calls, each with its prompt. Limits are percentiles of a model's completion tokens in the domain,
    each an observed length; a longer trial counts as wrong and generates as many tokens as the limit. For limits,
    trials without a token count are ignored. Questions with fewer than k scored trials are ignored.

    Args:
        trials: Columns domain, benchmark, question_id, source_key, role, trial, answer_type, prediction, verdict,
            is_correct, prompt_tokens, completion_tokens of one family.
        shapes: Model shapes by role; FLOPs are null if unknown.
        prices: Prices by role; money is null if unknown.
        sizes: Sample sizes k in addition to 1, which is ``single``.
        confidence: Confidence level of the intervals, in (0, 1).
        seed: Seed of the samples of :func:`majority_vote`.

    Returns:
        Rows of ``budget_curves``, domains in order, then ``all``; empty if no question has a scored trial of both
        models. Equal limits are one row, with the highest percentile.
    """
    paired = mark_paired(trials).filter("is_paired")
    counts = answer_counts(paired)
    rows = []
    for domain in [*paired["domain"].unique().sort(), *(["all"] if paired.height else [])]:
        for role in ROLES:
            in_domain = pl.lit(True) if domain == "all" else pl.col("domain") == domain
            has_role = pl.col("role") == role
            part = paired.filter(in_domain & has_role)
            model = _model(part, counts.filter(has_role), shapes.get(role), prices.get(role))
            points = [*_samples(model, sorted({1, *sizes}), seed), *_limits(model)]
            built = [_row(model, point, confidence) for point in points]
            rows += [{"domain": domain, "role": role, **row} for row in built if row is not None]
    open_schema = {name: dtype for name, dtype in BUDGET_CURVES.own_schema.items() if name not in _FLAGS}
    return _with_fronts(pl.DataFrame(rows, schema=open_schema))


def _model(
    trials: pl.DataFrame, counts: pl.DataFrame, shape: ModelShape | None, price: tuple[float, float] | None
) -> _Model:
    """Convert trials and answer counts of a role to arrays."""
    questions = trials.unique("question_id", keep="first", maintain_order=True)
    numbers = questions.select("question_id").with_row_index("number")
    joined = questions.select("question_id").join(counts, on="question_id", how="left", maintain_order="left")
    number = trials.select("question_id").join(numbers, on="question_id", how="left", maintain_order="left")["number"]
    return _Model(
        number.cast(pl.Int64).to_numpy(),
        lengths(trials["is_correct"]),
        lengths(trials["prompt_tokens"]),
        lengths(trials["completion_tokens"]),
        Places.of(questions),
        [(c, tuple(w), s) for c, w, s in joined.select("n_correct", "n_wrong", "n_silent").iter_rows()],
        shape,
        price,
    )


def _samples(model: _Model, sizes: Sequence[int], seed: int) -> Iterator[_Point]:
    """Yield one trial, best of k and vote of k; accuracy is undefined for questions with fewer than k scored trials."""
    n_scored = [c + sum(wrong) + silent for c, wrong, silent in model.answers]
    for k in sizes:
        costs = model.costs(model.generated, k)
        if k == 1:
            yield _Point("single", 1, model.means(model.correct), costs)
            continue
        best = [pass_at_k(c, n, k) for (c, *_), n in zip(model.answers, n_scored, strict=True)]
        yield _Point("pass_at_k", k, np.array(best, dtype=np.float64), costs)
        votes = [
            majority_vote(*answers, k, seed)[0] if n >= k else np.nan
            for answers, n in zip(model.answers, n_scored, strict=True)
        ]
        yield _Point("majority", k, np.array(votes, dtype=np.float64), costs)


def _limits(model: _Model) -> Iterator[_Point]:
    """Yield one trial stopped at each percentile of the model's completion tokens."""
    known_lengths = model.generated[~np.isnan(model.generated)]
    if not known_lengths.size:
        return
    ends = np.quantile(known_lengths, [percentile / 100 for percentile in LENGTH_PERCENTILES], method="inverted_cdf")
    for limit, percentile in dict(zip(ends.tolist(), LENGTH_PERCENTILES, strict=True)).items():
        limited = np.where(model.generated > limit, 0.0, model.correct)
        correct = np.where(np.isnan(model.generated) | np.isnan(model.correct), np.nan, limited)
        costs = model.costs(np.minimum(model.generated, limit), 1)
        yield _Point("early_stop", 1, model.means(correct), costs, int(limit), float(percentile))


def _row(model: _Model, point: _Point, confidence: float) -> dict[str, object] | None:
    """Columns of a point over the questions on which it is defined; None if there are none."""
    defined = ~np.isnan(point.accuracies)
    if not defined.any():
        return None
    places = model.places.take(defined)
    accuracy, low, high = accuracy_interval(point.accuracies[defined], places, confidence)
    return {
        "strategy": point.strategy,
        "k": point.k,
        "token_limit": point.limit,
        "length_percentile": point.percentile,
        "n_questions": int(defined.sum()),
        "n_keys": places.n_keys,
        "n_without_tokens": int((np.isnan(model.generated) & defined[model.question]).sum()),
        "accuracy": accuracy,
        "low": low,
        "high": high,
        **{name: nested_mean(point.costs[name][defined], places) for name in _COSTS},
    }


def _with_fronts(curves: pl.DataFrame) -> pl.DataFrame:
    """Mark the Pareto fronts of each domain, over all rows and over rows that need no checker."""
    parts = []
    for _, part in curves.group_by("domain", maintain_order=True):
        accuracies = part["accuracy"].round(12).to_numpy()  # equal accuracies may differ by summation order
        unaided = (part["strategy"] != "pass_at_k").to_numpy()
        flags = []
        for name in _FLAGS:
            mask = unaided if "unaided" in name else np.ones(part.height, dtype=np.bool_)
            costs = part["tokens" if name.endswith("tokens") else "flops"]
            front: list[bool | None] = [None] * part.height
            if costs.filter(mask).null_count() == 0:
                marks = pareto_front(lengths(costs)[mask], accuracies[mask])
                for index, is_on in zip(np.flatnonzero(mask), marks.tolist(), strict=True):
                    front[index] = is_on
            flags.append(pl.Series(name, front, dtype=pl.Boolean))
        parts.append(part.with_columns(flags))
    return pl.concat(parts) if parts else pl.DataFrame(schema=BUDGET_CURVES.own_schema)

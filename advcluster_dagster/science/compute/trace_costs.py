"""Costs of every trial: FLOPs by both formulas, and money. An unknown cost is null, never 0."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import polars as pl

from advcluster_dagster.contracts.compute import TRACE_COSTS
from advcluster_dagster.science.compute.flops import published_trace_flops, trace_flops
from advcluster_dagster.science.compute.model_shapes import ModelShape
from advcluster_dagster.science.statistics.resampling import FloatArray

#: Shape of each role's model; None if unknown.
Shapes: TypeAlias = Mapping[str, ModelShape | None]
#: Price of each role's model, US dollars per million prompt tokens and per million response tokens; None if unknown.
Prices: TypeAlias = Mapping[str, tuple[float, float] | None]

_TOKENS_PER_PRICE = 1_000_000


def trace_costs(trials: pl.DataFrame, shapes: Shapes, prices: Prices) -> pl.DataFrame:
    """Compute FLOPs and money of every trial, as if its prompt were read separately.

    Args:
        trials: Columns question_id, benchmark, role, trial, verdict, is_correct (graded), prompt_tokens,
            completion_tokens (null if unknown); optionally is_estimated, by default false.
        shapes: Model shapes by role; absent roles are unknown.
        prices: Prices by role; absent roles are unknown.

    Returns:
        Rows of ``trace_costs``, sorted by question, role and trial. is_truncated follows the verdict.
    """
    ordered = trials.sort("question_id", "role", "trial").with_columns(is_truncated=pl.col("verdict") == "truncated")
    prompt, generated = (lengths(ordered[name]) for name in ("prompt_tokens", "completion_tokens"))
    roles = ordered["role"].to_numpy()
    columns = {name: np.full(ordered.height, np.nan) for name in ("flops", "flops_published", "cost")}
    for role in ordered["role"].unique():
        mask, shape, price = roles == role, shapes.get(role), prices.get(role)
        tokens = prompt[mask], generated[mask]
        if shape is not None:
            columns["flops"][mask] = trace_flops(shape, *tokens)
            columns["flops_published"][mask] = published_trace_flops(shape, *tokens)
        if price is not None:
            columns["cost"][mask] = dollars_of(price, *tokens)
    if "is_estimated" not in ordered.columns:
        ordered = ordered.with_columns(is_estimated=pl.lit(False))
    full = ordered.with_columns(pl.Series(name, values).fill_nan(None) for name, values in columns.items())
    return full.select(pl.col(name).cast(dtype) for name, dtype in TRACE_COSTS.own_schema.items())


def with_estimated_tokens(trials: pl.DataFrame) -> pl.DataFrame:
    """Estimate unknown token counts as a quarter of the number of characters.

    Args:
        trials: Columns prompt, response (null if missing), prompt_tokens, completion_tokens.

    Returns:
        The same rows with ``is_estimated``, true if a count was estimated; counts of missing texts stay null.

    >>> texts = {"prompt": ["12345678"], "response": ["12345"], "prompt_tokens": [None], "completion_tokens": [3]}
    >>> with_estimated_tokens(pl.DataFrame(texts)).select("prompt_tokens", "completion_tokens", "is_estimated").row(0)
    (2, 3, True)
    """
    sides = (("prompt", "prompt_tokens"), ("response", "completion_tokens"))
    is_estimated = pl.any_horizontal(pl.col(count).is_null() & pl.col(text).is_not_null() for text, count in sides)
    quarters = {
        count: pl.col(count).cast(pl.Int64).fill_null((pl.col(text).str.len_chars() / 4).ceil().cast(pl.Int64))
        for text, count in sides
    }
    return trials.with_columns(is_estimated=is_estimated).with_columns(**quarters)


def dollars_of(price: tuple[float, float], prompt: FloatArray, generated: FloatArray) -> FloatArray:
    """Cost of calls in US dollars; NaN if a charged number of tokens is unknown.

    Args:
        price: Prices of prompt and response tokens, US dollars per million, >= 0.
        prompt: Tokens of each prompt, NaN if unknown, shape (n,).
        generated: Tokens of each response, NaN if unknown, shape (n,).

    >>> dollars_of((2.0, 0.0), np.array([1000.0]), np.array([np.nan])).tolist()
    [0.002]
    """
    total = np.zeros(len(prompt))
    for dollars, tokens in zip(price, (prompt, generated), strict=True):
        if dollars:
            total += dollars * tokens / _TOKENS_PER_PRICE
    return total


def lengths(tokens: pl.Series) -> FloatArray:
    """Convert to float64, with NaN for null."""
    return tokens.cast(pl.Float64).fill_null(float("nan")).to_numpy()

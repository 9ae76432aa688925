"""What every trial costs: FLOPs by both accounts and money. A cost that cannot be known is null, never 0."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import polars as pl

from advcluster_dagster.contracts.compute import TRACE_COSTS
from advcluster_dagster.science.compute.flops import published_trace_flops, trace_flops
from advcluster_dagster.science.compute.model_shapes import ModelShape
from advcluster_dagster.science.statistics.resampling import FloatArray

#: Shape of each role's model; None where it is not known.
Shapes: TypeAlias = Mapping[str, ModelShape | None]
#: Price of each role's model, US dollars per million tokens of prompts and of responses; None where it is not known.
Prices: TypeAlias = Mapping[str, tuple[float, float] | None]

_TOKENS_PER_PRICE = 1_000_000


def trace_costs(trials: pl.DataFrame, shapes: Shapes, prices: Prices) -> pl.DataFrame:
    """FLOPs and money of every trial, as if its prompt were read for it alone.

    Args:
        trials: question_id, benchmark, role, trial, verdict, is_correct (graded), prompt_tokens, completion_tokens
            (null where not known); optionally is_estimated, false where it is absent.
        shapes: by role; an absent role counts as not known.
        prices: by role; an absent role counts as not known.

    Returns:
        Rows of ``trace_costs``, by question, role and trial. A trial is truncated where its verdict says so.
    """
    ordered = trials.sort("question_id", "role", "trial").with_columns(is_truncated=pl.col("verdict") == "truncated")
    prompt, generated = (lengths(ordered[name]) for name in ("prompt_tokens", "completion_tokens"))
    of_role = ordered["role"].to_numpy()
    columns = {name: np.full(ordered.height, np.nan) for name in ("flops", "flops_published", "cost")}
    for role in ordered["role"].unique():
        mask, shape, price = of_role == role, shapes.get(role), prices.get(role)
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
    """The trials with a quarter of the characters in place of token counts that are not known.

    Args:
        trials: prompt, response (texts, null where there is none), prompt_tokens, completion_tokens.

    Returns:
        The same rows with ``is_estimated``: true where a count was put in; a text that is missing stays without one.

    >>> texts = {"prompt": ["12345678"], "response": ["12345"], "prompt_tokens": [None], "completion_tokens": [3]}
    >>> with_estimated_tokens(pl.DataFrame(texts)).select("prompt_tokens", "completion_tokens", "is_estimated").row(0)
    (2, 3, True)
    """
    sides = (("prompt", "prompt_tokens"), ("response", "completion_tokens"))
    is_put_in = pl.any_horizontal(pl.col(count).is_null() & pl.col(text).is_not_null() for text, count in sides)
    quarters = {
        count: pl.col(count).cast(pl.Int64).fill_null((pl.col(text).str.len_chars() / 4).ceil().cast(pl.Int64))
        for text, count in sides
    }
    return trials.with_columns(is_estimated=is_put_in).with_columns(**quarters)


def dollars_of(price: tuple[float, float], prompt: FloatArray, generated: FloatArray) -> FloatArray:
    """US dollars of calls; NaN where a number of tokens that is charged is not known.

    Args:
        price: of prompts and of responses, US dollars per million tokens, >= 0.
        prompt: tokens of each prompt, NaN where not known, shape (n,).
        generated: tokens of each response, in the same way.

    >>> dollars_of((2.0, 0.0), np.array([1000.0]), np.array([np.nan])).tolist()
    [0.002]
    """
    total = np.zeros(len(prompt))
    for dollars, tokens in zip(price, (prompt, generated), strict=True):
        if dollars:
            total += dollars * tokens / _TOKENS_PER_PRICE
    return total


def lengths(tokens: pl.Series) -> FloatArray:
    """Numbers of tokens as float64, NaN where not known."""
    return tokens.cast(pl.Float64).fill_null(float("nan")).to_numpy()

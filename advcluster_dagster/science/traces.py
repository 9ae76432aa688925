"""Traces of both models in one frame."""

import polars as pl

from advcluster_dagster.contracts.columns import ROLES


def stack_traces(larger: pl.LazyFrame, smaller: pl.LazyFrame, columns: tuple[str, ...]) -> pl.LazyFrame:
    """Stack the traces of the larger and the smaller model.

    Args:
        larger: traces of the larger model, with at least the columns named.
        smaller: traces of the smaller model, likewise.
        columns: columns to keep.

    Returns:
        The columns named and ``role``; rows of the larger model first, each model's in their order.
    """
    return pl.concat(
        traces.select(*columns, role=pl.lit(role)) for role, traces in zip(ROLES, (larger, smaller), strict=True)
    )

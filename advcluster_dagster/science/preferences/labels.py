"""Labels of preference pairs: quality deltas, clusters, and stages of first errors."""

import polars as pl

from advcluster_dagster.contracts.preferences import DELTA_DIMENSIONS, PREFERENCE_PAIRS


def with_deltas(preferences: pl.DataFrame, qualities: pl.DataFrame, dimension: str) -> pl.DataFrame:
    """Add the score of the chosen minus that of the rejected trace in every dimension; null unless both are rated.

    Args:
        preferences: Rows of ``preference_pairs``.
        qualities: Columns question_id, role, trial, dimension, mean_score, one row per trace and dimension.
        dimension: Dimension of the column ``delta``.

    Raises:
        ValueError: The dimension is unknown.
    """
    if dimension not in DELTA_DIMENSIONS:
        raise ValueError(f"unknown dimension {dimension!r}; allowed: {', '.join(DELTA_DIMENSIONS)}")
    key = ("question_id", "role", "trial")
    wide = qualities.group_by(key).agg(
        pl.col("mean_score").filter(pl.col("dimension") == name).mean().alias(name) for name in DELTA_DIMENSIONS
    )
    joined = preferences
    for side in ("chosen", "rejected"):
        renamed = wide.rename({name: f"{side}_{name}" for name in (*key[1:], *DELTA_DIMENSIONS)})
        on = ("question_id", f"{side}_role", f"{side}_trial")
        joined = joined.join(renamed, on=on, how="left", maintain_order="left")
    deltas = {name: pl.col(f"chosen_{name}") - pl.col(f"rejected_{name}") for name in DELTA_DIMENSIONS}
    labelled = joined.with_columns(
        **{f"delta_{name}": delta for name, delta in deltas.items()}, delta=deltas[dimension]
    )
    return labelled.select(name for name in PREFERENCE_PAIRS.own_schema if name in labelled.columns)


def with_pair_labels(preferences: pl.DataFrame, advantages: pl.DataFrame, first_errors: pl.DataFrame) -> pl.DataFrame:
    """Add the clusters and the first error's stage of the trace pair that each preference pair reuses.

    Args:
        preferences: Rows of ``preference_pairs``.
        advantages: Columns pair_id, cluster_id, one row per advantage; cluster_id is null for dropped advantages.
        first_errors: Columns pair_id (unique), stage.

    Returns:
        The same rows; clusters are distinct and ascending, null for a pair without advantages, and empty if no
        advantage of the pair was kept.
    """
    clusters = advantages.group_by("pair_id").agg(clusters=pl.col("cluster_id").drop_nulls().unique().sort())
    stages = first_errors.select("pair_id", first_error_stage="stage")
    joined = (
        preferences.drop("clusters", "first_error_stage")
        .join(clusters, on="pair_id", how="left", maintain_order="left")
        .join(stages, on="pair_id", how="left", maintain_order="left")
    )
    schema = PREFERENCE_PAIRS.own_schema
    return joined.select(pl.col(name).cast(dtype) for name, dtype in schema.items() if name in joined.columns)

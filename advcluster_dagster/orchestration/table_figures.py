"""Figures shown in the UI with a table, drawn from its new rows."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

from advcluster_dagster.pipeline.step import Step

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The plotting library is slow to import, so a figure's module is imported when the figure is drawn.


def _pass_rates(step: Step, _questions: pl.LazyFrame) -> "Figure":
    from advcluster_dagster.report.accuracy_figures import pass_rate_scatter

    pass_rates = step.read_partition("pass_rate_table", must_exist=True)
    return pass_rate_scatter(pass_rates, step.study.question_set.min_gap, step.study.trials)


def _mean_depth(step: Step, dispersion: pl.LazyFrame) -> "Figure":
    from advcluster_dagster.report.figures import depth_violin

    return depth_violin(dispersion.collect(), step.study.error_dispersion.max_edi_shown)


def _sweep(_step: Step, candidates: pl.LazyFrame) -> "Figure":
    from advcluster_dagster.report.figures import sweep_curves

    return sweep_curves(candidates.collect())


def _heatmap(step: Step, distribution: pl.LazyFrame) -> "Figure":
    from advcluster_dagster.report.figures import domain_heatmap

    order = {domain: number for number, domain in enumerate(step.study.domains)}
    by_domain = pl.col("domain").replace_strict(order, return_dtype=pl.Int64)
    rows = distribution.sort("cluster_id", by_domain).collect()
    return domain_heatmap(rows, step.scan_partition("final_taxonomy").collect(), normalise="row")


_FIGURES: dict[str, tuple[str, Callable[[Step, pl.LazyFrame], "Figure"]]] = {
    "analysis_question_set": ("pass_rates", _pass_rates),
    "error_dispersion": ("mean_depth", _mean_depth),
    "candidate_clusterings": ("sweep", _sweep),
    "domain_distribution": ("heatmap", _heatmap),
}


def table_figures(step: Step, table: str, rows: pl.LazyFrame) -> dict[str, "Figure"]:
    """Figures of a table's new rows, by name; empty for tables without figures."""
    if table not in _FIGURES:
        return {}
    name, draw = _FIGURES[table]
    return {name: draw(step, rows)}

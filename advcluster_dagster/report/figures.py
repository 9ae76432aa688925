"""Figures of the report: functions from a family's rows of a table to a figure (paper figures 2 and 3)."""

import textwrap
from collections import Counter
from typing import Any, Literal

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.report.accuracy_figures import accuracy_bars, pass_rate_scatter
from advcluster_dagster.report.compute_figures import accuracy_against_compute, gain_against_token_factor
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import counted, decimal, percent, word_list
from advcluster_dagster.report.style import (
    GREY,
    LINE_COLOURS,
    LINE_MARKERS,
    domain_ticks,
    figure_text,
    is_crowded,
    new_axes,
    new_figure,
    notice_figure,
    styled,
)

__all__ = [
    "Normalisation",
    "accuracy_bars",
    "depth_violin",
    "domain_heatmap",
    "family_figures",
    "pass_rate_scatter",
    "report_figures",
    "sweep_curves",
]

Normalisation = Literal["row", "column", "count"]
MIN_VIOLIN = 3
_HEATMAP_TITLES: dict[Normalisation, str] = {
    "row": "Share of each cluster's advantages by domain (%, rows sum to 100)",
    "column": "Share of each domain's advantages by cluster (%, columns sum to 100)",
    "count": "Number of advantages by cluster and domain",
}


@styled
def sweep_curves(candidate_clusterings: pl.DataFrame) -> Figure:
    """Plot Davies-Bouldin index and silhouette of a family's candidates over K, one line per PCA dimension.

    The legend gives explained variance next to d', because the index itself falls with d'. Markers of retained
    candidates are filled.
    """
    if candidate_clusterings.is_empty():
        return notice_figure("There are no candidate clusterings.")
    figure = new_figure(4.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    dims = candidate_clusterings["pca_dim"].unique().sort(descending=True)
    handles = [
        _sweep_line(upper, lower, candidate_clusterings.filter(pl.col("pca_dim") == dim).sort("n_clusters"), place)
        for place, dim in enumerate(dims)
    ]
    retained = Line2D([], [], marker="o", ls="", ms=6, color="#444444", mec="black", label="filled: retained candidate")
    upper.set_ylabel("Davies-Bouldin index\n(lower is better)")
    lower.set_ylabel("Silhouette\n(higher is better)")
    lower.set_xlabel("Number of clusters K")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=15))
    for axes in (upper, lower):
        axes.grid(True)
    figure.align_ylabels((upper, lower))
    figure.legend(handles=[*handles, retained], loc="outside lower center", ncols=3, columnspacing=1.4)
    return figure


def _sweep_line(upper: Axes, lower: Axes, rows: pl.DataFrame, place: int) -> Line2D:
    colour, marker = LINE_COLOURS[place % len(LINE_COLOURS)], LINE_MARKERS[place % len(LINE_MARKERS)]
    kept = rows.filter("is_retained")
    for axes, metric in ((upper, "davies_bouldin"), (lower, "silhouette")):
        axes.plot(rows["n_clusters"], rows[metric], color=colour, marker=marker, ms=3.5, mfc="white", mew=0.8)
        axes.plot(kept["n_clusters"], kept[metric], color=colour, marker=marker, ms=6.5, mec="black", mew=0.7, ls="")
    label = f"d' = {rows['pca_dim'][0]} ({percent(rows['explained_variance'][0])} % of variance)"
    return Line2D([], [], color=colour, marker=marker, ms=4, mfc="white", label=label)


@styled
def domain_heatmap(
    domain_distribution: pl.DataFrame,
    final_taxonomy: pl.DataFrame,
    normalise: Normalisation = "row",
    domain_shares: pl.DataFrame | None = None,
) -> Figure:
    """Plot a family's advantages by cluster and domain (paper figure 2), domains in frame order.

    The main domain of a specialised cluster is outlined. An undefined share (a domain without advantages) is a dash.
    With ``domain_shares``, labels give each domain's share of all advantages, the baseline of its column, and each
    cluster's number of questions.
    """
    if domain_distribution.is_empty() or final_taxonomy.is_empty():
        return notice_figure("There is no taxonomy, hence no distribution over domains.")
    clusters = final_taxonomy.sort("cluster_id")
    domains = domain_distribution["domain"].unique(maintain_order=True).to_list()
    values = _heatmap_values(domain_distribution, clusters["cluster_id"].to_list(), domains, normalise)
    figure, axes = new_axes(height=1.0 + 0.52 * clusters.height)
    top = float(np.nanmax(values)) if normalise == "count" and np.isfinite(values).any() else 1.0
    shown = np.ma.masked_invalid(values)
    axes.pcolormesh(shown, cmap="Blues", vmin=0, vmax=top or 1.0, edgecolors="white", linewidth=1.5)
    axes.set_facecolor("#EFEFEF")
    for (row, column), value in np.ndenumerate(values):
        _heatmap_cell(axes, row, column, value, normalise, top or 1.0, len(domains))
    _heatmap_labels(axes, clusters, domains, domain_shares)
    axes.set_title(_HEATMAP_TITLES[normalise], loc="left", pad=8)
    if _outline_specialised(axes, clusters, domains):
        key = Patch(fill=False, edgecolor="black", linewidth=1.6, label="cluster specialised in this domain")
        figure.legend(handles=[key], loc="outside lower right")
    return figure


def _heatmap_values(
    distribution: pl.DataFrame, clusters: list[int], domains: list[str], normalise: Normalisation
) -> np.ndarray[Any, np.dtype[np.float64]]:
    column = {"row": "row_share", "column": "column_share", "count": "n_advantages"}[normalise]
    values = np.full((len(clusters), len(domains)), np.nan)
    for cluster, domain, value in distribution.select("cluster_id", "domain", column).iter_rows():
        if cluster in clusters and value is not None:
            values[clusters.index(cluster), domains.index(domain)] = value
    return values


def _heatmap_cell(
    axes: Axes, row: int, column: int, value: float, normalise: Normalisation, top: float, n_domains: int
) -> None:
    missing = bool(np.isnan(value))
    text = "—" if missing else decimal(value, 0) if normalise == "count" else percent(value, 1 if n_domains <= 8 else 0)
    is_dark = not missing and value / top > 0.55
    colour, size = "white" if is_dark else "#1A1A1A", 9.5 if n_domains <= 8 else 7
    axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize=size)


def _from_questions(n_questions: int | None) -> str:
    return "" if n_questions is None else f" from {counted(n_questions, 'question')}"


def _heatmap_labels(axes: Axes, clusters: pl.DataFrame, domains: list[str], shares: pl.DataFrame | None) -> None:
    questions: dict[int, int] = {}
    notes: list[str] | None = None
    if shares is not None and not shares.is_empty():
        questions = dict(shares.group_by("cluster_id").agg(pl.sum("n_questions")).iter_rows())
        expected = dict(shares.select("domain", "expected_share").unique().iter_rows())
        notes = [f"{percent(expected.get(domain), 0)} % of all" for domain in domains]
    labels = [
        f"{figure_text(f'#{cluster} {tag}' if tag is not None else f'#{cluster} (unnamed)', 34, 2)}\n(n = {size:,}"
        f"{_from_questions(questions.get(cluster))})"
        for cluster, tag, size in clusters.select("cluster_id", "tag", "size").iter_rows()
    ]
    axes.set_yticks(np.arange(len(labels)) + 0.5, labels, fontsize=8.5, linespacing=0.95)
    domain_ticks(axes, domains, offset=0.5, notes=notes)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _outline_specialised(axes: Axes, clusters: pl.DataFrame, domains: list[str]) -> bool:
    has_points = False
    for row, (kind, domain) in enumerate(clusters.select("kind", "main_domain").iter_rows()):
        if kind == "specialised" and domain in domains:
            box = (domains.index(domain) + 0.02, row + 0.03)
            axes.add_patch(Rectangle(box, 0.96, 0.94, fill=False, edgecolor="black", linewidth=1.6))
            has_points = True
    return has_points


@styled
def depth_violin(error_dispersion: pl.DataFrame, max_edi: float) -> Figure:
    """Plot the mean first-error depth of each domain's questions, with medians (paper figure 3); EDI up to ``max_edi``.

    Each question is a dot. Domains with fewer than three questions, or with all at one depth, have no violin.
    """
    domains = error_dispersion["domain"].unique(maintain_order=True).to_list()
    shown = error_dispersion.filter(pl.col("edi") <= max_edi, pl.col("mean_depth").is_not_null())
    if shown.is_empty():
        return notice_figure(f"No question has a defined EDI of at most {max_edi:g}.")
    figure, axes = new_axes(3.6)
    depths = [shown.filter(pl.col("domain") == domain)["mean_depth"].to_numpy() for domain in domains]
    sizes = [error_dispersion.filter(pl.col("domain") == domain).height for domain in domains]
    notes = [f"{len(values)} of {size} questions" for values, size in zip(depths, sizes, strict=True)]
    for place, values in enumerate(depths):
        _violin(axes, place, values, is_crowded(len(domains)))
    domain_ticks(axes, domains, notes=notes)
    axes.set_xlim(-0.6, len(domains) - 0.4)
    axes.set_ylim(0.75, 5.25)
    axes.set_yticks(list(STAGE_DEPTHS.values()), [f"{name}  {depth}" for name, depth in STAGE_DEPTHS.items()])
    axes.set_ylabel("Mean first-error depth of a question")
    axes.grid(True, axis="y")
    few = [figure_text(d, 20, 1) for d, values in zip(domains, depths, strict=True) if len(values) < MIN_VIOLIN]
    if few:
        text = f"No violin for fewer than {MIN_VIOLIN} questions: {word_list(few)}"
        axes.set_title("\n".join(textwrap.wrap(text, 100)), loc="left", fontsize=8.5, color=GREY)
    return figure


def _violin(axes: Axes, place: int, values: np.ndarray[Any, np.dtype[np.float64]], crowded: bool) -> None:
    if len(values) == 0:
        return
    if len(values) >= MIN_VIOLIN and len(np.unique(values)) > 1:
        bodies: Any = axes.violinplot([values], [place], widths=0.7, showextrema=False)["bodies"]
        for body in bodies:
            body.set(facecolor="#9CC9E3", edgecolor="#0B5C8E", alpha=0.75, linewidth=0.8)
    x = _spread(np.round(values, 2))
    axes.scatter(place + x, values, s=7, color="#1A3F57", alpha=0.6, linewidths=0, zorder=3)
    median = float(np.median(values))
    axes.hlines(median, place - 0.35, place + 0.35, color="#B03A00", linewidth=1.6, zorder=4)
    if crowded:
        axes.text(place, 5.12, decimal(median, 1), ha="center", va="center", color="#B03A00", fontsize=7.5)
    else:
        axes.text(place + 0.37, median + 0.04, decimal(median), va="bottom", color="#B03A00", fontsize=8.5, zorder=5)


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Horizontal offsets that separate dots of equal height, centred on 0 and within ±0.28."""
    totals, seen = Counter(values.tolist()), Counter[float]()
    offsets = np.zeros(len(values))
    for i, value in enumerate(values.tolist()):
        step = min(0.05, 0.56 / totals[value])
        offsets[i] = (seen[value] - (totals[value] - 1) / 2) * step
        seen[value] += 1
    return offsets


def family_figures(data: ReportData, family: str) -> dict[str, Figure]:
    """Figures of a family by kind: accuracy, pass_rates, sweep, heatmap, depths, and those of optional sections."""
    taxonomy, names = data.table("final_taxonomy", family), data.names(family)
    errors = data.table("error_dispersion", family)
    return {
        "accuracy": accuracy_bars(data.table("paired_accuracies", family), names),
        "pass_rates": pass_rate_scatter(
            data.table("pass_rate_table", family), data.study.question_set.min_gap, data.study.trials, names
        ),
        "sweep": sweep_curves(data.table("candidate_clusterings", family)),
        "heatmap": domain_heatmap(
            data.table("domain_distribution", family), taxonomy, domain_shares=data.table("domain_shares", family)
        ),
        "depths": depth_violin(errors, data.study.error_dispersion.max_edi_shown),
        **_compute_figures(data, family),
    }


def _compute_figures(data: ReportData, family: str) -> dict[str, Figure]:
    """Accuracy against compute per domain, and gain against token factor; empty unless the study sets compute."""
    if data.study.compute is None:
        return {}
    curves = data.table("budget_curves", family)
    labels: dict[str, str] = {role: data.study.families[family].model_of(role).shown_as for role in ROLES}
    domains = [domain for domain in data.study.domains if domain in set(curves["domain"])]
    return {
        "gain": gain_against_token_factor(data.table("compute_summaries", family), data.names(family)),
        **{f"compute_{domain}": accuracy_against_compute(curves, domain, labels) for domain in domains},
    }


def report_figures(data: ReportData) -> dict[str, Figure]:
    """All figures of the report by name, ``FAMILY_KIND``, families in study order."""
    return {
        f"{family}_{kind}": figure
        for family in data.study.families
        for kind, figure in family_figures(data, family).items()
    }

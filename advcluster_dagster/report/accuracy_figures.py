"""Figures of stage 1: accuracies and pass rates (paper section 3.2.1, table 1)."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.report.formatting import counted, decimal
from advcluster_dagster.report.role_names import UNLABELLED, RoleNames
from advcluster_dagster.report.style import (
    GREY,
    LIGHT_GREY,
    ROLE_COLOURS,
    domain_ticks,
    figure_text,
    new_axes,
    notice_figure,
    styled,
)
from advcluster_dagster.science.question_set.selection import is_kept

_AXES: tuple[tuple[str, Role], ...] = (("x", "smaller"), ("y", "larger"))


@styled
def pass_rate_scatter(
    pass_rate_table: pl.DataFrame, min_gap: float, trials: int, names: RoleNames = UNLABELLED
) -> Figure:
    """Plot the larger model's pass rate over the smaller one's, one dot per pair of rates, its area the question count.

    Dots of kept questions are highlighted, using the rule of the analysis question set: a question with a missing or
    ungraded trial is not kept, whatever its gap. Questions without both pass rates are not shown; the title states
    their number.

    Args:
        pass_rate_table: Rows of ``pass_rate_table``.
        min_gap: Smallest gap of a kept question, in (0, 1].
        trials: Number of trials T.
        names: Names of the models on the axes.
    """
    placed = pass_rate_table.drop_nulls(["larger_pass_rate", "smaller_pass_rate"])
    if placed.is_empty():
        return notice_figure("No question has a pass rate for both models.")
    rates = ("smaller_pass_rate", "larger_pass_rate")
    counts = placed.group_by(*rates, is_kept=is_kept(min_gap, trials)).len().sort("is_kept", *rates)
    kept = counts["is_kept"].to_numpy()
    n, scale = counts["len"].to_numpy(), 260 / max(int(counts["len"].cast(pl.Int64).to_numpy().max()), 12)
    figure, axes = new_axes(4.3, 5.6)
    axes.fill_between([0, 1 - min_gap], [min_gap, 1], [1.06, 1.06], color=ROLE_COLOURS["larger"], alpha=0.07, lw=0)
    axes.plot([0, 1 - min_gap], [min_gap, 1], color=ROLE_COLOURS["larger"], lw=1, ls="--")
    axes.plot([0, 1], [0, 1], color=LIGHT_GREY, lw=0.9, zorder=0)
    x, y = counts["smaller_pass_rate"].to_numpy(), counts["larger_pass_rate"].to_numpy()
    for mask, colour in ((~kept, GREY), (kept, ROLE_COLOURS["larger"])):
        axes.scatter(x[mask], y[mask], s=n[mask] * scale + 6, color=colour, alpha=0.75, linewidths=0, clip_on=False)
    axes.set(xlim=(-0.06, 1.06), ylim=(-0.06, 1.06), aspect="equal")
    axes.set(**{f"{axis}label": f"Pass rate of {figure_text(names.the(role), 40)}" for axis, role in _AXES})
    axes.set_xticks(np.arange(0, 1.01, 0.2))
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    unplaced = pass_rate_table.height - placed.height
    title = counted(placed.height, "question") + (f"; {unplaced} without both pass rates not shown" if unplaced else "")
    axes.set_title(title, loc="left")
    _scatter_legend(figure, n, scale, min_gap, int(n[kept].sum()), int(n[~kept].sum()))
    return figure


def _scatter_legend(
    figure: Figure, n: np.ndarray[Any, Any], scale: float, min_gap: float, n_kept: int, n_others: int
) -> None:
    dot: dict[str, Any] = {"ls": "", "marker": "o", "mew": 0}
    kinds = [
        Line2D([], [], **dot, ms=7, color=ROLE_COLOURS["larger"], label=f"kept: gap ≥ {min_gap:g} ({n_kept:,})"),
        Line2D([], [], **dot, ms=7, color=GREY, label=f"not kept ({n_others:,})"),
        Line2D([], [], color=ROLE_COLOURS["larger"], lw=1, ls="--", label=f"gap = {min_gap:g}"),
        Line2D([], [], color=LIGHT_GREY, lw=0.9, label="equal pass rates"),
    ]
    steps = sorted({1, int(np.ceil(n.max() / 4)), int(n.max())})
    sizes = [
        Line2D([], [], **dot, ms=float(np.sqrt(step * scale + 6)), color=LIGHT_GREY, label=counted(step, "question"))
        for step in steps
    ]
    figure.legend(handles=[*kinds, *sizes], loc="outside right center", labelspacing=1.1)


@styled
def accuracy_bars(paired_accuracies: pl.DataFrame, names: RoleNames = UNLABELLED) -> Figure:
    """Plot the accuracy of both models by domain and overall, in percent, with intervals of the means as whiskers."""
    shown = paired_accuracies.filter(pl.col("level") != "benchmark", pl.col("task_format") == "all")
    if shown.is_empty():
        return notice_figure("No accuracy could be computed.")
    groups = shown.sort(pl.col("level") == "family", maintain_order=True)
    domains = groups["domain"].replace("all", "all domains").to_list()
    figure, axes = new_axes(2.9)
    roles: tuple[tuple[float, Role], ...] = ((-0.19, "smaller"), (0.19, "larger"))
    for shift, role in roles:
        colour, label = ROLE_COLOURS[role], figure_text(names.model(role), 40)
        _role_bars(axes, groups.select(f"{role}_mean", f"{role}_low", f"{role}_high"), shift, colour, label)
    domain_ticks(axes, domains)
    axes.set_xlim(-0.6, len(domains) - 0.4)
    axes.set_ylim(0, 109)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("Accuracy (%)")
    axes.grid(True, axis="y")
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def _role_bars(axes: Axes, rows: pl.DataFrame, shift: float, colour: str, label: str) -> None:
    """Draw bars of (mean, low, high) fractions; without an interval no whisker, without a mean a dash."""
    mean, low, high = (
        100 * np.array([np.nan if value is None else value for value in column]) for column in rows.iter_columns()
    )
    at = np.arange(len(mean)) + shift
    whisker = {"elinewidth": 0.8, "capsize": 2, "ecolor": "#222222"}
    reach = np.stack([mean - low, high - mean])
    axes.bar(at, mean, 0.36, yerr=reach, color=colour, label=label, error_kw=whisker)
    for x, value, top in zip(at, mean, np.where(np.isnan(high), mean, high), strict=True):
        if np.isnan(value):
            axes.text(x, 1.5, "—", ha="center", fontsize=8, color=GREY)
        elif len(mean) <= 7:
            axes.text(x, min(top, 100) + 1.5, decimal(value, 1), ha="center", fontsize=8)

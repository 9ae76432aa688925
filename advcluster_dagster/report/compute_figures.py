"""Figures of accuracy against compute: cost of each strategy, and gain over trace length."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.report.formatting import counted
from advcluster_dagster.report.role_names import UNLABELLED, RoleNames
from advcluster_dagster.report.style import (
    GREY,
    LIGHT_GREY,
    LINE_COLOURS,
    LINE_MARKERS,
    ROLE_COLOURS,
    figure_text,
    new_axes,
    notice_figure,
    styled,
)

_STRATEGIES = {
    "single": ("o", "one trial"),
    "majority": ("s", "majority of k"),
    "pass_at_k": ("^", "best of k, with a perfect checker"),
    "early_stop": ("v", "stopped at a length"),
}
_FORMAT_NAMES = {"open_ended": "open-ended", "multiple_choice": "multiple choice"}


@styled
def accuracy_against_compute(curves: pl.DataFrame, domain: str, labels: Mapping[str, str]) -> Figure:
    """Plot the accuracy of every strategy of both models over its cost per question, with the Pareto front.

    Cost is FLOPs per question if all rows of the domain have them, else completion tokens. The front covers the
    strategies that need no checker; pass@k has hollow markers.

    Args:
        curves: Rows of ``budget_curves`` of one family.
        domain: The domain, or ``all``.
        labels: Name of the model of each role.
    """
    rows = curves.filter(pl.col("domain") == domain)
    if rows.is_empty():
        return notice_figure("No question has a scored trial of both models.")
    cost = "flops" if rows["flops"].null_count() == 0 else "tokens"
    placed = rows.filter(pl.col(cost) > 0)
    if placed.is_empty():
        return notice_figure("Token counts of all trials are unknown, so accuracy cannot be plotted against compute.")
    figure, axes = new_axes(3.9)
    _draw_front(axes, placed, cost)
    for role, strategy in placed.select("role", "strategy").unique(maintain_order=True).iter_rows():
        of_role = placed.filter(pl.col("role") == role)
        _draw_strategy(axes, of_role, strategy, role, cost)
    unit = "FLOPs" if cost == "flops" else "Completion tokens"
    axes.set(xscale="log", ylim=(-4, 104), ylabel="Accuracy (%)", xlabel=f"{unit} per question (logarithmic)")
    axes.margins(x=0.06)
    axes.set_yticks(range(0, 101, 20))
    _log_ticks(axes, plain=cost == "tokens")
    axes.grid(True)
    unplaced = rows.height - placed.height
    n_questions = int(rows.filter(pl.col("k") == 1)["n_questions"].to_numpy().max())
    title = counted(n_questions, "question") + (f"; {counted(unplaced, 'point')} of unknown cost" if unplaced else "")
    axes.set_title(title, loc="left")
    figure.legend(handles=_handles(placed, labels), loc="outside lower center", ncols=2, columnspacing=1.6)
    return figure


def _draw_strategy(axes: Axes, of_role: pl.DataFrame, strategy: str, role: str, cost: str) -> None:
    """Draw the points of a strategy with whiskers; lines of majority and pass@k start at the single trial."""
    marker, _ = _STRATEGIES[strategy]
    rows = of_role.filter(pl.col("strategy") == strategy).sort("k", "token_limit")
    colour = ROLE_COLOURS[role]
    if strategy in ("majority", "pass_at_k"):
        line = pl.concat([of_role.filter(pl.col("strategy") == "single"), rows])
        axes.plot(line[cost], line["accuracy"] * 100, color=colour, lw=1, ls="-" if strategy == "majority" else ":")
    elif strategy == "early_stop":
        axes.plot(rows[cost], rows["accuracy"] * 100, color=colour, lw=0.8, ls=(0, (1, 3)))
    is_hollow = strategy == "pass_at_k"
    size = {"single": 7.0, "early_stop": 4.0}.get(strategy, 5.5)
    style: dict[str, Any] = {"mfc": "white" if is_hollow else colour, "mec": colour, "ms": size, "color": colour}
    known = rows.drop_nulls(["low", "high"])
    reach = [(known["accuracy"] - known["low"]) * 100, (known["high"] - known["accuracy"]) * 100]
    if strategy == "single":
        axes.errorbar(known[cost], known["accuracy"] * 100, yerr=reach, fmt="none", ecolor="#222222", elinewidth=0.8,
                      capsize=2.5)  # fmt: skip
    axes.plot(rows[cost], rows["accuracy"] * 100, ls="", marker=marker, zorder=3, **style)
    if strategy == "majority" and rows.height:
        last = rows.row(-1, named=True)
        axes.annotate(f"k = {last['k']}", (last[cost], 100 * last["accuracy"]), xytext=(8, -11),
                      textcoords="offset points", fontsize=8, color=GREY)  # fmt: skip


def _draw_front(axes: Axes, placed: pl.DataFrame, cost: str) -> None:
    """Draw the best accuracy within a budget without a checker, as steps."""
    flag = "is_efficient_unaided" if cost == "flops" else "is_efficient_unaided_tokens"
    front = placed.filter(pl.col(flag)).sort(cost)
    if front.height > 1:
        axes.step(front[cost], front["accuracy"] * 100, where="post", color="#222222", lw=1, ls="--", zorder=1)


def _handles(placed: pl.DataFrame, labels: Mapping[str, str]) -> list[Line2D]:
    roles = placed["role"].unique().sort()
    models = [
        Line2D(
            [],
            [],
            ls="",
            marker="o",
            ms=7,
            mew=0,
            color=ROLE_COLOURS[role],
            label=figure_text(labels.get(role, f"{role} model"), 34, 1),
        )
        for role in roles
    ]
    shown = set(placed["strategy"])
    kinds = [
        Line2D(
            [], [], ls="", marker=marker, ms=6, color=GREY, mfc="white" if name == "pass_at_k" else GREY, label=label
        )
        for name, (marker, label) in _STRATEGIES.items()
        if name in shown
    ]
    front = Line2D([], [], color="#222222", lw=1, ls="--", label="Pareto front without a checker")
    return [*models, front, *kinds]


def _log_ticks(axes: Axes, plain: bool) -> None:
    """Set ticks of a logarithmic axis: linear steps below a factor of 5, multiples of 1, 2 and 5 below 100."""
    low, high = axes.get_xlim()
    if high / low < 5:
        steps = MaxNLocator(6).tick_values(low, high)
        axes.xaxis.set_major_locator(FixedLocator([step for step in steps if low <= step <= high]))
    else:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 100 else (1.0,), numticks=20))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}" if plain else _power(value)))


def _power(value: float) -> str:
    digits, power = f"{value:.1e}".replace(".0e", "e").split("e")
    factor = "" if digits == "1" else rf"{digits} \times "
    return rf"${factor}10^{{{int(power)}}}$"


@styled
def gain_against_token_factor(summaries: pl.DataFrame, names: RoleNames = UNLABELLED) -> Figure:
    """Plot the larger model's gain over its token factor, one dot per benchmark and task format.

    Benchmarks without a token factor are not shown; the title states their number.

    Args:
        summaries: Rows of ``compute_summaries`` of one family.
        names: Names of the two models.
    """
    rows_larger = summaries.filter(
        pl.col("benchmark") != "all", pl.col("task_format") != "all", pl.col("role") == "larger"
    )
    placed = rows_larger.drop_nulls(["token_factor", "gain"]).filter(pl.col("token_factor") > 0)
    if placed.is_empty():
        return notice_figure("No benchmark has token counts and accuracies of both models.")
    figure, axes = new_axes(3.6)
    axes.axhline(0, color=LIGHT_GREY, lw=0.9, zorder=0)
    axes.axvline(1, color=LIGHT_GREY, lw=0.9, zorder=0)
    for place, task_format in enumerate(placed["task_format"].unique().sort(descending=True)):
        rows = placed.filter(pl.col("task_format") == task_format)
        axes.plot(rows["token_factor"], rows["gain"] * 100, ls="", marker=LINE_MARKERS[place], ms=7, mew=0,
                  color=LINE_COLOURS[place % len(LINE_COLOURS)], alpha=0.85,
                  label=_FORMAT_NAMES.get(task_format, task_format))  # fmt: skip
    for benchmark, factor, gain in placed.select("benchmark", "token_factor", "gain").iter_rows():
        axes.annotate(figure_text(benchmark, 18, 1), (factor, 100 * gain), xytext=(6, 3), textcoords="offset points",
                      fontsize=8, color=GREY)  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.12)
    _log_ticks(axes, plain=True)
    larger, smaller = (figure_text(names.the(role), 40, 1) for role in ROLES)
    axes.set_xlabel(f"Completion tokens, {larger} / {smaller} (logarithmic)")
    axes.set_ylabel(f"Accuracy of {larger} minus that\nof {smaller} (points)")
    axes.grid(True)
    n_unplaced = rows_larger.height - placed.height
    title = counted(placed["benchmark"].n_unique(), "benchmark") + (
        f"; {n_unplaced} without a token factor not shown" if n_unplaced else ""
    )
    axes.set_title(title, loc="left")
    figure.legend(loc="outside lower center", ncols=2)
    return figure

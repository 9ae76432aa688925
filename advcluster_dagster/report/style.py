"""Figure style and rendering.

Fonts and sizes suit a printed column of 16 cm; colours are distinguishable for colour-blind readers (Okabe and Ito's
palette) and in greyscale.
"""

import functools
import io
import textwrap
from collections.abc import Callable
from typing import Any, Literal, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from advcluster_dagster.report.formatting import foreign_text

WIDTH = 6.3
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
ROLE_COLOURS = {"smaller": "#E8A33D", "larger": "#0B5C8E"}
GREY = "#6B6B6B"
LIGHT_GREY = "#D9D9D9"

_STYLE: Any = {
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.2,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "advcluster",
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator that draws a figure in the shared style, regardless of global settings."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return in_style


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Create an empty figure, by default of column width; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Create a figure with one pair of axes."""
    figure = new_figure(height, width)
    return figure, figure.add_subplot()


def notice_figure(text: str) -> Figure:
    """Create a figure with a text in place of a plot."""
    figure = new_figure(1.1)
    figure.text(0.5, 0.5, figure_text(text, 80), ha="center", va="center", color=GREY, fontsize=10)
    return figure


def figure_text(text: str | None, width: int, max_lines: int = 3) -> str:
    """Prepare external text for a figure: wrapped, truncated, dollar signs escaped."""
    lines = textwrap.wrap(foreign_text(text), width, max_lines=max_lines, placeholder=" …") or [""]
    return "\n".join(lines).replace("$", r"\$")


def is_crowded(n_domains: int) -> bool:
    """Whether there are too many domains for horizontal labels."""
    return n_domains > 6


def domain_ticks(axes: Axes, domains: list[str], offset: float = 0.0, notes: list[str] | None = None) -> None:
    """Set one tick per domain with its note on a second line; slanted and on one line if crowded."""
    crowded = is_crowded(len(domains))
    labels = [figure_text(domain, 60, 1) if crowded else figure_text(domain, 14, 2) for domain in domains]
    if notes:
        gap = "  " if crowded else "\n"
        labels = [f"{label}{gap}{note}" for label, note in zip(labels, notes, strict=True)]
    turn: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(np.arange(len(labels)) + offset, labels, **turn)


def figure_png(figure: Figure, dpi: int = 150) -> bytes:
    """Render as PNG, reproducibly (no timestamp, no software name)."""
    return _render(figure, "png", {"Software": None}, dpi)


def figure_svg(figure: Figure) -> bytes:
    """Render as SVG with text as outlines, reproducibly."""
    return _render(figure, "svg", {"Date": None, "Creator": None}, 150)


def _render(figure: Figure, form: Literal["png", "svg"], metadata: dict[str, None], dpi: int) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format=form, dpi=dpi, metadata=metadata, bbox_inches="tight", pad_inches=0.03)
    return buffer.getvalue()

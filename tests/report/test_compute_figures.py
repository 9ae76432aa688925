import polars as pl
import pytest
from matplotlib.figure import Figure

from advcluster_dagster.contracts.compute import BUDGET_CURVES, COMPUTE_SUMMARIES
from advcluster_dagster.contracts.table import Table
from advcluster_dagster.report.compute_figures import accuracy_against_compute, gain_against_token_factor
from advcluster_dagster.report.style import figure_png

LABELS = {"larger": "big-70b $\\frac{", "smaller": "small-8b"}


def frame(table: Table, *rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([dict.fromkeys(table.own_schema) | row for row in rows], schema=table.own_schema)


def point(role: str, strategy: str, k: int, accuracy: float, cost: float, flops: float | None) -> dict[str, object]:
    front = None if strategy == "pass_at_k" else accuracy >= 0.5
    return {
        **{"domain": "all", "role": role, "strategy": strategy, "k": k, "token_limit": 0, "n_questions": 12},
        **{"accuracy": accuracy, "low": accuracy - 0.1, "high": None if k > 1 else accuracy + 0.1},
        **{"flops": flops, "tokens": cost, "cost": None},
        **{"is_efficient_unaided": front, "is_efficient_unaided_tokens": front},
    }


def curves(has_flops: bool) -> pl.DataFrame:
    flops = 1e12 if has_flops else None
    rows = [
        point("larger", "single", 1, 0.7, 900, flops),
        point("smaller", "single", 1, 0.5, 300, flops and flops / 8),
        point("smaller", "majority", 3, 0.6, 900, flops and flops / 3),
        point("smaller", "pass_at_k", 3, 0.8, 900, flops and flops / 3),
        point("smaller", "early_stop", 1, 0.2, 100, flops and flops / 20),
    ]
    return frame(BUDGET_CURVES, *rows)


def texts(figure: Figure) -> str:
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    axes = [
        text for a in figure.axes for text in (a.get_xlabel(), a.get_title("left"), *(t.get_text() for t in a.texts))
    ]
    return "\n".join([*legends, *axes, *(text.get_text() for text in figure.texts)])


def fronts(figure: Figure) -> list[list[float]]:
    """Abscissas of each black line; a whisker's end is of one point."""
    black = [list(line.get_xdata()) for line in figure.axes[0].lines if line.get_color() == "#222222"]  # type: ignore[arg-type]
    return [line for line in black if len(line) > 2]


def test_accuracy_stands_over_flops_where_all_are_known() -> None:
    figure = accuracy_against_compute(curves(True), "all", LABELS)
    words = texts(figure)
    assert "FLOPs per question" in words
    assert "best of k, with a perfect checker" in words
    assert "Pareto front without a checker" in words
    assert "small-8b" in words
    assert "12 questions" in words
    assert fronts(figure) == [pytest.approx([1e12 / 8, 1e12 / 3, 1e12])]
    assert figure_png(figure, 50).startswith(b"\x89PNG")


def test_accuracy_stands_over_tokens_where_flops_are_missing() -> None:
    lost = curves(True).with_columns(flops=pl.when(pl.col("role") == "smaller").then("flops"))
    for given in (curves(False), lost):
        figure = accuracy_against_compute(given, "all", LABELS)
        assert "Completion tokens per question" in texts(figure)
        assert fronts(figure) == [[300, 900, 900]]
        assert figure_png(figure, 50).startswith(b"\x89PNG")


def test_points_of_unknown_cost_are_counted_and_nothing_at_all_is_said() -> None:
    some = curves(False).with_columns(tokens=pl.when(pl.col("strategy") != "majority").then("tokens"))
    assert "12 questions; 1 point of unknown cost" in texts(accuracy_against_compute(some, "all", LABELS))
    none = some.with_columns(tokens=pl.lit(None, dtype=pl.Float64))
    assert "Token counts of all trials are unknown" in texts(accuracy_against_compute(none, "all", LABELS))
    assert "No question has a scored trial" in texts(accuracy_against_compute(some, "math", LABELS))


def benchmark(name: str, task_format: str, factor: float | None, gain: float) -> dict[str, object]:
    key = {"domain": "d", "benchmark": name, "task_format": task_format, "role": "larger"}
    return {**key, "token_factor": factor, "gain": gain}


@pytest.mark.parametrize("factors", [(1.3, 1.31), (0.5, 8.0), (1.0, 900.0)])
def test_a_dot_a_benchmark_by_format(factors: tuple[float, float]) -> None:
    rows = [
        benchmark("math", "open_ended", factors[0], 0.3),
        benchmark("math", "all", factors[0], 0.3),
        benchmark("$quiz", "multiple_choice", factors[1], -0.1),
        benchmark("all", "open_ended", factors[0], 0.3),
        benchmark("lost", "open_ended", None, 0.3),
    ]
    figure = gain_against_token_factor(frame(COMPUTE_SUMMARIES, *rows))
    words = texts(figure)
    assert "2 benchmarks; 1 without a token factor not shown" in words
    assert words.count("math") == 1
    assert "open-ended" in words
    assert "multiple choice" in words
    marked = [line for line in figure.axes[0].lines if line.get_marker() != "None"]
    dots = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in marked]  # type: ignore[index]
    assert dots == [(factors[0], 30.0), (factors[1], pytest.approx(-10.0))]
    assert figure_png(figure, 50).startswith(b"\x89PNG")


def test_no_benchmark_with_lengths_is_said() -> None:
    assert "No benchmark has token counts" in texts(gain_against_token_factor(frame(COMPUTE_SUMMARIES)))

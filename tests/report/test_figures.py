from collections.abc import Callable

import matplotlib
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.figures import (
    accuracy_bars,
    depth_violin,
    domain_heatmap,
    pass_rate_scatter,
    report_figures,
    sweep_curves,
)
from advcluster_dagster.report.style import figure_png, figure_svg
from advcluster_dagster.science.question_set.selection import select_analysis_questions

HOSTILE_TAG = "$\\frac{1$ <script> \u202e " + "Unbreakable" * 30


def texts(figure: Figure) -> str:
    """All texts of a figure."""
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    axes = [
        t
        for a in figure.axes
        for t in (*a.texts, *a.get_xticklabels(), *a.get_yticklabels(), a.title, a._left_title)  # type: ignore[attr-defined]
    ]
    return "\n".join(t.get_text() for t in (*figure.texts, *legends, *axes))


def frame(table: str, *rows: dict[str, object]) -> pl.DataFrame:
    contract = TABLES[table]
    blank = dict.fromkeys(contract.schema)
    return pl.DataFrame([blank | row for row in rows], schema=contract.schema)


def taxonomy(
    n: int, tag: str | None = "Tracking Changing State", kind: str = "common", domain: str = "d0"
) -> pl.DataFrame:
    rows = ({"cluster_id": i, "tag": tag, "size": i + 1, "kind": kind, "main_domain": domain} for i in range(n))
    return frame("final_taxonomy", *rows)


def distribution(n_clusters: int, n_domains: int, column_share: float | None = 0.5) -> pl.DataFrame:
    cells = [(i, f"d{j}") for i in range(n_clusters) for j in range(n_domains)]
    rows = (
        {"cluster_id": i, "domain": d, "n_advantages": 3, "row_share": 1 / n_domains, "column_share": column_share}
        for i, d in cells
    )
    return frame("domain_distribution", *rows)


EMPTY = {name: table.empty() for name, table in TABLES.items()}


@pytest.mark.parametrize(
    ("figure", "reason"),
    [
        (lambda: sweep_curves(EMPTY["candidate_clusterings"]), "There are no candidate clusterings"),
        (lambda: domain_heatmap(EMPTY["domain_distribution"], EMPTY["final_taxonomy"]), "There is no taxonomy"),
        (lambda: depth_violin(EMPTY["error_dispersion"], 0.4), "No question has a defined EDI of at most 0.4"),
        (lambda: pass_rate_scatter(EMPTY["pass_rate_table"], 0.6, 10), "No question has a pass rate"),
        (lambda: accuracy_bars(EMPTY["paired_accuracies"]), "No accuracy"),
    ],
)
def test_a_figure_over_nothing_says_why(figure: Callable[[], Figure], reason: str) -> None:
    drawn = figure()
    assert reason in texts(drawn)
    assert figure_png(drawn, 50).startswith(b"\x89PNG")


@pytest.mark.parametrize("normalise", ["row", "column", "count"])
@pytest.mark.parametrize(("n_clusters", "n_domains"), [(1, 1), (2, 4), (15, 20)])
def test_heatmap_of_any_size(n_clusters: int, n_domains: int, normalise: str) -> None:
    drawn = domain_heatmap(distribution(n_clusters, n_domains), taxonomy(n_clusters, HOSTILE_TAG), normalise)  # type: ignore[arg-type]
    assert len(drawn.axes[0].texts) == n_clusters * n_domains
    assert figure_png(drawn, 50)


def test_heatmap_marks_specialised_clusters_and_undefined_shares() -> None:
    drawn = domain_heatmap(distribution(2, 2, None), taxonomy(2, None, "specialised", "d1"), "column")
    assert [text.get_text() for text in drawn.axes[0].texts] == ["—"] * 4
    assert len(drawn.axes[0].patches) == 2
    assert "specialised in this domain" in texts(drawn)
    assert "(unnamed)" in texts(drawn)


def test_heatmap_of_common_clusters_has_no_mark() -> None:
    drawn = domain_heatmap(distribution(2, 2), taxonomy(2))
    assert len(drawn.axes[0].patches) == 0
    assert "50.0" in texts(drawn)


def errors(domain: str, *values: tuple[float | None, float | None]) -> list[dict[str, object]]:
    return [
        {"domain": domain, "question_id": f"{domain}{i}", "edi": e, "mean_depth": d} for i, (e, d) in enumerate(values)
    ]


def test_violin_leaves_out_dispersed_and_undefined_questions() -> None:
    rows = errors("math", (0.1, 3.0), (0.4, 4.0), (0.2, 3.5), (0.41, 1.0), (None, 2.0), (None, None))
    drawn = depth_violin(frame("error_dispersion", *rows, *errors("physics", (0.0, 3.0))), 0.4)
    # 3.0, 3.5, 4.0 stay: median 3.5; physics has a single question
    assert "math\n3 of 6 questions" in texts(drawn)
    assert "3.50" in texts(drawn)
    assert "No violin for fewer than 3 questions: physics" in texts(drawn)


@pytest.mark.parametrize("n_domains", [1, 7, 20])
def test_violin_of_equal_depths(n_domains: int) -> None:
    rows = [row for i in range(n_domains) for row in errors(f"domain-{i}", *[(0.0, 4.0)] * 5)]
    assert figure_png(depth_violin(frame("error_dispersion", *rows), 0.4), 50)


def pass_rates(*counts: tuple[int, int, int, int]) -> pl.DataFrame:
    """Rows of ``pass_rate_table`` from larger scored, larger correct, smaller scored, smaller correct."""
    rows = [
        {
            "question_id": f"q{number}",
            "benchmark": "b",
            "larger_n_scored": larger_n,
            "larger_n_correct": larger,
            "larger_pass_rate": larger / larger_n if larger_n else None,
            "smaller_n_scored": smaller_n,
            "smaller_n_correct": smaller,
            "smaller_pass_rate": smaller / smaller_n if smaller_n else None,
        }
        for number, (larger_n, larger, smaller_n, smaller) in enumerate(counts)
    ]
    return frame("pass_rate_table", *rows)


def test_scatter_counts_what_the_analysis_keeps() -> None:
    # 7/10 - 1/10 is 0.6 only up to rounding, and is kept; 9/9 - 0/10 is a gap of 1, but a trial was not graded;
    # 5/10 - 5/10 is too small a gap; the last question has no pass rate of the larger model.
    table = pass_rates((10, 7, 10, 1), (10, 10, 10, 0), (9, 9, 10, 0), (10, 5, 10, 5), (0, 0, 10, 2))
    kept = select_analysis_questions(table, 0.6, 10).height
    assert kept == 2
    shown = texts(pass_rate_scatter(table, 0.6, 10))
    assert f"kept: gap ≥ 0.6 ({kept})" in shown
    assert "not kept (2)" in shown
    assert "4 questions; 1 without both pass rates not shown" in shown


@pytest.mark.parametrize("trials", [5, 8, 9, 11])
def test_scatter_of_equal_rates_tells_complete_questions_from_others(trials: int) -> None:
    # Both lie at (0, 1): one with all T trials of both models graded, one with T - 1 of the larger model.
    table = pass_rates((trials, trials, trials, 0), (trials - 1, trials - 1, trials, 0))
    shown = texts(pass_rate_scatter(table, 0.6, trials))
    assert "kept: gap ≥ 0.6 (1)" in shown
    assert "not kept (1)" in shown


def test_scatter_of_a_study_with_incomplete_questions_counts_its_kept_ones(data: ReportData) -> None:
    drawn = report_figures(data)
    for family in ("qwen3", "orion"):
        table = data.table("pass_rate_table", family)
        kept, placed = data.table("analysis_question_set", family).height, table.drop_nulls("pass_rate_gap").height
        assert table.filter(pl.col("larger_n_scored") < data.study.trials).height > 0 or family == "orion"
        shown = texts(drawn[f"{family}_pass_rates"])
        assert f"kept: gap ≥ 0.6 ({kept})" in shown
        assert f"not kept ({placed - kept})" in shown


def test_sweep_of_one_candidate() -> None:
    row = {
        "pca_dim": 4,
        "n_clusters": 2,
        "davies_bouldin": 1.0,
        "silhouette": 0.2,
        "explained_variance": 0.341,
        "is_retained": True,
    }
    assert "d' = 4 (34.1 % of variance)" in texts(sweep_curves(frame("candidate_clusterings", row)))


def test_accuracy_without_an_interval() -> None:
    common = {"benchmark": "all", "task_format": "all", "n_questions": 1, "n_keys": 1}
    rows = [
        {"level": "domain", "domain": "math", "larger_mean": 0.7, "smaller_mean": None, **common},
        {"level": "family", "domain": "all", "larger_mean": 0.7, "smaller_mean": 0.5, "smaller_low": 0.4,
         "smaller_high": 0.6, **common},
    ]  # fmt: skip
    shown = texts(accuracy_bars(frame("paired_accuracies", *rows)))
    assert shown.count("70.0") == 2
    assert shown.count("50.0") == shown.count("—") == 1


def test_figures_are_deterministic_and_leave_the_process_style_alone(data: ReportData) -> None:
    before = dict(matplotlib.rcParams)
    first, second = report_figures(data), report_figures(data)
    assert list(first) == [
        f"{f}_{k}" for f in ("qwen3", "orion") for k in ("accuracy", "pass_rates", "sweep", "heatmap", "depths")
    ]
    for name in ("qwen3_heatmap", "orion_depths"):
        assert figure_png(first[name], 60) == figure_png(second[name], 60)
        assert figure_svg(first[name]) == figure_svg(second[name])
    assert dict(matplotlib.rcParams) == before


def test_png_names_no_time_and_no_software() -> None:
    png = figure_png(accuracy_bars(EMPTY["paired_accuracies"]), 50)
    assert b"Software" not in png
    assert b"tIME" not in png
    assert np.frombuffer(png, np.uint8).size > 100

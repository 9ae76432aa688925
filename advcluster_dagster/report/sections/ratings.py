"""Section on the quality of traces: calibration of the rater, then differences between the traces of pairs."""

import polars as pl

from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import MISSING, decimal, integer, percent, signed
from advcluster_dagster.report.sections.certainty import interval
from advcluster_dagster.report.views import Row, TableView

_CHECKS = {
    "repeatability": "repeatability, ICC(1,k)",
    "discrimination": "right above wrong, AUC",
    "changed_number": "a number changed, change of score",
    "added_filler": "200 words of filler, change of score",
}
_PASSED = {True: "yes", False: "no", None: "unknown"}


def dimension_name(dimension: str) -> str:
    """Format the name of a quality dimension."""
    return dimension.replace("_", " ")


def calibration_table(data: ReportData, family: str) -> TableView:
    """Calibration checks of the rater that could be measured."""
    frame = data.table("rating_calibrations", family)
    place = {name: i for i, name in enumerate(_CHECKS)}
    measured = frame.filter(pl.col("n") > 0).sort(pl.col("check").replace_strict(place), "dimension")
    rows = tuple(
        Row(
            (
                _CHECKS[row["check"]],
                dimension_name(row["dimension"]),
                integer(row["n"]),
                decimal(row["estimate"]),
                interval(row["low"], row["high"]),
                _PASSED[row["is_passed"]],
            )
        )
        for row in measured.iter_rows(named=True)
    )
    unmeasured = frame.filter(pl.col("check") == "repeatability", pl.col("n") == 0)["dimension"]
    unrated = [dimension_name(name) for name in unmeasured]
    notes = (f"Not rated by this judge: {', '.join(unrated)}.",) if unrated and rows else ()
    return TableView(
        caption="Calibration of the rater: agreement between its generations, right rated above wrong traces of the "
        "same question and model, and faults planted in right traces, which must lower the corresponding dimension.",
        columns=("check", "dimension", "n", "value", f"{100 * data.study.statistics.confidence:g} %", "passed"),
        rows=rows,
        n_text_columns=2,
        notes=notes,
        empty="No trace was rated.",
    )


def delta_table(data: ReportData, family: str) -> TableView:
    """Mean differences in rated quality within pairs, larger minus smaller model."""
    frame = data.table("delta_summaries", family).filter(pl.col("n_pairs") > 0)
    rows = tuple(
        Row(
            (
                "all domains" if row["domain"] == "all" else row["domain"],
                dimension_name(row["dimension"]),
                integer(row["n_pairs"]),
                integer(row["n_questions"]),
                signed(row["mean_delta"]),
                interval(row["low"], row["high"]),
                percent(row["share_positive"]),
                decimal(row["gap_correlation"]),
                decimal(row["length_correlation"]),
            ),
            "total" if row["domain"] == "all" else "plain",
        )
        for row in frame.iter_rows(named=True)
    )
    names = data.names(family)
    return TableView(
        caption=f"Rated quality of the right trace of {names.the('larger')} minus that of the wrong trace of "
        f"{names.the('smaller')}, on scales of 1 to 5: mean over pairs with its interval over source items, share "
        "above 0, and rank correlations with the question's gap and with the difference in length.",
        columns=("", "dimension", "pairs", "questions", "delta", "interval", "above 0, %", "with gap", "with length"),
        rows=rows,
        n_text_columns=2,
        notes=("A pair has a right and a wrong trace, so a delta reflects verdict and model together.",),
        empty="No pair has both traces rated.",
    )


def overlap_table(data: ReportData, family: str) -> TableView:
    """Overlap of the pairs with the largest deltas in two dimensions."""
    frame = data.table("delta_overlaps", family).filter(pl.col("n_pairs") > 0)
    rows = tuple(
        Row(
            (
                dimension_name(row["dimension_a"]),
                dimension_name(row["dimension_b"]),
                integer(row["k"]),
                MISSING if row["overlap_share"] is None else percent(row["overlap_share"]),
                percent(row["chance_share"]),
                integer(row["n_tied"]),
            )
        )
        for row in frame.iter_rows(named=True)
    )
    return TableView(
        caption="Overlap of the k pairs with the largest deltas in two dimensions, in percent, compared with chance.",
        columns=("dimension", "and", "k", "overlap", "by chance", "tied"),
        rows=rows,
        n_text_columns=2,
        empty="No pair has deltas in two dimensions.",
    )

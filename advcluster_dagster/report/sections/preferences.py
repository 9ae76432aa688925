"""Section on preference pairs: pairs drawn, pairs exported, and reasons why pairs are left out."""

import polars as pl

from advcluster_dagster.contracts.preferences import COMBINATIONS, SCHEMES
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import counted, integer
from advcluster_dagster.report.views import Row, TableView

_COMBINATIONS = {
    "c_i": "right over wrong",
    "c_c": "right over right",
    "i_i": "wrong over wrong",
    "i_c": "wrong over right",
}


def preference_table(data: ReportData, family: str) -> TableView:
    """Pairs by scheme and combination: drawn, exported, and left out by reason."""
    pairs = data.table("preference_pairs", family)
    order = {cell: i for i, cell in enumerate((s, c) for s in SCHEMES for c in COMBINATIONS)}
    cells = sorted(pairs.select("scheme", "combination").unique().rows(), key=lambda cell: order[cell])
    names = data.names(family)
    schemes = {"generator": f"{names.larger} over {names.smaller}", "same_model": "one model"}
    rows = tuple(_row(pairs.filter(pl.col("scheme") == s, pl.col("combination") == c), schemes[s], c) for s, c in cells)
    matches = data.table("held_out_matches", family)
    duplicates, siblings = (
        matches.filter(pl.col("relation") == relation)["question_id"].n_unique()
        for relation in ("duplicate", "sibling")
    )
    return TableView(
        caption="Preference pairs by the verdicts of the chosen and the rejected trace; exported pairs may be used for"
        " training.",
        columns=("traces", "verdicts", "drawn", "exported", "left out because"),
        rows=rows,
        n_text_columns=2,
        notes=(
            f"Held out, or a duplicate of a held-out question: {counted(duplicates, 'question')}. Siblings with other "
            f"numbers, which are not left out: {counted(siblings, 'question')}.",
        ),
        empty="No preference pair was drawn.",
    )


def _row(pairs: pl.DataFrame, scheme: str, combination: str) -> Row:
    left_out = pairs["reason_left_out"].drop_nulls().value_counts(sort=True)
    reasons = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in left_out.iter_rows()) or "none"
    counts = (integer(pairs.height), integer(pairs.filter("is_exported").height), reasons)
    return Row((scheme, _COMBINATIONS[combination], *counts))

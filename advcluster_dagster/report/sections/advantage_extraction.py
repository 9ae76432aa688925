"""Section on extraction: pairs, advantages, failures, violations of style rules (paper section 3.2.2)."""

import polars as pl

from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import decimal, foreign_text, integer, ratio
from advcluster_dagster.report.views import Row, TableView

_STAGE_TABLES = ("trace_pairs", "first_errors", "extraction_failures", "advantage_corpus")


def extraction_table(data: ReportData, family: str) -> TableView:
    """Pairs, extracted and failed pairs, advantages and advantages per pair, by domain."""
    frames = {name: data.table(name, family) for name in _STAGE_TABLES}
    rows, names = [], data.names(family)
    for domain in (*data.domains_run(family), None):
        n = {name: frame.height if domain is None else _in(frame, domain) for name, frame in frames.items()}
        per_pair = n["advantage_corpus"] / n["first_errors"] if n["first_errors"] else None
        cells = (domain or "total", *map(integer, n.values()), decimal(per_pair))
        rows.append(Row(cells, "plain" if domain else "total"))
    return TableView(
        caption=f"Trace pairs (a correct trace of {names.the('larger')} and a wrong one of {names.the('smaller', '')}),"
        " extraction results, and advantages per extracted pair.",
        columns=("domain", "pairs", "extracted", "failed", "advantages", "per pair"),
        rows=tuple(rows),
    )


def _in(frame: pl.DataFrame, domain: str) -> int:
    return frame.filter(pl.col("domain") == domain).height


def faults_table(data: ReportData, family: str) -> TableView:
    """Failed pairs by reason and advantages by violated style rule, with shares."""
    failures = data.table("extraction_failures", family)
    corpus = data.table("advantage_corpus", family)
    rules = corpus.select(pl.col("rule_violations").explode().alias("rule")).drop_nulls()
    rows = _share_rows("failed pairs, by reason", failures["reason"], data.table("trace_pairs", family).height)
    rows += _share_rows("advantages that violate a style rule, by rule", rules["rule"], corpus.height)
    return TableView(
        caption="Extraction faults. Failed pairs yield no advantages; an advantage that violates a style rule is kept "
        "and flagged.",
        columns=("", "number", "share (%)"),
        rows=tuple(rows),
        notes=("Shares are of all pairs and of all advantages.",),
        empty="No pair failed and no advantage violates a style rule.",
    )


def _share_rows(heading: str, names: pl.Series, total: int) -> list[Row]:
    counts = names.value_counts().sort("count", names.name, descending=[True, False])
    rows = [Row((foreign_text(name, 80), integer(n), ratio(n, total))) for name, n in counts.iter_rows()]
    return [Row((heading,), "group"), *rows] if rows else []

"""Write rows as a terminal table, JSON, JSON Lines, CSV or Parquet, to the screen or a file."""

import json
import sys
from pathlib import Path

import polars as pl
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from advcluster_dagster.cli.tables import printable
from advcluster_dagster.errors import AdvClusterError

FORMATS = ("table", "json", "jsonl", "csv", "parquet")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class FormatError(AdvClusterError, ValueError):
    """An unknown output format, or one that does not fit its destination; one line."""


def write_rows(
    rows: pl.DataFrame, form: str | None = None, to: Path | None = None, table: RenderableType | None = None
) -> None:
    """Write rows to a file, or print them.

    Args:
        rows: what to write.
        form: one of :data:`FORMATS`; None infers it from the file's extension, and is ``table`` on the screen.
        to: the file, overwritten if it exists; None prints to the screen, which cannot show Parquet.
        table: rendered on the screen for ``table``; None builds one from the rows.

    Raises:
        FormatError: the format is unknown, is ``parquet`` without a file, or is ``table`` with one.
    """
    chosen = form or (to.suffix.removeprefix(".").lower() if to else "table")
    if chosen not in FORMATS:
        where = f"{to}: its name ends in {to.suffix!r}" if form is None and to else f"--format is {chosen!r}"
        raise FormatError(f"{where}; allowed: {', '.join(FORMATS)}")
    if to is None and chosen == "parquet":
        raise FormatError("--format parquet needs a file; add --to FILE.parquet")
    if to is not None and chosen == "table":
        raise FormatError("a table can only be printed; for a file, set --format to json, jsonl, csv or parquet")
    if chosen == "table":
        Console().print(_table(rows) if table is None else table)
    elif to is not None and chosen == "parquet":
        rows.write_parquet(to)
    elif to is not None:
        to.write_text(_text(rows, chosen), encoding="utf-8")
    else:
        sys.stdout.write(_text(rows, chosen))


def _text(rows: pl.DataFrame, form: str) -> str:
    if form == "csv":
        return _flat(rows).write_csv()
    records = [json.dumps(row, ensure_ascii=False, default=str) for row in rows.iter_rows(named=True)]
    return "".join(f"{record}\n" for record in records) if form == "jsonl" else f"[{', '.join(records)}]\n"


def _table(rows: pl.DataFrame) -> Table:
    table = Table(
        *(escape(name) for name in rows.columns), caption=f"{rows.height} row{'s' if rows.height != 1 else ''}"
    )
    for row in rows.iter_rows():
        table.add_row(*("" if value is None else escape(_cell(value)) for value in row))
    return table


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_cell(part) for part in value)
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def _csv_cell(text: str) -> str:
    """Prefix text that starts like a formula with an apostrophe, so that spreadsheets do not evaluate it."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA_STARTS) else shown


def _flat(rows: pl.DataFrame) -> pl.DataFrame:
    """Flatten rows for CSV: lists become JSON text, texts pass through :func:`_csv_cell`."""
    nested = [name for name, dtype in rows.schema.items() if dtype.is_nested()]
    texts = [name for name, dtype in rows.schema.items() if dtype == pl.String]
    return rows.with_columns(
        *(pl.col(name).map_elements(lambda v: json.dumps(v.to_list()), return_dtype=pl.String) for name in nested),
        *(pl.col(name).map_elements(_csv_cell, return_dtype=pl.String) for name in texts),
    )

"""Write rows as a terminal table, JSON, JSON Lines, CSV or Parquet, to the screen or a file."""

import json
import sys
from pathlib import Path

import polars as pl
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from advcluster_dagster.cli.tables import printable
from advcluster_dagster.errors import AdvClusterError

FORMATS = ("table", "json", "jsonl", "csv", "parquet")
#: Characters of a cell that a column needs to be read at a glance; longer cells are folded.
_READABLE_WIDTH = 18
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
        console = Console()
        console.print(_table(rows, console.width) if table is None else table)
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


def _table(rows: pl.DataFrame, width: int) -> RenderableType:
    """A row a line where the columns fit the width, else a block of lines for each row; nothing is cut off."""
    cells = [["" if value is None else _cell(value) for value in row] for row in rows.iter_rows()]
    longest = [max(map(len, column), default=0) for column in zip(rows.columns, *cells, strict=True)]
    caption = Text(f"{rows.height} row{'s' if rows.height != 1 else ''}")
    if sum(min(length, _READABLE_WIDTH) + 3 for length in longest) + 1 > width:
        return Group(_blocks(rows.columns, cells), caption)
    table = Table(*(Column(escape(name), overflow="fold") for name in rows.columns))
    for row in cells:
        table.add_row(*map(escape, row))
    return Group(table, caption)


def _blocks(names: list[str], cells: list[list[str]]) -> Table:
    table = Table(Column(no_wrap=True), Column(overflow="fold"), show_header=False)
    for row in cells:
        for name, cell in zip(names, row, strict=True):
            table.add_row(escape(name), escape(cell))
        table.add_section()
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

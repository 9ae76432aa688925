"""Read and verify the file of one table partition: hashes, rows, damage.

Files are read with Arrow's reader, which reports damage that makes other readers fail altogether.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from advcluster_dagster.audit.history import Materialisation
from advcluster_dagster.audit.records import Break
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.content_hash import frame_hash
from advcluster_dagster.storage.files import file_sha256
from advcluster_dagster.storage.table_files import Stamp, stamp_in
from advcluster_dagster.study.partition import Partition

_READ_ERRORS = (OSError, pa.ArrowException, ValueError, KeyError, TypeError, MemoryError)
_SHORT = 12
FOOTER_FAULT: Final = "the file cannot be read: its footer is damaged"


@dataclass
class TableFile:
    """The readable content of a file and its faults; ``rows`` are those of its readable row groups."""

    table: str
    partition: Partition
    path: UPath
    stamp: Stamp | None = None
    rows: pl.DataFrame = field(default_factory=pl.DataFrame)
    breaks: list[Break] = field(default_factory=list)
    n_hashes: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether its bytes and rows are unchanged since they were written."""
        return not self.breaks

    def add(self, fault: str) -> None:
        """Record a break that concerns the whole file."""
        self.breaks.append(Break(self.table, self.partition, fault))


def read_table_file(table: str, partition: Partition, path: UPath, event: Materialisation | None) -> TableFile:
    """Read a file, recompute its hashes, and compare them with the event log.

    Args:
        table: name of the table.
        partition: its partition.
        path: its expected location.
        event: the last materialisation in the event log, or None.
    """
    file = TableFile(table, partition, path, rows=TABLES[table].empty())
    try:
        actual = file_sha256(path)
        with path.open("rb") as content:
            _read_rows(file, content)
    except FileNotFoundError:
        file.add("the file is missing")
        return file
    file.n_hashes += 1
    if event and event.file_sha256 not in (None, actual) and file.is_sound:
        file.add("the file was changed outside of its rows; the rows are as written")
    if file.stamp is not None:
        _compare_with_event(file, file.stamp, event)
    return file


def readable_rows(path: Path) -> tuple[pl.DataFrame, list[str]]:
    """Return the readable rows of a Parquet file, and one line for each part that cannot be read."""
    try:
        with path.open("rb") as content:
            return _read(pq.ParquetFile(content))
    except _READ_ERRORS:
        return pl.DataFrame(), [FOOTER_FAULT]


def _read_rows(file: TableFile, content: BinaryIO) -> None:
    """Read the stamp and the rows, and compare them."""
    try:
        parquet = pq.ParquetFile(content)
        file.stamp = _stamp(parquet)
    except _READ_ERRORS:
        file.add(FOOTER_FAULT)
        return
    rows, faults = _read(parquet)
    if rows.width and not _has_columns_of(TABLES[file.table].schema, rows.schema):
        faults.append("its columns do not match the table's contract")
    elif rows.width:
        file.rows = rows
    for fault in faults:
        file.add(fault)
    if faults:
        return
    file.n_hashes += 1
    if file.stamp is None:
        file.add("the file carries no stamp")
    elif (actual := frame_hash(file.rows)) != file.stamp.content_hash:
        expected = f"{file.stamp.content_hash[:_SHORT]} of {file.stamp.n_rows} rows"
        file.add(f"content hash mismatch: expected {expected}, got {actual[:_SHORT]} of {file.rows.height} rows")


def stamp_of(path: UPath) -> Stamp | None:
    """Return the stamp of a file that may be damaged; None if it cannot be read."""
    with suppress(*_READ_ERRORS), path.open("rb") as content:
        return _stamp(pq.ParquetFile(content))
    return None


def _stamp(parquet: pq.ParquetFile) -> Stamp | None:
    footer = parquet.metadata.metadata or {}
    return stamp_in({name.decode("utf-8", "replace"): text.decode() for name, text in footer.items()})


def _read(parquet: pq.ParquetFile) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows of every readable row group, and one line for each unreadable one.

    Row groups are read one at a time, since polars and Arrow both reject a whole file for one damaged page.
    """
    readable, faults, first = [_checked(parquet.schema_arrow.empty_table())], list[str](), 0
    for group in range(parquet.num_row_groups):
        n_rows = parquet.metadata.row_group(group).num_rows
        try:
            readable.append(_checked(parquet.read_row_group(group)))
        except _READ_ERRORS:
            faults.append(f"rows {first} to {first + n_rows - 1} cannot be read")
        first += n_rows
    return pl.concat(readable), faults


def _has_columns_of(expected: pl.Schema, given: pl.Schema) -> bool:
    """Return whether names and types match; nested types (vectors) match with any width."""
    return given.names() == expected.names() and all(
        actual == dtype or (actual.is_nested() and dtype.is_nested())
        for actual, dtype in zip(given.dtypes(), expected.dtypes(), strict=True)
    )


def _checked(table: pa.Table) -> pl.DataFrame:
    """Validate every value (UTF-8, offsets) and convert to polars."""
    table.validate(full=True)
    rows = pl.from_arrow(table)
    assert isinstance(rows, pl.DataFrame)
    return rows


def _compare_with_event(file: TableFile, stamp: Stamp, event: Materialisation | None) -> None:
    if event is None:
        file.add("no materialisation in the event log; run the study, which records it without model calls")
        return
    if event.data_version != stamp.content_hash:
        file.add(
            f"the event log's last materialisation has content hash {event.data_version[:_SHORT]}, the file"
            f" {stamp.content_hash[:_SHORT]}"
        )
    for name in ("code", "settings", "prompts", "upstream"):
        if event.fingerprint and event.fingerprint.get(name) != getattr(stamp, name):
            file.add(f"{name} in the file's stamp differs from the event log")

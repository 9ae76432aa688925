"""Table partitions as Parquet files: staged, validated against their contract, stamped, replaced atomically."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from advcluster_dagster.contracts.table import Table
from advcluster_dagster.storage.content_hash import ContentHash
from advcluster_dagster.storage.faults import DamagedFileError, writing
from advcluster_dagster.storage.paths import is_local, open_whole, put_in_place, retry_if_replaced, staging_path
from advcluster_dagster.study.partition import Partition, all_partitions
from advcluster_dagster.study.study import Study

_STAMP_KEY = "advcluster_stamp"
_ROWS_PER_GROUP = 65_536
_BYTES_PER_BATCH = 32 * 2**20
#: Remedy for a damaged file.
RERUN_REMEDY = "a run makes it again and reuses the model replies in the ledger"
#: Errors that Arrow and Polars raise for invalid Parquet, and the stamp's reader for an invalid stamp.
_UNREADABLE = (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError)


@dataclass(frozen=True)
class Stamp:
    """Provenance of a file's rows, stored in the file itself, so that both change atomically.

    ``code``, ``settings`` and ``prompts`` are the fingerprints of what made it; ``upstream`` maps ASSET or
    ASSET@PARTITION to the content hash that was read. ``content_hash`` is the data version. ``notes`` holds information
    that no column has: why there are no rows, how many calls failed. ``code_parts`` are the hashes that ``code``
    combines, by module, contract and SQL; empty in files of earlier versions. ``written_at`` is the time of writing in
    whole seconds since 1970; the file's modification time is set to it, so that later changes are noticed.
    """

    code: str = ""
    settings: str = ""
    prompts: str = ""
    upstream: Mapping[str, str] = field(default_factory=dict)
    content_hash: str = ""
    n_rows: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)
    code_parts: Mapping[str, str] = field(default_factory=dict)
    setting_parts: Mapping[str, str] = field(default_factory=dict)
    prompt_parts: Mapping[str, str] = field(default_factory=dict)
    written_at: int = 0

    def with_notes(self, notes: Mapping[str, Any]) -> "Stamp":
        """Return the stamp with these notes."""
        return replace(self, notes=dict(notes))


@dataclass(frozen=True)
class StagedTable:
    """A complete file, not yet visible to any reader."""

    table: Table
    partition: Partition
    staged_path: UPath
    path: UPath
    stamp: Stamp

    def scan(self) -> pl.LazyFrame:
        """Scan the staged rows."""
        return scan_file(self.staged_path)

    def publish(self) -> None:
        """Move the file to its target; readers see the old file or the new one, never a part.

        Raises:
            StorageError: the folder is not writable.
        """
        with writing(self.path):
            put_in_place(self.staged_path, self.path)

    def discard(self) -> None:
        """Remove the staged file and keep the old one."""
        self.staged_path.unlink(missing_ok=True)


def table_path(lake: UPath, study: str, asset: str, partition: Partition) -> UPath:
    """Return the file of a table partition: STUDY/ASSET/[FAMILY/]DOMAIN.parquet, or STUDY/ASSET/all.parquet."""
    parts = [value for value in (partition.family, partition.domain) if value is not None] or ["all"]
    return lake.joinpath(study, asset, *parts[:-1], f"{parts[-1]}.parquet")


def stage_table(
    table: Table, frame: pl.DataFrame | pl.LazyFrame, partition: Partition, path: UPath, stamp: Stamp
) -> StagedTable:
    """Write a frame to a staged file and validate it against its contract, streaming.

    On an error, the staged file is removed and the old file is untouched.

    Raises:
        ContractError: the frame breaks the contract.
        StorageError: the file cannot be written, such as on a full disk.
    """
    rows = table.conform(frame.lazy(), partition.columns)
    with writing(path):
        staged_path = staging_path(path)
    try:
        with writing(path):
            stamp = _write(rows, staged_path, stamp)
        table.check(scan_file(staged_path), partition.columns)
    except BaseException:
        staged_path.unlink(missing_ok=True)
        raise
    return StagedTable(table, partition, staged_path, path, stamp)


def read_stamp(path: UPath) -> Stamp | None:
    """Read the stamp of a file; None if the file does not exist or has no stamp.

    Raises:
        DamagedFileError: it is not a Parquet file, or its footer is garbled.
    """
    with _reading(path):
        try:
            return stamp_in(retry_if_replaced(lambda: _footer(path)))
        except FileNotFoundError:
            return None


def stamp_in(footer: Mapping[str, str]) -> Stamp | None:
    """Return the stamp among a footer's entries; None if there is none."""
    return Stamp(**json.loads(footer[_STAMP_KEY])) if _STAMP_KEY in footer else None


def _footer(path: UPath) -> Mapping[str, str]:
    # Read by Arrow, since Polars panics if an object is replaced while it is read.
    with path.open("rb") as file:
        return _footer_of(file)


def _footer_of(file: BinaryIO) -> Mapping[str, str]:
    entries: Mapping[bytes, bytes] = pq.read_metadata(file).metadata or {}
    return {name.decode(): content.decode() for name, content in entries.items()}


def scan_file(path: UPath) -> pl.LazyFrame:
    """Scan one file lazily; the content stays the same even if the file is replaced before it is read."""
    return pl.scan_parquet(open_whole(path), glob=False, hive_partitioning=False)


def read_file(path: UPath) -> pl.DataFrame:
    """Read the rows of one file.

    Raises:
        DamagedFileError: they cannot be read.
        FileNotFoundError: it does not exist.
    """
    with _reading(path):
        return scan_file(path).collect()


def file_fault(path: UPath, stamp: Stamp | None) -> str | None:
    """Return the fault of a file with this stamp, as one line with the remedy; None if it is sound.

    Its rows are read only if its modification time shows a change since it was written, or was lost in a copy. An
    object in a bucket, which cannot change in part, is assumed sound. Bit rot, and changes that reset the modification
    time, are found only by an audit.

    Raises:
        FileNotFoundError: it does not exist.
    """
    if stamp is not None and (not is_local(path) or path.stat().st_mtime == stamp.written_at):
        return None
    return content_fault(path)


def content_fault(path: UPath) -> str | None:
    """Return the fault of a file as :func:`file_fault`, but always read every row and compare it with the stamp.

    Raises:
        FileNotFoundError: it does not exist.
    """
    try:
        with _reading(path), open_whole(path) as file:  # one version, even if it is replaced
            stamp, content = stamp_in(_footer_of(file)), None
            file.seek(0)
            for batch in _batches(pl.scan_parquet(file, glob=False, hive_partitioning=False)):
                content = content or ContentHash(batch.schema)
                content.update(batch)
    except DamagedFileError as error:
        return str(error)
    if stamp is None:
        return f"{path} has no stamp, so another program wrote it; {RERUN_REMEDY}"
    if content is not None and content.hexdigest() == stamp.content_hash:
        return None
    return f"{path} is damaged: its rows were changed since it was written; {RERUN_REMEDY}"


def written_as(path: UPath) -> str:
    """Return size in bytes and modification time in nanoseconds of a file, SIZE-TIME; a move preserves both."""
    file_stat = path.stat()
    return f"{file_stat.st_size}-{getattr(file_stat, 'st_mtime_ns', 0)}"


@contextmanager
def _reading(path: UPath) -> Iterator[None]:
    """Convert errors about invalid content into errors that name the file.

    Raises:
        DamagedFileError: in place of an error of the library that reads it.
    """
    try:
        yield
    except _UNREADABLE as error:
        raise DamagedFileError(f"{path} is damaged: truncated or garbled; {RERUN_REMEDY}") from error
    except OSError as error:  # Arrow's error for a damaged page has no errno
        if error.errno is not None:
            raise
        raise DamagedFileError(f"{path} is damaged: truncated or garbled; {RERUN_REMEDY}") from error


def read_table(lake: UPath, study: Study, table: Table) -> pl.DataFrame:
    """Read all existing partitions of a table that the study declares, in the study's order; empty if none exist.

    Raises:
        DamagedFileError: one of them cannot be read.
    """
    frames = [
        read_file(path)
        for partition in all_partitions(study, table.level)
        if (path := table_path(lake, study.study, table.name, partition)).exists()
    ]
    return concat_partitions(table, frames)


def concat_partitions(table: Table, frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate partitions, without empty ones, as a vector column without rows has no width.

    Vectors of different widths become plain lists, so that code that needs one width can report the fault.
    """
    filled = [frame for frame in frames if frame.height]
    return pl.concat(filled, how="vertical_relaxed") if filled else table.empty()


def _write(rows: pl.LazyFrame, path: UPath, stamp: Stamp) -> Stamp:
    """Stream the rows to a file, and close it with its stamp, including content hash and row count."""
    writer, content, n_rows = None, None, 0
    with path.open("wb") as sink:
        for batch in _batches(rows):
            arrow = batch.to_arrow()
            if writer is None or content is None:
                writer = pq.ParquetWriter(sink, arrow.schema, compression="zstd")
                content = ContentHash(batch.schema)
            content.update(batch)
            writer.write_table(arrow, row_group_size=_ROWS_PER_GROUP)
            n_rows += batch.height
        assert writer is not None
        assert content is not None
        complete = replace(stamp, content_hash=content.hexdigest(), n_rows=n_rows, written_at=int(time.time()))
        writer.add_key_value_metadata({_STAMP_KEY: json.dumps(asdict(complete), sort_keys=True)})
        writer.close()
    # Whole seconds, which every file system and archive preserves.
    os.utime(str(path), (complete.written_at, complete.written_at))
    return complete


def _batches(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield the rows in bounded batches; at least one, possibly empty."""
    n_batches = 0
    for frame in rows.collect_batches(maintain_order=True):
        step = max(1, int(frame.height * _BYTES_PER_BATCH / max(1, frame.estimated_size())))
        for batch in frame.iter_slices(min(step, _ROWS_PER_GROUP)):
            n_batches += 1
            yield batch
    if not n_batches:
        yield pl.DataFrame(schema=rows.collect_schema())

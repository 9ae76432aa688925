"""Table partitions as Parquet files: staged, checked against their contract, stamped, replaced in one move."""

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
from advcluster_dagster.storage.paths import again_when_replaced, is_local, open_whole, put_in_place, staging_path
from advcluster_dagster.study.partition import Partition, all_partitions
from advcluster_dagster.study.study import Study

_STAMP_KEY = "advcluster_stamp"
_ROWS_PER_GROUP = 65_536
_BYTES_PER_BATCH = 32 * 2**20
#: What to do about a file that is not what was written.
REMADE = "a run makes it again and takes the replies of models from the ledger"
#: What Arrow and Polars raise over bytes that are no Parquet file, and the stamp's reader over text that is no stamp.
_UNREADABLE = (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError)


@dataclass(frozen=True)
class Stamp:
    """Where the rows of a file come from; kept in the file itself, so that both change in one move.

    ``code``, ``settings`` and ``prompts`` are the fingerprints of what made it; ``upstream`` maps ASSET or
    ASSET@PARTITION to
    the content hash that was read. ``content_hash`` is the data version. ``notes`` holds what a reader should know
    and no column says: why there are no rows, how many calls failed. ``code_parts`` are the hashes that ``code`` is of,
    by module, contract and SQL; earlier versions of the program kept none. ``written_at`` is when, in whole seconds
    since 1970; the file's own time of change is set to it, so that a later change of the file shows.
    """

    code: str = ""
    settings: str = ""
    prompts: str = ""
    upstream: Mapping[str, str] = field(default_factory=dict)
    content_hash: str = ""
    n_rows: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)
    code_parts: Mapping[str, str] = field(default_factory=dict)
    written_at: int = 0

    def with_notes(self, notes: Mapping[str, Any]) -> "Stamp":
        """The stamp with these notes."""
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
        """The staged rows."""
        return scan_file(self.staged_path)

    def publish(self) -> None:
        """Put the file in its place; readers see the old file or the new one, never a part.

        Raises:
            StorageError: the folder takes no file.
        """
        with writing(self.path):
            put_in_place(self.staged_path, self.path)

    def discard(self) -> None:
        """Remove the staged file, leaving the old one in place."""
        self.staged_path.unlink(missing_ok=True)


def table_path(lake: UPath, study: str, asset: str, partition: Partition) -> UPath:
    """The file of a table partition: STUDY/ASSET/[FAMILY/]DOMAIN.parquet, or STUDY/ASSET/all.parquet."""
    parts = [value for value in (partition.family, partition.domain) if value is not None] or ["all"]
    return lake.joinpath(study, asset, *parts[:-1], f"{parts[-1]}.parquet")


def stage_table(
    table: Table, frame: pl.DataFrame | pl.LazyFrame, partition: Partition, path: UPath, stamp: Stamp
) -> StagedTable:
    """Write a frame to a staged file and validate it against its contract, streaming.

    Raises:
        ContractError: the frame breaks the contract; nothing is left behind and the old file is untouched.
        StorageError: the file cannot be written, such as on a full disk; likewise.
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
    """The stamp of a file; None when there is no file or it carries none.

    Raises:
        DamagedFileError: it is no Parquet file, or its footer is garbled.
    """
    with _reading(path):
        try:
            return stamp_in(again_when_replaced(lambda: _footer(path)))
        except FileNotFoundError:
            return None


def stamp_in(footer: Mapping[str, str]) -> Stamp | None:
    """The stamp among a footer's entries; None when there is none."""
    return Stamp(**json.loads(footer[_STAMP_KEY])) if _STAMP_KEY in footer else None


def _footer(path: UPath) -> Mapping[str, str]:
    # By Arrow, since Polars panics where an object is replaced while it is read.
    with path.open("rb") as file:
        return _footer_of(file)


def _footer_of(file: BinaryIO) -> Mapping[str, str]:
    entries: Mapping[bytes, bytes] = pq.read_metadata(file).metadata or {}
    return {name.decode(): content.decode() for name, content in entries.items()}


def scan_file(path: UPath) -> pl.LazyFrame:
    """One file as a lazy frame, which stays that file's content when the file is replaced before it is read."""
    return pl.scan_parquet(open_whole(path), glob=False, hive_partitioning=False)


def read_file(path: UPath) -> pl.DataFrame:
    """The rows of one file.

    Raises:
        DamagedFileError: they cannot be read.
        FileNotFoundError: there is no such file.
    """
    with _reading(path):
        return scan_file(path).collect()


def file_fault(path: UPath, stamp: Stamp | None) -> str | None:
    """What is wrong with a file whose stamp is this one, in one line with the remedy; None for a sound one.

    Its rows are read where it has been changed since it was written, by its time of change, or was copied without it;
    an object in a bucket, which nothing changes in part, is taken for sound. Bytes that decayed on the disk, and a
    change that sets the time back, show in an audit alone.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if stamp is not None and (not is_local(path) or path.stat().st_mtime == stamp.written_at):
        return None
    return content_fault(path)


def content_fault(path: UPath) -> str | None:
    """What is wrong with a file, as :func:`file_fault`, but every row is read: it cannot be, or its rows are not those
    that its stamp was written for.

    Raises:
        FileNotFoundError: there is no such file.
    """
    try:
        with _reading(path), open_whole(path) as file:  # one version of it, whatever replaces it meanwhile
            stamp, content = stamp_in(_footer_of(file)), None
            file.seek(0)
            for batch in _batches(pl.scan_parquet(file, glob=False, hive_partitioning=False)):
                content = content or ContentHash(batch.schema)
                content.update(batch)
    except DamagedFileError as error:
        return str(error)
    if stamp is None:
        return f"{path} carries no stamp, so another program wrote it; {REMADE}"
    if content is not None and content.hexdigest() == stamp.content_hash:
        return None
    return f"{path} is damaged: its rows are not those that were written; {REMADE}"


def written_as(path: UPath) -> str:
    """Size in bytes and time of change in nanoseconds of a file, SIZE-TIME; a move keeps both."""
    file_stat = path.stat()
    return f"{file_stat.st_size}-{getattr(file_stat, 'st_mtime_ns', 0)}"


@contextmanager
def _reading(path: UPath) -> Iterator[None]:
    """Name the file where its bytes make no sense.

    Raises:
        DamagedFileError: instead of an error of the library that reads it.
    """
    try:
        yield
    except _UNREADABLE as error:
        raise DamagedFileError(f"{path} is damaged: cut short or garbled; {REMADE}") from error
    except OSError as error:  # Arrow's own, of a damaged page, has no number
        if error.errno is not None:
            raise
        raise DamagedFileError(f"{path} is damaged: cut short or garbled; {REMADE}") from error


def read_table(lake: UPath, study: Study, table: Table) -> pl.DataFrame:
    """All partitions of a table that the study asks for and that exist, in the study's order; without any, no rows.

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
    """Partitions under one another; empty ones are left out, since a vector column without rows has no width.

    Vectors of different widths become plain lists, so that whoever needs one width can say what is wrong.
    """
    filled = [frame for frame in frames if frame.height]
    return pl.concat(filled, how="vertical_relaxed") if filled else table.empty()


def _write(rows: pl.LazyFrame, path: UPath, stamp: Stamp) -> Stamp:
    """Stream the rows into a file and close it with its stamp, content hash and row count included."""
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
    # Whole seconds, which every file system and archive keeps as they are.
    os.utime(str(path), (complete.written_at, complete.written_at))
    return complete


def _batches(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The rows in bounded batches; at least one, possibly empty."""
    n_batches = 0
    for frame in rows.collect_batches(maintain_order=True):
        step = max(1, int(frame.height * _BYTES_PER_BATCH / max(1, frame.estimated_size())))
        for batch in frame.iter_slices(min(step, _ROWS_PER_GROUP)):
            n_batches += 1
            yield batch
    if not n_batches:
        yield pl.DataFrame(schema=rows.collect_schema())

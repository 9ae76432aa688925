"""Table partitions as Parquet files: staged beside their place, checked, then put there in one move.

Here: writing and reading files, the stamp in a file's footer. Not here: folders and buckets (places), Dagster
(parquet_io), queries (views).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from upath import UPath

from advcluster_dagster.contracts.table import Table
from advcluster_dagster.partitions import Partition, all_partitions
from advcluster_dagster.storage.content_hash import ContentHash
from advcluster_dagster.storage.places import again_when_replaced, open_whole, put_in_place, staging_path
from advcluster_dagster.study import Study

_STAMP_KEY = "advcluster_stamp"
_ROWS_PER_GROUP = 65_536
_BYTES_PER_BATCH = 32 * 2**20


@dataclass(frozen=True)
class Stamp:
    """Where the rows of a file come from; kept in the file itself, so that both change in one move.

    ``code``, ``settings`` and ``prompts`` are the fingerprints of what made it; ``upstream`` maps ASSET or
    ASSET@PARTITION to
    the content hash that was read. ``content_hash`` is the data version. ``notes`` holds what a reader should know
    and no column says: why there are no rows, how many calls failed. ``code_parts`` are the hashes that ``code`` is of,
    by module, contract and SQL; earlier versions of the program kept none.
    """

    code: str = ""
    settings: str = ""
    prompts: str = ""
    upstream: Mapping[str, str] = field(default_factory=dict)
    content_hash: str = ""
    n_rows: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)
    code_parts: Mapping[str, str] = field(default_factory=dict)

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
        """Put the file in its place; readers see the old file or the new one, never a part."""
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
    """Write a frame to a file of its own and hold it against its contract, streaming.

    Raises:
        ContractError: the frame breaks the contract; nothing is left behind and the old file is untouched.
    """
    rows = table.conform(frame.lazy(), partition.columns)
    staged_path = staging_path(path)
    try:
        stamp = _write(rows, staged_path, stamp)
        table.check(scan_file(staged_path), partition.columns)
    except BaseException:
        staged_path.unlink(missing_ok=True)
        raise
    return StagedTable(table, partition, staged_path, path, stamp)


def read_stamp(path: UPath) -> Stamp | None:
    """The stamp of a file; None when there is no file or it carries none."""
    try:
        return stamp_in(again_when_replaced(lambda: _footer(path)))
    except FileNotFoundError:
        return None


def stamp_in(footer: Mapping[str, str]) -> Stamp | None:
    """The stamp among a footer's entries; None when there is none."""
    return Stamp(**json.loads(footer[_STAMP_KEY])) if _STAMP_KEY in footer else None


def file_sha256(path: UPath) -> str:
    """sha256 of a file's bytes, 64 hex digits; it changes with bytes that no row shows, such as the footer's."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _footer(path: UPath) -> Mapping[str, str]:
    # By Arrow, since Polars panics where an object is replaced while it is read.
    with path.open("rb") as file:
        entries: Mapping[bytes, bytes] = pq.read_metadata(file).metadata or {}
    return {name.decode(): content.decode() for name, content in entries.items()}


def scan_file(path: UPath) -> pl.LazyFrame:
    """One file as a lazy frame, which stays that file's content when the file is replaced before it is read."""
    return pl.scan_parquet(open_whole(path), glob=False, hive_partitioning=False)


def read_table(lake: UPath, study: Study, table: Table) -> pl.DataFrame:
    """All partitions of a table that the study asks for and that exist, in the study's order; without any, no rows."""
    frames = [
        scan_file(path).collect()
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
        complete = replace(stamp, content_hash=content.hexdigest(), n_rows=n_rows)
        writer.add_key_value_metadata({_STAMP_KEY: json.dumps(asdict(complete), sort_keys=True)})
        writer.close()
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

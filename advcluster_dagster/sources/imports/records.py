"""Read the records of a file one at a time: JSON Lines, a JSON array, Parquet, CSV."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.fields import MAX_TEXT_BYTES
from advcluster_dagster.sources.imports.json_lines import JsonLines, Progress
from advcluster_dagster.sources.imports.source_files import file_size, read_head

Record = tuple[str, dict[str, Any]]
_CSV_SUFFIXES = (".csv", ".tsv")
_BATCH_ROWS = 256
_PROGRESS_ROWS = 1000


def read_records(path: Path, on_progress: Progress | None = None) -> Iterator[Record]:
    """Iterate over position (file and line, item or row) and record; memory holds a batch.

    Raises:
        ImportFileError: the file cannot be read in the format that its first bytes or its name indicate.
    """
    if _is_parquet(path):
        reader: Callable[[Path, Progress | None], Iterator[Record]] = _parquet_rows
    elif path.suffix.lower() in _CSV_SUFFIXES:
        reader = _csv_rows
    else:
        return iter(JsonLines(path, on_progress, allows_nan=True))
    return reader(path, on_progress)


def is_table(path: Path) -> bool:
    """Whether a file is Parquet or CSV, whose rows have named columns."""
    return path.suffix.lower() in _CSV_SUFFIXES or _is_parquet(path)


def _is_parquet(path: Path) -> bool:
    return read_head(path).startswith(b"PAR1")


def _parquet_rows(path: Path, on_progress: Progress | None) -> Iterator[Record]:
    number, n_bytes = 0, file_size(path)
    try:
        with pq.ParquetFile(path) as file:
            n_rows = file.metadata.num_rows
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", record
                if on_progress and n_rows:
                    on_progress(n_bytes * number // n_rows, n_bytes)
    except (pa.ArrowException, OSError) as error:
        raise ImportFileError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None


def _csv_rows(path: Path, on_progress: Progress | None) -> Iterator[Record]:
    n_bytes = file_size(path)
    limit = csv.field_size_limit(MAX_TEXT_BYTES)
    try:
        with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            for number, row in enumerate(csv.DictReader(file, delimiter=delimiter, strict=True), start=1):
                if None in row or None in row.values():
                    raise ImportFileError(f"{path}, row {number}: has more or fewer cells than the header")
                yield f"{path}, row {number}", {name: text or None for name, text in row.items()}
                if on_progress and number % _PROGRESS_ROWS == 0:
                    on_progress(min(raw.tell(), n_bytes), n_bytes)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImportFileError(f"{path}: cannot be read as CSV ({error})") from None
    finally:
        csv.field_size_limit(limit)

"""Provenance of imported rows, kept in the footer of their Parquet file."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from advcluster_dagster.storage.faults import DamagedFileError

_FOOTER_KEY = "advcluster_import"


@dataclass(frozen=True)
class ImportSummary:
    """One import of questions or of traces of one benchmark; equal records mean equal rows.

    ``file_name`` contains no local folder; ``sha256`` covers the whole source file. ``n_rows_by_role``, ``models`` and
    ``labels`` (the study's, at the time of the import) are empty for questions; ``answer_type`` is the one given for
    questions whose file does not specify it.
    """

    kind: Literal["questions", "traces"]
    source_format: Literal[
        "json_lines", "official_results", "inspect_logs", "lm_eval_samples", "mapped_records", "mapped_questions"
    ]
    domain: str
    benchmark: str
    file_name: str
    sha256: str
    n_rows: int
    family: str | None = None
    answer_type: str | None = None
    n_rows_by_role: dict[str, int] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles with traces in the import."""
        return tuple(self.n_rows_by_role)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for metadata and footers."""
        return {**dataclasses.asdict(self), "roles": list(self.roles)}


@dataclass
class ImportOutcome:
    """Summaries of an import, which contents of the files were used (``facts``), and ``remarks`` for the user."""

    summaries: list[ImportSummary] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)


def add_provenance(writer: pq.ParquetWriter, summary: ImportSummary) -> None:
    """Write the record to the footer of a file being written."""
    writer.add_key_value_metadata({_FOOTER_KEY: json.dumps(summary.as_dict())})


def read_provenance(path: Path) -> dict[str, Any]:
    """Read the record in the footer of an imported file: the fields of :class:`ImportSummary` and its roles.

    Raises:
        DamagedFileError: the file cannot be read.
    """
    with reading_import(path), path.open("rb") as file:
        record: dict[str, Any] = json.loads(pq.read_metadata(file).metadata[_FOOTER_KEY.encode()])
    return record


def verify_pages(path: Path) -> None:
    """Verify the page checksums of an imported file; files of earlier versions have none.

    Raises:
        DamagedFileError: a page does not match its checksum.
    """
    with reading_import(path), path.open("rb") as file:
        for _ in pq.ParquetFile(file, page_checksum_verification=True).iter_batches():
            pass


@contextmanager
def reading_import(path: Path) -> Iterator[None]:
    """Raise errors that name the imported file that cannot be read.

    Raises:
        DamagedFileError: in place of an error of the reading library.
    """
    try:
        yield
    except (pa.ArrowException, pl.exceptions.PolarsError, ValueError, TypeError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedFileError(
            f"{path} is damaged; import it again (advcluster import --help), or restore it from a backup"
        ) from error

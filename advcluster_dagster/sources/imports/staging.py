"""Write imported Parquet files and replace all files of an import together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from advcluster_dagster.contracts.table import Column
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.provenance import ImportOutcome, ImportSummary, add_provenance
from advcluster_dagster.storage.faults import writing
from advcluster_dagster.storage.files import file_lock

# A row group is written when its texts or its row count reach this size, whichever is first.
_ROW_GROUP_CHARACTERS = 4 * 2**20
_ROW_GROUP_ROWS = 20_000
_ARROW_TYPES = {pl.String(): pa.string(), pl.Int64(): pa.int64(), pl.Boolean(): pa.bool_()}


def questions_file(imports_root: Path, study: str, domain: str, benchmark: str) -> Path:
    """File of the imported questions of a benchmark."""
    return imports_root / study / "questions" / domain / f"{benchmark}.parquet"


def traces_file(imports_root: Path, study: str, family: str, domain: str, benchmark: str, role: str) -> Path:
    """File of the imported traces of one model on a benchmark."""
    return imports_root / study / "traces" / family / domain / benchmark / f"{role}.parquet"


class StagedFile:
    """A Parquet file being written next to the file that it will replace."""

    def __init__(self, target: Path, columns: Sequence[Column]) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.staged")
        self._schema = pa.schema([(column.name, _ARROW_TYPES[column.dtype]) for column in columns])  # type: ignore[index]
        self._rows: list[Sequence[Any]] = []
        self._n_characters = 0
        target.parent.mkdir(parents=True, exist_ok=True)
        # Repeated short names compress well as dictionaries; long texts are distinct and only cost time and memory.
        names = [name for name in self._schema.names if name not in ("question", "prompt", "response")]
        self._writer = pq.ParquetWriter(
            self.path,
            self._schema,
            compression="zstd",
            use_dictionary=names,
            write_statistics=names,
            write_page_checksum=True,
        )
        self.n_rows = 0

    def append(self, row: Sequence[Any], n_characters: int) -> None:
        """Add a row, its values in the order of the columns; ``n_characters`` is the length of its texts."""
        self._rows.append(row)
        self._n_characters += n_characters
        self.n_rows += 1
        if self._n_characters >= _ROW_GROUP_CHARACTERS or len(self._rows) >= _ROW_GROUP_ROWS:
            self._flush()

    def finish(self, summary: ImportSummary) -> None:
        """Write the remaining rows and the provenance."""
        self._flush()
        add_provenance(self._writer, summary)
        self._writer.close()

    def replace(self) -> None:
        """Replace the target with the finished file."""
        self.path.replace(self.target)

    def discard(self) -> None:
        """Drop the rows and remove the file."""
        with suppress(OSError, pa.ArrowException):  # a full disk must not prevent the removal
            self._writer.close()
        self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            values = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(values, self._schema, strict=True)]
            self._rows.clear()
            self._n_characters = 0
            self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))


class Staging:
    """The files of one import."""

    def __init__(self) -> None:
        self._files: list[StagedFile] = []

    def stage(self, target: Path, columns: Sequence[Column]) -> StagedFile:
        """Start a file; files are replaced in the order in which they were started."""
        self._files.append(StagedFile(target, columns))
        return self._files[-1]

    def current(self, target: Path) -> Path:
        """The file with a target's current content: the staged file, or the target itself if none is staged."""
        return next((file.path for file in self._files if file.target == target), target)

    def replace_all(self) -> None:
        """Put every finished file in place."""
        for file in self._files:
            file.replace()

    def discard_all(self) -> None:
        """Remove every staged file."""
        for file in self._files:
            file.discard()


#: Called when everything is staged and nothing is replaced yet; an exception leaves the imports unchanged.
BeforeStoring: TypeAlias = Callable[[ImportOutcome, Staging], None]


def store(_outcome: ImportOutcome, _files: Staging) -> None:
    """A :data:`BeforeStoring` that accepts every import."""


@contextmanager
def staging(imports_root: Path, study: str) -> Iterator[Staging]:
    """Stage files that are all replaced when the block succeeds, and all removed when it raises.

    Raises:
        ImportFileError: another import into the study is running.
        StorageError: files cannot be written to the folder of imports, such as on a full disk.
    """
    folder = imports_root / study
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / ".import.lock", must_wait=False) as is_held:
        if not is_held:
            raise ImportFileError(f"another import into study {study} is running; wait until it has finished")
        files = Staging()
        try:
            with writing(folder):
                yield files
        except BaseException:
            files.discard_all()
            raise
        files.replace_all()

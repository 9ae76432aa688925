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

# A row group is written when its texts reach this size or its rows this number, whichever is first.
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
    """A Parquet file being written beside the file that it is to replace."""

    def __init__(self, target: Path, columns: Sequence[Column]) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.staged")
        self._schema = pa.schema([(column.name, _ARROW_TYPES[column.dtype]) for column in columns])  # type: ignore[index]
        self._rows: list[Sequence[Any]] = []
        self._n_characters = 0
        target.parent.mkdir(parents=True, exist_ok=True)
        # Repeated short names compress as dictionaries; texts are all different and only cost time and memory there.
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
        """Write what is left, and the provenance."""
        self._flush()
        add_provenance(self._writer, summary)
        self._writer.close()

    def replace(self) -> None:
        """Put the finished file in the place of its target."""
        self.path.replace(self.target)

    def discard(self) -> None:
        """Forget the rows and remove the file."""
        with suppress(OSError, pa.ArrowException):  # a full disk must not keep the file from being removed
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
        """Begin a file; files are replaced in the order in which they were begun."""
        self._files.append(StagedFile(target, columns))
        return self._files[-1]

    def current(self, target: Path) -> Path:
        """Where a target's content lies now: the staged file, or the target itself where none is staged."""
        return next((file.path for file in self._files if file.target == target), target)

    def replace_all(self) -> None:
        """Put every finished file in place."""
        for file in self._files:
            file.replace()

    def discard_all(self) -> None:
        """Remove every staged file."""
        for file in self._files:
            file.discard()


#: Called when everything is staged and nothing is replaced yet; what it raises leaves the imports as they were.
BeforeStoring: TypeAlias = Callable[[ImportOutcome, Staging], None]


def store(_outcome: ImportOutcome, _files: Staging) -> None:
    """A :data:`BeforeStoring` that lets every import through."""


@contextmanager
def staging(imports_root: Path, study: str) -> Iterator[Staging]:
    """Files that are all replaced when the block ends well, and all removed when it raises.

    Raises:
        ImportFileError: another import into the study is running.
        StorageError: the folder of imports takes no files, such as on a full disk.
    """
    folder = imports_root / study
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / ".import.lock", must_wait=False) as is_held:
        if not is_held:
            raise ImportFileError(f"another import into study {study} is running; wait until it has ended")
        files = Staging()
        try:
            with writing(folder):
                yield files
        except BaseException:
            files.discard_all()
            raise
        files.replace_all()

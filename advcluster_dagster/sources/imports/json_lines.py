"""Read JSON objects from a file one at a time: JSON Lines, plain or gzipped, and JSON arrays."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.fields import MAX_TEXT_BYTES, SpelledFloat, check_characters
from advcluster_dagster.sources.imports.source_files import file_size, kind_fault, opened, read_head

Progress = Callable[[int, int], None]

#: Maximum size of a JSON array in bytes, unpacked; arrays are read whole.
MAX_ARRAY_BYTES = 256 * 2**20

# Escapes may triple the size of a text (a character of two bytes is six when escaped); longer lines are rejected.
_MAX_LINE_BYTES = 3 * MAX_TEXT_BYTES + 2**20
_PROGRESS_BYTES = 4 * 2**20
_BOM = b"\xef\xbb\xbf"
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


class JsonLines:
    """Iterate over the objects of a file and their positions; ``sha256`` of the file on disk is set after the last.

    A byte order mark, Windows line ends and blank lines are accepted; NaN and infinities only with ``allows_nan``.
    """

    def __init__(self, path: Path, on_progress: Progress | None = None, allows_nan: bool = False) -> None:
        self._path = path
        self._decoder = _NAN_DECODER if allows_nan else _DECODER
        self._on_progress = on_progress or (lambda _done, _total: None)
        self.sha256 = ""

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield position (file and line, or file and item of an array) and object.

        Raises:
            ImportFileError: the file cannot be read or contains anything but JSON objects in UTF-8.
        """
        head = read_head(self._path)
        if fault := kind_fault(self._path, head):
            raise ImportFileError(f"{self._path}: {fault}")
        is_array = head.removeprefix(_BOM).lstrip().startswith(b"[")
        digest = hashlib.sha256()
        with opened(self._path) as (file, content):
            is_packed = content is not file
            yield from self._items(content, digest) if is_array else self._objects(file, content, digest)
        if is_packed:
            with self._path.open("rb") as packed:
                digest = hashlib.file_digest(packed, "sha256")
        n_total = file_size(self._path)
        self._on_progress(n_total, n_total)
        self.sha256 = digest.hexdigest()

    def _objects(self, file: IO[bytes], content: IO[bytes], digest: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, line in enumerate(self._lines(file, content), start=1):
            digest.update(line)
            if number == 1:
                line = line.removeprefix(_BOM)
            if not line.isspace() and line:
                where = f"{self._path}, line {number}"
                record = _parse(line, where, self._decoder)
                if not isinstance(record, dict):
                    raise ImportFileError(f"{where}: not a JSON object; allowed: one object per line, {{...}}")
                if b"\\u" in line and _SUSPECT_ESCAPE.search(line):
                    check_characters(record, where)
                yield where, record

    def _lines(self, file: IO[bytes], content: IO[bytes]) -> Iterator[bytes]:
        n_done, n_reported, n_total = 0, 0, file_size(self._path)
        number = 1
        while line := content.readline(_MAX_LINE_BYTES + 1):
            if len(line) > _MAX_LINE_BYTES:
                raise ImportFileError(
                    f"{self._path}, line {number}: longer than {_MAX_LINE_BYTES // 2**20} MiB; allowed: "
                    f"texts of at most {MAX_TEXT_BYTES // 2**20} MiB"
                )
            yield line
            number += 1
            n_done += len(line)
            if n_done - n_reported >= _PROGRESS_BYTES:
                n_reported = n_done
                self._on_progress(min(file.tell(), n_total), n_total)

    def _items(self, content: IO[bytes], digest: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        text = content.read(MAX_ARRAY_BYTES + 1)
        if len(text) > MAX_ARRAY_BYTES:
            raise ImportFileError(
                f"{self._path}: a JSON array of more than {MAX_ARRAY_BYTES // 2**20} MiB, which would be read into "
                "memory whole; allowed: JSON Lines of any size, convert with: jq -c '.[]'"
            )
        digest.update(text)
        items = _parse(text.removeprefix(_BOM), str(self._path), self._decoder)
        is_suspect = _SUSPECT_ESCAPE.search(text) is not None
        del text
        for number, record in enumerate(items, start=1):
            where = f"{self._path}, item {number}"
            if not isinstance(record, dict):
                raise ImportFileError(f"{where}: not a JSON object; allowed: an array of objects")
            if is_suspect:
                check_characters(record, where)
            yield where, record


def first_object(path: Path) -> dict[str, Any]:
    """The first object of a file; empty if there is none or it cannot be read."""
    try:
        return next((record for _, record in JsonLines(path, allows_nan=True)), {})
    except ImportFileError:
        return {}


def _parse(text: bytes, where: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        fault = f"byte {error.start + 1} is not UTF-8; allowed: UTF-8"
    except json.JSONDecodeError as error:
        line = "" if error.lineno == 1 else f"line {error.lineno}, "
        fault = f"not JSON: {error.msg} at {line}column {error.colno}{_hint(text)}"
    except RecursionError:
        fault = "invalid JSON: nested too deeply"
    except ValueError as error:
        fault = f"invalid JSON: {str(error).splitlines()[0]}"
    raise ImportFileError(f"{where}: {fault}")


def _hint(text: bytes) -> str:
    """Explain why a text is not JSON: it contains NUL bytes, or only the start of an object."""
    if b"\0" in text:
        return "; it contains NUL bytes, so the file is damaged: copy it again"
    if text.strip() != b"{":
        return ""
    return "; objects that span several lines are not supported; allowed: one object per line, or an array of objects"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a field occurs twice in one object")
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=SpelledFloat)
_NAN_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_float=SpelledFloat)

"""JSON Lines files, read one bounded line at a time.

Here: bytes to objects with line numbers, and the file's hash in the same pass. Not here: what the objects hold.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from advcluster_dagster.imports.errors import ImportFileError
from advcluster_dagster.imports.fields import MAX_TEXT_BYTES, SpelledFloat, check_characters

Progress = Callable[[int, int], None]

# Escapes may triple the size of a text (a character of two bytes is six when escaped); a longer line is not read.
_MAX_LINE_BYTES = 3 * MAX_TEXT_BYTES + 2**20
_PROGRESS_BYTES = 4 * 2**20
_BOM = b"\xef\xbb\xbf"
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


class JsonLines:
    """The objects of a file with their places; ``sha256`` is known once the file is read to its end.

    A byte order mark, Windows line ends and blank lines are tolerated; NaN and infinities with ``allows_nan``.
    """

    def __init__(self, path: Path, on_progress: Progress | None = None, allows_nan: bool = False) -> None:
        self._path = path
        self._decoder = _NAN_DECODER if allows_nan else _DECODER
        self._on_progress = on_progress or (lambda _done, _total: None)
        self.sha256 = ""

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Place (file and line) and object of each line.

        Raises:
            ImportFileError: the file cannot be read or a line is not one JSON object in UTF-8.
        """
        digest = hashlib.sha256()
        for number, line in enumerate(self._lines(), start=1):
            digest.update(line)
            if number == 1:
                line = line.removeprefix(_BOM)
            if not line.isspace() and line:
                where = f"{self._path}, line {number}"
                record = _parse(line, where, self._decoder)
                if b"\\u" in line and _SUSPECT_ESCAPE.search(line):
                    check_characters(record, where)
                yield where, record
        self.sha256 = digest.hexdigest()

    def _lines(self) -> Iterator[bytes]:
        n_done, n_reported, n_total = 0, 0, file_size(self._path)
        with self._path.open("rb", buffering=2**20) as file:
            number = 1
            while line := file.readline(_MAX_LINE_BYTES + 1):
                if len(line) > _MAX_LINE_BYTES:
                    raise ImportFileError(
                        f"{self._path}, line {number}: longer than {_MAX_LINE_BYTES // 2**20} MiB; allowed: "
                        f"texts of at most {MAX_TEXT_BYTES // 2**20} MiB"
                    )
                yield line
                number += 1
                n_done += len(line)
                if n_done - n_reported >= _PROGRESS_BYTES or n_done == n_total:
                    n_reported = n_done
                    self._on_progress(n_done, n_total)


def file_size(path: Path) -> int:
    """Size in bytes.

    Raises:
        ImportFileError: there is no such file, or it is empty.
    """
    if not path.is_file():
        raise ImportFileError(f"{path}: there is no such file")
    if not (size := path.stat().st_size):
        raise ImportFileError(f"{path}: the file is empty; allowed: one JSON object a line")
    return size


def _parse(line: bytes, where: str, decoder: json.JSONDecoder) -> dict[str, Any]:
    try:
        record = decoder.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ImportFileError(f"{where}: byte {error.start + 1} is not UTF-8; allowed: UTF-8") from None
    except json.JSONDecodeError as error:
        raise ImportFileError(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ImportFileError(f"{where}: not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise ImportFileError(f"{where}: not JSON that can be read: {str(error).splitlines()[0]}") from None
    if not isinstance(record, dict):
        raise ImportFileError(f"{where}: not a JSON object; allowed: one object a line, {{...}}")
    return record


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a field is given twice in one object")
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=SpelledFloat)
_NAN_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_float=SpelledFloat)

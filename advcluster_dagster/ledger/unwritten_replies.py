"""Files that keep replies which the ledger could not take, until it can.

A file is JSON Lines, one call a line: {"row": the ledger's columns, "use": [study, asset, partition]}. It lies in the
ledger's folder or, where nothing can be written there, in the system's temporary folder, and only its owner can read
it. What is asked holds no key, so neither does the file.
"""

import fcntl  # filelock empties the file that it locks, and here it is the file with the replies
import hashlib
import json
import logging
import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from advcluster_dagster.ledger.tables import CALLS, Use, decode_outcome
from advcluster_dagster.models.protocol import call_id_of

_PREFIX = "unkept-replies-"
_COLUMNS = {column.name for column in CALLS.c} - {"revision"}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnkeptCall:
    """A row of the ledger without its revision, and on whose behalf the call was made."""

    row: dict[str, Any]
    use: Use


@dataclass(frozen=True)
class UnkeptPlaces:
    """Where the replies of one ledger go that it cannot take.

    ``folder`` holds files of this ledger alone; in the temporary folder they bear ``name``.
    """

    folder: Path | None
    name: str

    @classmethod
    def of(cls, url: sa.URL, folder: Path | None) -> "UnkeptPlaces":
        """The places of a ledger; a SQLite file's own folder unless another one is given."""
        where = url.render_as_string(hide_password=True)
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            database = Path(str(url.database)).resolve()
            folder, where = folder or database.parent, str(database)
        return cls(folder, hashlib.sha256(where.encode()).hexdigest()[:16])

    def files(self) -> list[Path]:
        """Files that are there, those in the temporary folder only where they are this user's own."""
        left_files = sorted(self.folder.glob(f"{_PREFIX}*.jsonl")) if self.folder else []
        temporary = sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}{self.name}-*.jsonl"))
        return [path for path in (*left_files, *temporary) if _is_own(path)]

    def new_paths(self) -> list[Path]:
        """Paths for a new file, the better place first."""
        folders = [*([self.folder] if self.folder else []), Path(tempfile.gettempdir())]
        return [folder / f"{_PREFIX}{self.name}-{uuid.uuid4().hex[:12]}.jsonl" for folder in folders]


class UnkeptFile:
    """Writes calls to the first of the places that takes them; the file is locked until it is closed.

    ``n_written`` calls are in ``paths``, ``n_lost`` could be written nowhere.
    """

    def __init__(self, places: UnkeptPlaces) -> None:
        self.n_written = 0
        self.n_lost = 0
        self.paths: list[Path] = []
        self._open: int | None = None
        self._left = places.new_paths()

    def write(self, calls: Sequence[UnkeptCall]) -> None:
        """Write calls; they are on disk when this returns, or counted as lost."""
        for call in calls:
            line = json.dumps({"row": call.row, "use": list(call.use)}).encode() + b"\n"
            if self._append(line):
                self.n_written += 1
            else:
                self.n_lost += 1
        if self._open is not None:
            with suppress(OSError):
                os.fsync(self._open)

    def close(self) -> None:
        """Let the file be taken in."""
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def _append(self, line: bytes) -> bool:
        while self._open is not None or self._left:
            if self._open is None and not self._begin():
                continue
            assert self._open is not None
            end = os.lseek(self._open, 0, os.SEEK_END)
            try:
                _write_all(self._open, line)
                return True
            except OSError:
                self._give_up(end)
        return False

    def _begin(self) -> bool:
        """Make the next file; False where that cannot be."""
        path = self._left.pop(0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._open, fcntl.LOCK_EX)
        except OSError:
            self.close()
            return False
        self.paths.append(path)
        return True

    def _give_up(self, end: int) -> None:
        """Leave a file that takes no more, without the part of a line, or without the file where it holds none."""
        assert self._open is not None
        with suppress(OSError):
            os.ftruncate(self._open, end)
        self.close()
        if end == 0:
            with suppress(OSError):
                self.paths.pop().unlink()


@contextmanager
def opened(path: Path) -> Iterator[list[UnkeptCall] | None]:
    """The calls of a file, which is removed at the end of the block; None, and left alone, where another process has
    it. A file with a line that is no call keeps that line, under another name.

    Raises:
        OSError: it cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:  # another process was faster
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        if not path.exists():
            yield None
            return
        calls, is_whole = _read(file)
        yield calls
        if is_whole:
            path.unlink()
        else:
            broken = path.with_suffix(".broken")
            path.replace(broken)
            _LOG.warning("%s: a line of it is no call; the others are in the ledger, the file is kept", broken)


def _read(file: BinaryIO) -> tuple[list[UnkeptCall], bool]:
    """The calls, and whether all lines were such; the last line of a killed process may be cut short."""
    calls, is_whole = [], True
    for line in file:
        try:
            calls.append(_checked(line))
        except (ValueError, TypeError, LookupError, RecursionError):
            is_whole &= not line.endswith(b"\n")
    return calls, is_whole


def _checked(line: bytes) -> UnkeptCall:
    read = json.loads(line)
    row, use = read["row"], read["use"]
    if row.keys() != _COLUMNS or call_id_of(json.loads(row["request"])) != row["call_id"]:
        raise ValueError("not a row of the ledger")
    decode_outcome(row["kind"], row["reply"], row["failure"])
    study, asset, partition = use
    return UnkeptCall(row, (str(study), str(asset), str(partition)))


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def is_unkept(path: Path) -> bool:
    """Whether a file is of this kind, by its name; it is there."""
    return path.name.startswith(_PREFIX) and path.suffix == ".jsonl" and path.is_file()


def _is_own(path: Path) -> bool:
    try:
        left_files = path.lstat()
    except OSError:
        return False
    return left_files.st_uid == os.getuid() and not path.is_symlink()

"""Files for replies that could not be written to the ledger, until they can be imported.

A file is JSON Lines, one call per line: {"row": the ledger's columns, "use": [study, asset, partition]}. It is in the
ledger's folder or, if that is not writable, in the system's temporary folder, readable by its owner only. Requests
contain no API keys, so the file contains none.
"""

import fcntl  # filelock truncates the file that it locks, which here holds the replies
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
class UnwrittenCall:
    """A row of the ledger without its revision, and the asset partition on whose behalf the call was made."""

    row: dict[str, Any]
    use: Use


@dataclass(frozen=True)
class UnwrittenPaths:
    """Where the unwritten replies of a ledger are stored.

    ``folder`` holds files of this ledger only; in the temporary folder, file names contain ``name``.
    """

    folder: Path | None
    name: str

    @classmethod
    def of(cls, url: sa.URL, folder: Path | None) -> "UnwrittenPaths":
        """The paths of a ledger; the folder defaults to that of the SQLite file."""
        identity = url.render_as_string(hide_password=True)
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            database = Path(str(url.database)).resolve()
            folder, identity = folder or database.parent, str(database)
        return cls(folder, hashlib.sha256(identity.encode()).hexdigest()[:16])

    def files(self) -> list[Path]:
        """Existing files that belong to this user."""
        in_folder = sorted(self.folder.glob(f"{_PREFIX}*.jsonl")) if self.folder else []
        temporary = sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}{self.name}-*.jsonl"))
        return [path for path in (*in_folder, *temporary) if _is_own(path)]

    def new_paths(self) -> list[Path]:
        """Candidate paths for a new file, in order of preference."""
        folders = [*([self.folder] if self.folder else []), Path(tempfile.gettempdir())]
        return [folder / f"{_PREFIX}{self.name}-{uuid.uuid4().hex[:12]}.jsonl" for folder in folders]


class UnwrittenFile:
    """Writes calls to the first path that is writable; the file is locked until it is closed.

    ``n_written`` calls are in ``paths``, ``n_lost`` could not be written anywhere.
    """

    def __init__(self, paths: UnwrittenPaths) -> None:
        self.n_written = 0
        self.n_lost = 0
        self.paths: list[Path] = []
        self._open: int | None = None
        self._remaining = paths.new_paths()

    def write(self, calls: Sequence[UnwrittenCall]) -> None:
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
        """Close the file, which allows its import."""
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def _append(self, line: bytes) -> bool:
        while self._open is not None or self._remaining:
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
        """Create the next file; return False if that fails."""
        path = self._remaining.pop(0)
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
        """Close a file that cannot be written any more: truncate its partial line, delete it if it holds no call."""
        assert self._open is not None
        with suppress(OSError):
            os.ftruncate(self._open, end)
        self.close()
        if end == 0:
            with suppress(OSError):
                self.paths.pop().unlink()


@contextmanager
def open_unwritten(path: Path) -> Iterator[list[UnwrittenCall] | None]:
    """Yield the calls of a file and delete it at the end of the block; None if another process has locked it.

    A file with invalid lines is not deleted but renamed to ``.broken``.

    Raises:
        OSError: the file cannot be read.
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
            _LOG.warning("%s: some lines are not valid calls; the others were imported, the file was kept", broken)


def _read(file: BinaryIO) -> tuple[list[UnwrittenCall], bool]:
    """Read the calls, and whether all complete lines are valid; a killed process may have truncated the last one."""
    calls, is_whole = [], True
    for line in file:
        try:
            calls.append(_checked(line))
        except (ValueError, TypeError, LookupError, RecursionError):
            is_whole &= not line.endswith(b"\n")
    return calls, is_whole


def _checked(line: bytes) -> UnwrittenCall:
    read = json.loads(line)
    row, use = read["row"], read["use"]
    if row.keys() != _COLUMNS or call_id_of(json.loads(row["request"])) != row["call_id"]:
        raise ValueError("not a row of the ledger")
    decode_outcome(row["kind"], row["reply"], row["failure"])
    study, asset, partition = use
    return UnwrittenCall(row, (str(study), str(asset), str(partition)))


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def is_unwritten_file(path: Path) -> bool:
    """Whether a path is an existing file of unwritten replies, judged by its name."""
    return path.name.startswith(_PREFIX) and path.suffix == ".jsonl" and path.is_file()


def _is_own(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not path.is_symlink()

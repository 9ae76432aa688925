"""Errors of files that cannot be read or written, each with the file and a remedy."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upath import UPath

from advcluster_dagster.errors import AdvClusterError

_ROOM = "make room and run the command again; what is done is kept"
_RIGHTS = "run the command as the user who owns the home, or let this user write there"
_REMEDIES = {
    errno.ENOSPC: ("the disk is full", _ROOM),
    errno.EDQUOT: ("this user's share of the disk is full", _ROOM),
    errno.EFBIG: ("the file would be larger than is allowed", "raise the limit (ulimit -f) and run the command again"),
    errno.EROFS: ("the file system is read-only", "make it writable, or copy the home to a disk that is"),
    errno.EACCES: ("permission denied", _RIGHTS),
    errno.EPERM: ("permission denied", _RIGHTS),
    errno.EIO: ("the disk reports an error", "look after the disk, then restore from a backup"),
}
#: What SQLite says of a file that is damaged, of a full disk, and of a file that may not be written.
_DAMAGED = ("malformed", "not a database", "unsupported file format", "could not decode")
_FULL = ("is full",)
_CLOSED = ("readonly", "unable to open", "disk i/o", "authorization denied", "access permission")
_ACCESS = "see that the disk has room and that this user may write there and in its folder, then run the command again"
#: What to do about a damaged ledger.
LEDGER_REMEDY = (
    "restore it from a backup, or move it away and begin an empty one with `advcluster ledger new`: tables stay, and"
    " replies that are needed again are asked for, and paid for, again"
)
_MOST_CAUSES = 12


class StorageError(AdvClusterError, RuntimeError):
    """A file of the home cannot be read or written; one line that names it and what to do."""


class DamagedFileError(StorageError):
    """A file of the home is not what was written; one line that names it and what to do."""


@contextmanager
def writing(path: Path | UPath) -> Iterator[None]:
    """Name the file in what goes wrong while it is written.

    Raises:
        StorageError: instead of an error of the operating system that a user can fix.
    """
    try:
        yield
    except OSError as error:
        line = system_fault(error, path)
        if line is None:
            raise
        raise StorageError(line) from error


def system_fault(error: OSError, path: Path | UPath | None = None) -> str | None:
    """What the operating system refused, with its path and a remedy; None for faults that are no matter of disks or
    rights. ``path`` is named where the error names none.
    """
    if error.errno not in _REMEDIES:
        return None
    what, remedy = _REMEDIES[error.errno]
    place = error.filename if isinstance(error.filename, str) else path
    return f"{what}; {remedy}" if place is None else f"{place}: {what}; {remedy}"


def database_fault(error: BaseException, place: object, remedy: str) -> str | None:
    """What SQLite says of a file, with a remedy: ``remedy`` where the file is damaged; None for faults of other kinds.

    Args:
        error: of sqlite3, or of SQLAlchemy, which carries it.
        place: the file.
        remedy: what to do about a damaged file.
    """
    cause = getattr(error, "orig", None) or error
    if not isinstance(cause, sqlite3.Error):
        return None
    message = str(cause).lower()
    if any(word in message for word in _DAMAGED):
        return f"{place} is damaged; {remedy}"
    if any(word in message for word in _FULL):
        return f"{place}: the disk is full; {_ROOM}"
    if any(word in message for word in _CLOSED):
        return f"{place}: cannot be opened or written; {_ACCESS}"
    return None


def history_remedy(folder: Path) -> str:
    """What to do about a damaged history, which lies in this folder."""
    return (
        f"move the folder {folder} away: tables and paid replies stay, and the next run records the tables again"
        " without asking models"
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, the outermost first."""
    current: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__

"""Errors of files that cannot be read or written, with path and remedy."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upath import UPath

from advcluster_dagster.errors import AdvClusterError

_ROOM = "free some space and run the command again; finished work is kept"
_RIGHTS = "run the command as the user who owns the home, or give this user write permission"
_REMEDIES = {
    errno.ENOSPC: ("the disk is full", _ROOM),
    errno.EDQUOT: ("this user's disk quota is exceeded", _ROOM),
    errno.EFBIG: ("the file would exceed the size limit", "raise the limit (ulimit -f) and run the command again"),
    errno.EROFS: ("the file system is read-only", "make it writable, or copy the home to a disk that is"),
    errno.EACCES: ("permission denied", _RIGHTS),
    errno.EPERM: ("permission denied", _RIGHTS),
    errno.EIO: ("the disk reports an error", "check the disk, then restore from a backup"),
}
#: Parts of SQLite's messages about a damaged file, a full disk, and a file that may not be written.
_DAMAGED = ("malformed", "not a database", "unsupported file format", "could not decode")
_FULL = ("is full",)
_CLOSED = ("readonly", "unable to open", "disk i/o", "authorization denied", "access permission")
_ACCESS = "check free disk space and write permission for the file and its folder, then run the command again"
#: Remedy for a damaged ledger.
LEDGER_REMEDY = (
    "restore it from a backup, or move it away and create an empty one with `advcluster ledger new`: tables are kept,"
    " and replies that are needed again are requested, and paid for, again"
)
_MOST_CAUSES = 12


class StorageError(AdvClusterError, RuntimeError):
    """A file of the home cannot be read or written; one line with path and remedy."""


class DamagedFileError(StorageError):
    """A file of the home is damaged or was changed; one line with path and remedy."""


@contextmanager
def writing(path: Path | UPath) -> Iterator[None]:
    """Convert errors while a file is written into errors that name the file.

    Raises:
        StorageError: in place of an operating system error that the user can fix.
    """
    try:
        yield
    except OSError as error:
        line = system_fault(error, path)
        if line is None:
            raise
        raise StorageError(line) from error


def system_fault(error: OSError, path: Path | UPath | None = None) -> str | None:
    """Describe a disk or permission error with path and remedy; None for other errors.

    ``path`` is used if the error has no file name.
    """
    if error.errno not in _REMEDIES:
        return None
    fault, remedy = _REMEDIES[error.errno]
    place = error.filename if isinstance(error.filename, str) else path
    return f"{fault}; {remedy}" if place is None else f"{place}: {fault}; {remedy}"


def database_fault(error: BaseException, place: object, remedy: str) -> str | None:
    """Describe a damaged file, full disk or missing permission reported by SQLite, with a remedy; None for others.

    Args:
        error: an error of sqlite3, or of SQLAlchemy that wraps one.
        place: the file.
        remedy: remedy for a damaged file.
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
    """Return the remedy for a damaged history in this folder."""
    return (
        f"move the folder {folder} away: tables and paid replies are kept, and the next run records the tables again"
        " without model calls"
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, outermost first."""
    current: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__

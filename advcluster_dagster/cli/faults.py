"""Error line of a failed command: the error's own message, or a disk or database error explained with its remedy."""

import sqlite3
from contextlib import closing
from pathlib import Path

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.storage.faults import causes, database_fault, history_remedy, system_fault
from advcluster_dagster.storage.home import Home


def expected_error_line(error: BaseException) -> str | None:
    """Return one line for an error that the user can act on; None for a bug in the program."""
    if isinstance(error, AdvClusterError):
        return " ".join(str(error).split())
    for cause in causes(error):
        if line := _expected_line(cause):
            return " ".join(line.split())
    return None


def _expected_line(error: BaseException) -> str | None:
    if isinstance(error, AdvClusterError):
        return str(error)
    if isinstance(error, OSError):
        return system_fault(error)
    if not isinstance(getattr(error, "orig", None) or error, sqlite3.Error):
        return None
    folder = Home.from_environment().dagster
    # The ledger raises its own errors, so any other database error comes from Dagster's databases.
    place = damaged_database(folder) or folder / "history"
    return database_fault(error, place, history_remedy(folder))


def damaged_database(folder: Path) -> Path | None:
    """Return the first damaged SQLite file below a folder, or None."""
    return next((path for path in sorted(folder.rglob("*.db")) if not _is_sound(path)), None)


def _is_sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.OperationalError:  # cannot be opened: says nothing about its content
        return True
    except sqlite3.DatabaseError:
        return False

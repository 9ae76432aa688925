"""The line that a failed command prints: its error's own, or what a disk or database error means and its remedy."""

import sqlite3
from contextlib import closing
from pathlib import Path

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.storage.faults import causes, database_fault, history_remedy, system_fault
from advcluster_dagster.storage.home import Home


def expected_error_line(error: BaseException) -> str | None:
    """One line about an error that a user can act on; None for a fault of the program."""
    if isinstance(error, AdvClusterError):
        return " ".join(str(error).split())
    for cause in causes(error):
        if line := _known(cause):
            return " ".join(line.split())
    return None


def _known(error: BaseException) -> str | None:
    if isinstance(error, AdvClusterError):
        return str(error)
    if isinstance(error, OSError):
        return system_fault(error)
    if not isinstance(getattr(error, "orig", None) or error, sqlite3.Error):
        return None
    folder = Home.from_environment().dagster
    # The ledger names its own faults, so that any other database is one of Dagster's.
    place = damaged_database(folder) or folder / "history"
    return database_fault(error, place, history_remedy(folder))


def damaged_database(folder: Path) -> Path | None:
    """The first SQLite file below a folder that is damaged; None where all can be read."""
    return next((path for path in sorted(folder.rglob("*.db")) if not _is_sound(path)), None)


def _is_sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.OperationalError:  # it cannot be opened, which says nothing of its content
        return True
    except sqlite3.DatabaseError:
        return False

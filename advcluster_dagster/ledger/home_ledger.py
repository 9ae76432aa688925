"""Open the call ledger of a home.

A lost ledger is not silently replaced by an empty one, because its replies would be paid for again.
"""

from pathlib import Path

from advcluster_dagster.ledger.database import LedgerError
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.storage.home import Home


def open_ledger(home: Home) -> Ledger:
    """Open the ledger of a home; create it if the home has no tables yet.

    Raises:
        LedgerError: it is missing or empty although tables exist, or it is damaged.
    """
    path = _file(home)
    if path is not None and _is_empty(path) and any(home.lake.glob("**/*.parquet")):
        raise LedgerError(
            f"{path}: the call ledger is missing, although the lake holds tables computed from its replies; restore it"
            " from a backup, or create an empty one with `advcluster ledger new`: tables are kept, but replies that are"
            " needed again are requested, and paid for, again"
        )
    return _open(home)


def begin_ledger(home: Home) -> Path | None:
    """Create an empty ledger; return its file, None with PostgreSQL.

    Raises:
        LedgerError: a ledger already exists.
    """
    path = _file(home)
    if path is not None and not _is_empty(path):
        raise LedgerError(f"{path}: a ledger already exists; move it away first, including everything it holds")
    _open(home).close()
    return path


def _open(home: Home) -> Ledger:
    return Ledger(home.ledger_url, home.root / "ledger")


def _file(home: Home) -> Path | None:
    return None if home.database_url is not None else home.root / "ledger" / "ledger.sqlite"


def _is_empty(path: Path) -> bool:
    """Whether the file is missing or has no content."""
    return not path.is_file() or path.stat().st_size == 0

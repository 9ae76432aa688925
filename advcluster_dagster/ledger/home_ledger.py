"""Open the call ledger of a home; refuse to replace one that was lost.

A ledger that is gone is not replaced in silence, since replies would be paid for again.
"""

from pathlib import Path

from advcluster_dagster.ledger.database import LedgerError
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.storage.home import Home


def open_ledger(home: Home) -> Ledger:
    """The ledger of a home; one is made where the home holds no table yet.

    Raises:
        LedgerError: it is missing or empty though tables were made from its replies, or it is damaged.
    """
    path = _file(home)
    if path is not None and _is_empty(path) and any(home.lake.glob("**/*.parquet")):
        raise LedgerError(
            f"{path}: the call ledger is gone, though the lake holds tables made from its replies; restore it from a"
            " backup, or begin an empty one with `advcluster ledger new`: tables stay, and replies that are needed"
            " again are asked for, and paid for, again"
        )
    return _opened(home)


def begin_ledger(home: Home) -> Path | None:
    """Make an empty ledger where there is none; its file, None with PostgreSQL.

    Raises:
        LedgerError: there is a ledger.
    """
    path = _file(home)
    if path is not None and not _is_empty(path):
        raise LedgerError(f"{path}: there is a ledger; move it away first, with all that it holds")
    _opened(home).close()
    return path


def _opened(home: Home) -> Ledger:
    return Ledger(home.ledger_url, home.root / "ledger")


def _file(home: Home) -> Path | None:
    return None if home.database_url is not None else home.root / "ledger" / "ledger.sqlite"


def _is_empty(path: Path) -> bool:
    """Whether there is no file, or one without any content."""
    return not path.is_file() or path.stat().st_size == 0

"""Database of the call ledger: engine, transactions, retries after lock timeouts."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, OperationalError

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.ledger.tables import SCHEMA_VERSION, create_tables, open_engine
from advcluster_dagster.storage.faults import LEDGER_REMEDY, database_fault

R = TypeVar("R")

_LOCK_PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0)
#: Database messages after which a retry may succeed, unlike for a full disk or a read-only database.
_TRANSIENT = ("locked", "deadlock detected")


class LedgerError(AdvClusterError, RuntimeError):
    """The ledger cannot be used; the message is one line. ``orig`` is the database's error, if any."""

    def __init__(self, line: str, orig: BaseException | None = None) -> None:
        super().__init__(line)
        self.orig = orig


class LedgerDatabase:
    """Database behind a URL; safe for concurrent use by several processes and threads.

    Args:
        url: SQLAlchemy URL; missing tables are created.

    Raises:
        LedgerError: the tables were written by another version of this program, or the file is damaged.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(sa.make_url(url))
        self._writer = self._engine.execution_options(is_writing=True)
        is_postgres = self._engine.dialect.name == "postgresql"
        isolation = {"isolation_level": "REPEATABLE READ"} if is_postgres else {}
        self._reader = self._engine.execution_options(**isolation)
        self.is_shared = is_postgres
        self.insert = postgresql.insert if is_postgres else sqlite.insert
        version = self.write(create_tables)
        if version != SCHEMA_VERSION:
            raise LedgerError(
                f"ledger {self}: its tables have version {version}, this release supports versions up to"
                f" {SCHEMA_VERSION}; use the newer release that wrote it"
            )

    def __str__(self) -> str:
        """The database URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def pack(self) -> int:
        """Vacuum the database: free the space of deleted and rewritten rows. Entries are unchanged.

        Returns:
            Bytes by which a SQLite file shrank; 0 with PostgreSQL, which reuses the space.
        """
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            if self._engine.dialect.name != "sqlite":
                connection.exec_driver_sql("VACUUM ANALYZE")
                return 0
            (size,) = raw.execute("PRAGMA page_size").fetchone()
            (n_before,) = raw.execute("PRAGMA page_count").fetchone()
            raw.execute("VACUUM")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (n_after,) = raw.execute("PRAGMA page_count").fetchone()
            return int(size * (n_before - n_after))

    def write(self, work: Callable[[sa.Connection], R]) -> R:
        """Run ``work`` in one transaction, rolled back if it raises; retry after lock timeouts and deadlocks.

        Raises:
            LedgerError: the file is damaged, the disk full or read-only.
        """
        for pause in (*_LOCK_PAUSES_S, None):
            try:
                with self._naming_faults(), self._writer.begin() as connection:
                    return work(connection)
            except (OperationalError, sqlite3.OperationalError) as error:  # the latter while switching to WAL
                if pause is None or not any(word in fault_of(error) for word in _TRANSIENT):
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a connection whose reads all see the same snapshot.

        Raises:
            LedgerError: the file is damaged, or cannot be opened.
        """
        with self._naming_faults(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def _naming_faults(self) -> Iterator[None]:
        """Translate faults of the ledger's file into errors that name the ledger and the remedy.

        Raises:
            LedgerError: instead of the database's error.
        """
        try:
            yield
        except (DatabaseError, sqlite3.DatabaseError) as error:
            if line := database_fault(error, self.place, LEDGER_REMEDY):
                raise LedgerError(line, getattr(error, "orig", None) or error) from error
            raise

    def damaged(self, error: BaseException) -> LedgerError:
        """The error to raise if stored content cannot be decoded."""
        return LedgerError(f"{self.place} is damaged; {LEDGER_REMEDY}", error)

    @property
    def place(self) -> str:
        """The ledger's file, or its database URL without password, for messages."""
        return f"ledger {self._engine.url.database if self._engine.dialect.name == 'sqlite' else self}"

    @contextmanager
    def session_lock(self, name: str) -> Iterator[None]:
        """Hold a PostgreSQL advisory lock, waiting for it; the server releases it when the holding process ends."""
        key = sa.func.hashtext(name)
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(key)))
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))


def fault_of(error: Exception) -> str:
    """The database's or system's message of an error, in one line, without the SQL statement and its parameters."""
    cause = getattr(error, "orig", None) or error
    message = getattr(cause, "strerror", None) or str(cause)
    return " ".join(str(message).split())[:300] or type(cause).__name__

"""Dagster's SQLite event log with connections that stay open.

Dagster's class opens and closes a connection for every event; closing the last connection of a file in WAL mode
checkpoints it, which takes milliseconds each time and most of a short step. It also checks on every partition query
whether the file has its tables. Files and tables are the same, so each class can read the other's.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import StaticPool

_MOST_OPEN = 8


class KeptOpenSqliteEventLogStorage(SqliteEventLogStorage):
    """SQLite event log that keeps the connections of the most recently used files open, serialised by a lock.

    Writes are not flushed individually (``synchronous=NORMAL``): a killed process loses nothing; a power failure may
    lose the last writes but does not corrupt the file.
    """

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "KeptOpenSqliteEventLogStorage":
        """Create the storage; ``base_dir`` is DAGSTER_HOME, and files are where Dagster's class puts them below it."""
        return cls(str(Path(config_value["base_dir"]) / "history" / "runs"), inst_data)

    def has_table(self, table_name: str) -> bool:
        """Whether the index has the table; positive answers are cached."""
        known: set[str] = self.__dict__.setdefault("_known_tables", set())
        if table_name not in known and super().has_table(table_name):
            known.add(table_name)
        return table_name in known

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> sa.Engine:
        engines: OrderedDict[str, sa.Engine] = self.__dict__.setdefault("_open_engines", OrderedDict())
        if shard not in engines:
            engines[shard] = self._open_shard(shard)
            if len(engines) > _MOST_OPEN:
                engines.popitem(last=False)[1].dispose()
        engines.move_to_end(shard)
        return engines[shard]

    def _open_shard(self, shard: str) -> sa.Engine:
        """Open a file; a new run's file is a copy of an empty one, which is much faster than its DDL."""
        path = Path(self.path_for_shard(shard))
        is_new_run = shard != INDEX_SHARD_NAME and not path.exists()
        empty: bytes | None = self.__dict__.get("_empty_run")
        if is_new_run and empty is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            staged = path.with_name(f".{path.name}.{os.getpid()}.staged")
            staged.write_bytes(empty)
            with suppress(FileExistsError):  # another process was first; its file stays
                os.link(staged, path)
            staged.unlink()
            self._initialized_dbs.add(shard)
        engine = _open_engine(self.conn_string_for_shard(shard))
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
            if is_new_run:
                with engine.connect() as connection:
                    self.__dict__["_empty_run"] = connection.connection.driver_connection.serialize()  # type: ignore[union-attr]
        return engine


def _open_engine(url: str) -> sa.Engine:
    arguments = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    engine = sa.create_engine(url, poolclass=StaticPool, connect_args=arguments)

    @sa.event.listens_for(engine, "connect")
    def relax(connection: object, _record: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")  # type: ignore[attr-defined]

    return engine

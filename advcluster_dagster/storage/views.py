"""Query the tables of a study as DuckDB views, named after their assets."""

import re
from collections.abc import Sequence

import duckdb
import polars as pl
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.storage.faults import DamagedFileError
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.paths import is_local
from advcluster_dagster.storage.sql_models import bind, held_open
from advcluster_dagster.storage.table_files import RERUN_REMEDY, Stamp, file_fault, read_stamp, table_path
from advcluster_dagster.study.partition import all_partitions
from advcluster_dagster.study.study import Study

_ANALYZE = re.compile(r"\A\s*(?:analy[sz]e\b|\([^)]*\))\s*", re.IGNORECASE)


class QueryError(AdvClusterError, ValueError):
    """A query that DuckDB rejects; one line."""


def query_study(home: Home, study: Study, sql: str) -> pl.DataFrame:
    """Run a query over all partitions of a study and return its rows; tables not yet materialised are empty.

    The query can only read the study's tables: no other files, extensions, settings or writes.

    Raises:
        QueryError: the SQL is invalid, or a statement does anything but select rows.
        DamagedFileError: a file of a table that the query names is damaged or missing.
    """
    files = {name: _files(home, study, name) for name in TABLES}
    queried = {name: paths for name, paths in files.items() if name in sql.lower()}
    for name, paths in queried.items():
        fault = _fault(paths) or _loss(home, study, name)
        if fault is not None:
            raise DamagedFileError(fault)
    # DuckDB cannot read a bucket by itself, so tables there that the query does not name stay empty; damaged ones are
    # skipped.
    sound = {name: paths for name, paths in files.items() if name not in queried and _fault(paths) is None}
    unnamed = {name: [str(path) for path in paths if is_local(path)] for name, paths in sound.items()}
    with duckdb.connect() as connection, held_open(queried) as open_files:
        readable = {**unnamed, **open_files}
        bind(connection, readable)
        _confine(connection, [path for paths in readable.values() for path in paths])
        try:
            _check_statements(connection, sql)
            rows: pl.DataFrame = connection.sql(sql).pl()
        except duckdb.Error as error:
            raise QueryError(f"query: {' '.join(str(error).split())}") from None
    return rows


def _fault(paths: Sequence[UPath]) -> str | None:
    """Return the fault of the first damaged file; None if all are sound."""
    try:
        faults = [file_fault(path, read_stamp(path)) for path in paths]
    except DamagedFileError as error:
        return str(error)
    return next((fault for fault in faults if fault is not None), None)


def _loss(home: Home, study: Study, table: str) -> str | None:
    """Return the fault of the first missing file of a table that existing files were made from; None if there is none.

    Stamps of tables name their inputs, so no history is needed.
    """
    paths = {
        f"{table}@{partition.label}": table_path(home.lake, study.study, table, partition)
        for partition in all_partitions(study, TABLES[table].level)
    }
    missing = {name: path for name, path in paths.items() if not path.exists()}
    if not missing:
        return None
    stamps = (stamp for name in TABLES for path in _files(home, study, name) if (stamp := _stamp(path)))
    used = {name for stamp in stamps for name in stamp.upstream}
    lost = next((path for name, path in missing.items() if name in used), None)
    return None if lost is None else f"{lost} is missing, but other tables were made from it; {RERUN_REMEDY}"


def _stamp(path: UPath) -> Stamp | None:
    try:
        return read_stamp(path)
    except DamagedFileError:
        return None


def _confine(connection: duckdb.DuckDBPyConnection, readable: list[str]) -> None:
    """Restrict a connection to the given files, irrevocably."""
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET allowed_paths = $paths", {"paths": readable})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _check_statements(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Reject statements that write: the files that a query may read could also be written.

    Raises:
        QueryError: there is no statement, or one that is not a select.
    """
    statements = connection.extract_statements(sql)
    explained = [s.query.split(maxsplit=1)[-1] for s in statements if s.type == duckdb.StatementType.EXPLAIN]
    inner = [s for text in explained for s in connection.extract_statements(_ANALYZE.sub("", text))]
    others = [s for s in statements if s.type != duckdb.StatementType.EXPLAIN]
    if not statements or any(s.type != duckdb.StatementType.SELECT for s in (*others, *inner)):
        raise QueryError("query: only select statements are allowed; tables are written by runs")


def _files(home: Home, study: Study, table: str) -> list[UPath]:
    paths = (
        table_path(home.lake, study.study, table, partition) for partition in all_partitions(study, TABLES[table].level)
    )
    return [path for path in paths if path.exists()]

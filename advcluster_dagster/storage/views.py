"""The tables of a study as DuckDB views, by their asset's name.

Here: one connection for people's queries. Not here: SQL models (sql_models), which bind a partition's files.
"""

import duckdb
import polars as pl
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.partitions import all_partitions
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.places import is_local
from advcluster_dagster.storage.sql_models import bind, held_open
from advcluster_dagster.storage.table_files import table_path
from advcluster_dagster.study import Study


class QueryError(ValueError):
    """A query that DuckDB refuses; one line."""


def query_study(home: Home, study: Study, sql: str) -> pl.DataFrame:
    """Rows of a query over all partitions of a study; a table not yet materialised has no rows.

    Raises:
        QueryError: the SQL is wrong, or it returns no rows to show (a statement).
    """
    with duckdb.connect() as connection:
        files = {name: _files(home, study, name) for name in TABLES}
        with held_open({name: paths for name, paths in files.items() if name in sql.lower()}) as held:
            # DuckDB cannot look into a bucket by itself, so a table that the query does not name stays without rows.
            unnamed = {name: [str(path) for path in paths if is_local(path)] for name, paths in files.items()}
            bind(connection, {**unnamed, **held})
            try:
                found = connection.sql(sql)
                rows: pl.DataFrame | None = None if found is None else found.pl()
            except duckdb.Error as error:
                raise QueryError(f"query: {' '.join(str(error).split())}") from None
    if rows is None:
        raise QueryError("query: this statement returns no rows; ask with select")
    return rows


def _files(home: Home, study: Study, table: str) -> list[UPath]:
    paths = (
        table_path(home.lake, study.study, table, partition) for partition in all_partitions(study, TABLES[table].level)
    )
    return [path for path in paths if path.exists()]

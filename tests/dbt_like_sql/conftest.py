from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import Column
from advcluster_dagster.storage.sql_models import SqlModel, bind

Rows = Sequence[Mapping[str, Any]]


def table_rows(table: str, rows: Rows) -> pl.DataFrame:
    """Rows of a table; omitted columns are null if nullable, else a default value."""
    columns = TABLES[table].all_columns
    full = [{column.name: row.get(column.name, _plain(column)) for column in columns} for row in rows]
    return pl.DataFrame(full, schema=TABLES[table].schema, orient="row")


def _plain(column: Column) -> Any:
    if column.is_nullable:
        return None
    if column.allowed:
        return column.allowed[0]
    plain = {"String": "x", "Int64": int(column.minimum or 0), "Float64": 0.0, "Boolean": True}
    return plain.get(str(column.dtype), [])


@pytest.fixture(name="table_rows")
def table_rows_fixture() -> Callable[[str, Rows], pl.DataFrame]:
    return table_rows


@pytest.fixture
def run() -> Callable[..., pl.DataFrame]:
    """Run a model or test on given rows of its input tables; other tables do not exist yet."""

    def run(model: SqlModel, **tables: Rows) -> pl.DataFrame:
        assert set(tables) <= model.refs
        with duckdb.connect() as connection:
            bind(connection, {name: [] for name in model.refs - set(tables)})
            for name, rows in tables.items():
                connection.register(name, table_rows(name, rows).to_arrow())
            return model.run(connection)

    return run

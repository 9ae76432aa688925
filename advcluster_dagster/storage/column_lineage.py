"""Column lineage of SQL models: the table columns that each column is computed from."""

from collections.abc import Iterator, Mapping
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.lineage import lineage

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.sql_models import SqlModel, duckdb_type


@cache
def column_lineage(model: SqlModel) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the (table, column) pairs that each column of a SQL model is computed from; none for a literal.

    A ``count(*)`` is computed from the keys of the tables whose rows it counts.
    """
    sql, tables = model.sql, model.refs
    query = sqlglot.parse_one(sql, dialect="duckdb")
    assert isinstance(query, exp.Query)
    schema = {name: {c: duckdb_type(t) for c, t in TABLES[name].schema.items()} for name in tables}
    parts = {part.alias: part.this for part in query.find_all(exp.CTE)}
    nodes = {column: lineage(column, sql, schema=schema, dialect="duckdb") for column in query.named_selects}
    return {column: tuple(sorted(_leaves(node) | _counted(node, parts))) for column, node in nodes.items()}


def _leaves(node: sqlglot.lineage.Node) -> set[tuple[str, str]]:
    origins = set()
    for leaf in node.walk():
        if not leaf.downstream and isinstance(leaf.expression, exp.Table):
            origins.add((leaf.expression.name, leaf.name.rsplit(".", 1)[-1].strip('"')))
    return origins


def _counted(node: sqlglot.lineage.Node, parts: Mapping[str, exp.Expr]) -> set[tuple[str, str]]:
    """Return the key columns of the tables counted by a ``count(*)`` upstream of a column."""
    origins = set()
    for inner in node.walk():
        if any(isinstance(count.this, exp.Star) for count in inner.expression.find_all(exp.Count)):
            origins |= {(table, column) for table in _base_tables(inner.source, parts) for column in TABLES[table].key}
    return origins


def _base_tables(query: exp.Expr, parts: Mapping[str, exp.Expr]) -> set[str]:
    """Return the tables that a query reads, through its common table expressions."""
    names = {table.name for source in _sources(query) for table in source.find_all(exp.Table)}
    return {name for name in names if name in TABLES}.union(
        *(_base_tables(parts[name], parts) for name in names if name in parts)
    )


def _sources(query: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the FROM and JOIN parts of a query and of the queries in its unions."""
    for select in query.find_all(exp.Select):
        yield from filter(None, (select.args.get("from_"), *(select.args.get("joins") or ())))

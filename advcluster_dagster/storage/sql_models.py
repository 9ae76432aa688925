"""Run the SQL models of ``dbt_like_sql``: render dbt's notation, bind ``ref`` to files, execute."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import duckdb
import polars as pl
from jinja2.sandbox import SandboxedEnvironment
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.home import shipped
from advcluster_dagster.storage.paths import is_local, open_whole

_DUCKDB_TYPES = {
    "String": "VARCHAR", "Int64": "BIGINT", "Float64": "DOUBLE", "Boolean": "BOOLEAN",
    "List(String)": "VARCHAR[]", "List(Int64)": "BIGINT[]", "List(Float32)": "FLOAT[]",
}  # fmt: skip
_OPEN_FILES = Path("/dev/fd")


@dataclass(frozen=True)
class SqlModel:
    """One SQL file in dbt's notation: a model, or a test whose rows are faults."""

    name: str
    source: str

    @cached_property
    def _rendered(self) -> tuple[str, frozenset[str], str]:
        refs: set[str] = set()
        config = {"severity": "error"}

        def ref(name: str) -> str:
            if name not in TABLES:
                raise ValueError(f"SQL model {self.name}: ref('{name}') names no table")
            refs.add(name)
            return name

        def set_config(**settings: str) -> str:
            config.update(settings)
            return ""

        text = SandboxedEnvironment().from_string(self.source).render(ref=ref, config=set_config)
        return text, frozenset(refs), config["severity"]

    @property
    def description(self) -> str:
        """The comment at the top of the file, on one line."""
        lines = itertools.takewhile(lambda line: line.startswith("--"), self.source.splitlines())
        return " ".join(line.removeprefix("--").strip() for line in lines)

    @property
    def sql(self) -> str:
        """The SQL that DuckDB runs; ``ref('x')`` is replaced by view x."""
        return self._rendered[0]

    @property
    def refs(self) -> frozenset[str]:
        """Tables the SQL reads."""
        return self._rendered[1]

    @property
    def is_blocking(self) -> bool:
        """Whether a test blocks downstream steps (dbt's severity ``error``) or warns (``warn``)."""
        return self._rendered[2] == "error"

    def run(self, connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
        """Run the SQL on a connection with views for the refs, and return the rows."""
        rows: pl.DataFrame = connection.sql(self.sql).pl()
        return rows


@cache
def sql_models() -> dict[str, SqlModel]:
    """Return all models by table name."""
    files = sorted((shipped("dbt_like_sql") / "models").glob("*/*.sql"))
    return {file.stem: SqlModel(file.stem, file.read_text(encoding="utf-8")) for file in files}


@cache
def sql_tests(table: str) -> tuple[SqlModel, ...]:
    """Return the tests of one table, sorted by name."""
    files: Iterable[Path] = sorted((shipped("dbt_like_sql") / "tests" / table).glob("*.sql"))
    return tuple(SqlModel(file.stem, file.read_text(encoding="utf-8")) for file in files)


@contextmanager
def held_open(files: Mapping[str, Sequence[UPath]]) -> Iterator[dict[str, list[str]]]:
    """Yield paths of each table's files whose content stays the same even if the files are replaced.

    DuckDB opens a file once for its schema and again for its rows, and would mix versions if it is replaced in between.
    On systems without a folder of open files (/dev/fd), the paths are unchanged.
    """
    with ExitStack() as stack:
        yield {table: [_held(path, stack) for path in paths] for table, paths in files.items()}


def _held(path: UPath, stack: ExitStack) -> str:
    if is_local(path) and not _OPEN_FILES.is_dir():
        return str(path)
    return str(_OPEN_FILES / str(stack.enter_context(open_whole(path)).fileno()))


def bind(connection: duckdb.DuckDBPyConnection, files: Mapping[str, Sequence[str]]) -> None:
    """Create a view over each table's files; without files, an empty view with the contract's columns."""
    for name, paths in files.items():
        if paths:
            listed = ", ".join(_quoted(path) for path in paths)
            # A vector column has no width in a partition without rows, so schemas are merged by name.
            source = f"SELECT * FROM read_parquet([{listed}], union_by_name=true, hive_partitioning=false)"
        else:
            columns = ", ".join(f'NULL::{duckdb_type(t)} AS "{c}"' for c, t in TABLES[name].schema.items())
            source = f"SELECT {columns} WHERE false"
        connection.execute(f'CREATE OR REPLACE TEMP VIEW "{name}" AS {source}')


def schema_yml(stage: str) -> str:
    """Generate dbt's ``schema.yml`` of a stage's models from the contracts."""
    lines = ["version: 2", "", "models:"]
    folder = shipped("dbt_like_sql") / "models" / stage
    for name in sorted(file.stem for file in folder.glob("*.sql")):
        table = TABLES[name]
        lines += [f"  - name: {name}", f"    description: {json.dumps(table.description)}", "    columns:"]
        for column in table.all_columns:
            lines += [
                f"      - name: {column.name}",
                f"        description: {json.dumps(column.description)}",
                f"        data_type: {duckdb_type(column.dtype)}",
            ]
            tests = [] if column.is_nullable else ["          - not_null"]
            if column.allowed:
                tests += ["          - accepted_values:", f"              values: [{', '.join(column.allowed)}]"]
            lines += ["        data_tests:", *tests] if tests else []
    return "\n".join(lines) + "\n"


def duckdb_type(dtype: object) -> str:
    """Return DuckDB's name of a column type."""
    return _DUCKDB_TYPES[str(dtype)]


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"

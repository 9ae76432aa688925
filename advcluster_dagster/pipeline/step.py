"""The running step: its study and partition, reading of tables, SQL, and reported facts.

Model calls are in ``model_session.py``, Dagster's view of a step in ``orchestration/asset_definitions.py``.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import duckdb
import polars as pl
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PARTITION_COLUMNS, PartitionLevel
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.pipeline.model_session import CallOptions, ModelSession
from advcluster_dagster.pipeline.recipe import Recipe, is_table_on
from advcluster_dagster.pipeline.stamps import upstream_partitions
from advcluster_dagster.sources.benchmarks.registry import expected_questions, questions_at_hand
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.sql_models import bind, held_open, sql_models, sql_tests
from advcluster_dagster.storage.table_files import (
    concat_partitions,
    read_file,
    read_stamp,
    read_table,
    scan_file,
    table_path,
)
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study


class StepError(AdvClusterError, ValueError):
    """A step cannot continue for a reason that the user can fix; one line."""


@dataclass
class Step:
    """One step on one partition of one study.

    Attributes:
        home: holds its files.
        study: the study as currently declared.
        recipe: the step.
        partition: the partition.
        ledger: the call ledger.
        connect: opens a DuckDB connection.
        options: how model calls are made.
        planned: ids of calls that earlier steps of a dry run make.
        to_be_made: table partitions that a dry run assumes to be made first; their files are hidden from the step.
        facts: shown with the result in the UI.
        notes: shown there as well, and stored in the stamps of the files.
        failed_warnings: lines about the study's failed non-blocking checks, for pages.
    """

    home: Home
    study: Study
    recipe: Recipe
    partition: Partition
    ledger: Ledger
    connect: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]] = duckdb.connect
    options: CallOptions = field(default_factory=CallOptions)
    planned: set[str] = field(default_factory=set)
    to_be_made: Collection[tuple[str, Partition]] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    failed_warnings: Sequence[str] = ()

    @cached_property
    def models(self) -> ModelSession:
        """The step's model calls, through the ledger."""
        return ModelSession(
            self.home,
            self.study,
            self.recipe.name,
            self.asset,
            self.partition,
            self.ledger,
            self.options,
            self.planned,
        )

    @property
    def call_notes(self) -> dict[str, Any]:
        """Numbers of model calls and of failed ones: of this run, or of the run that wrote the file under check."""
        return {**self.notes, **self.models.failure_notes}

    @property
    def asset(self) -> str:
        """The asset to which model calls are attributed: the step's first table."""
        return self.recipe.tables[0]

    @property
    def family(self) -> str:
        """Name of the partition's family."""
        assert self.partition.family is not None
        return self.partition.family

    @property
    def domain(self) -> str:
        """Name of the partition's domain."""
        assert self.partition.domain is not None
        return self.partition.domain

    def paths_of(self, table: str) -> list[UPath]:
        """Return the existing files of an upstream table that this partition is made from."""
        files = ((partition, self._path(table, partition)) for partition in self._partitions_of(table))
        return [path for partition, path in files if (table, partition) not in self.to_be_made and path.exists()]

    @property
    def has_final_inputs(self) -> bool:
        """Whether a dry run may estimate from the step's inputs: all exist, and the run makes none of them."""
        return not any(
            (table, partition) in self.to_be_made
            for table in self.recipe.upstream
            for partition in self._partitions_of(table)
        ) and all(self.paths_of(table) for table in self.recipe.upstream)

    def n_current_rows(self, table: str) -> int:
        """Count the rows of a table for this partition by the stamps of its files, including files to be made again."""
        stamps = (read_stamp(self._path(table, partition)) for partition in self._partitions_of(table))
        return sum(stamp.n_rows for stamp in stamps if stamp is not None)

    def _partitions_of(self, table: str) -> list[Partition]:
        return upstream_partitions(self.study, self.partition, TABLES[table].level)

    def _path(self, table: str, partition: Partition) -> UPath:
        return table_path(self.home.lake, self.study.study, table, partition)

    def read_partition(self, table: str, must_exist: bool = False) -> Any:
        """Read the partition of an upstream table that contains this step's partition; None if it does not exist.

        Raises:
            StepError: it does not exist, and ``must_exist`` is set.
        """
        if (path := self._file_of(table)) is not None:
            return read_file(path)
        if must_exist:
            raise StepError(f"{table} of {self.partition.label} does not exist; materialise it first")
        return None

    def scan_partition(self, table: str) -> pl.LazyFrame:
        """Scan a partition lazily, as :meth:`read_partition`; a missing one has no rows."""
        path = self._file_of(table)
        return TABLES[table].empty().lazy() if path is None else scan_file(path)

    def questions(self) -> pl.DataFrame | None:
        """Return the domain's questions, materialised or not; None if they must be downloaded or imported first."""
        frame: pl.DataFrame | None = self.read_partition("benchmark_questions")
        return questions_at_hand(self.home, self.study, self.domain) if frame is None else frame

    def n_questions(self) -> dict[str, int | None]:
        """Return the number of questions of each of the domain's benchmarks; None where unknown."""
        frame: pl.DataFrame | None = self.read_partition("benchmark_questions")
        if frame is None:
            return expected_questions(self.home, self.study, self.domain)
        counts = dict(frame.group_by("benchmark").len().iter_rows())
        return {name: counts.get(name, 0) for name in self.study.domains[self.domain]}

    def inputs(self) -> dict[str, pl.DataFrame | pl.LazyFrame]:
        """Read the step's inputs from the lake, by name.

        A table of a finer level than the step's is one frame of all existing partitions; any other is the partition
        that contains the step's.

        Raises:
            StepError: a table of which the step reads one partition lacks it.
        """
        return {table: self._input(table) for table in self.recipe.inputs}

    def _input(self, table: str) -> pl.DataFrame | pl.LazyFrame:
        if _gathers(self.recipe.level, TABLES[table].level):
            return self._scan_all(table) if table in self.recipe.lazy_inputs else self.load(table)
        if (path := self._file_of(table)) is None:
            raise StepError(f"{table} of {self.partition.label} does not exist; materialise it first")
        return scan_file(path) if table in self.recipe.lazy_inputs else read_file(path)

    def load(self, table: str) -> pl.DataFrame:
        """Read all partitions of an upstream table that this one is made from, ordered by domain and family."""
        return concat_partitions(TABLES[table], [read_file(path) for path in self._ordered_paths(table)])

    def _scan_all(self, table: str) -> pl.LazyFrame:
        """Scan partitions lazily, as :meth:`load`."""
        scans = [scan_file(path) for path in self._ordered_paths(table)]
        return pl.concat(scans) if scans else TABLES[table].empty().lazy()

    def _ordered_paths(self, table: str) -> list[UPath]:
        by_name = sorted(self._partitions_of(table), key=lambda partition: [*reversed(partition.columns.values())])
        if not is_table_on(table, self.study):
            return []
        files = ((partition, self._path(table, partition)) for partition in by_name)
        return [path for partition, path in files if (table, partition) not in self.to_be_made and path.exists()]

    def note_of(self, table: str, name: str) -> Any:
        """Return a note in the stamp of an upstream step's file; None if there is none."""
        path = self._file_of(table)
        stamp = None if path is None else read_stamp(path)
        return stamp.notes.get(name) if stamp else None

    def _file_of(self, table: str) -> UPath | None:
        """Return the file of the table's partition that contains the step's; None if there is none to read."""
        partition = self.partition.at(TABLES[table].level)
        path = self._path(table, partition)
        is_readable = is_table_on(table, self.study) and (table, partition) not in self.to_be_made and path.exists()
        return path if is_readable else None

    def read(self, table: str) -> pl.DataFrame:
        """Read all partitions of a table; a table of a section that the study lacks has no rows."""
        if not is_table_on(table, self.study):
            return TABLES[table].empty()
        return read_table(self.home.lake, self.study, TABLES[table])

    def run_sql(self, model: str) -> pl.DataFrame:
        """Run a SQL model for this partition and return its rows."""
        files = {table: self.paths_of(table) for table in sql_models()[model].refs}
        with self.connect() as connection, held_open(files) as open_files:
            bind(connection, open_files)
            return sql_models()[model].run(connection)

    def run_sql_test(self, table: str, test: str, rows: pl.LazyFrame) -> pl.DataFrame:
        """Run a SQL test and return the faulty rows; the table under test is the new one, not yet published."""
        (sql_test,) = (candidate for candidate in sql_tests(table) if candidate.name == test)
        files = {name: self.paths_of(name) for name in sql_test.refs - {table}}
        with self.connect() as connection, held_open(files) as open_files:
            bind(connection, open_files)
            connection.register(table, rows.collect().to_arrow())
            return sql_test.run(connection)

    @cached_property
    def domains_used(self) -> list[str]:
        """Domains whose traces were analysed for this family, in the order of the study."""
        return [
            domain
            for domain in self.study.domains
            if table_path(self.home.lake, self.study.study, "graded_trials", Partition(self.family, domain)).exists()
        ]


def _gathers(level: PartitionLevel, upstream: PartitionLevel) -> bool:
    """Return whether a partition of a level is made from several partitions of an upstream level."""
    return not set(PARTITION_COLUMNS[upstream]) <= set(PARTITION_COLUMNS[level])

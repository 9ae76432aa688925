"""The running step: its study and partition, the tables it reads, SQL, and what it reports.

Put here what every step can use while it runs. Model calls are in ``model_session.py``, Dagster's view of a step in
``orchestration/asset_definitions.py``.
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
    """A step cannot go on for a reason that the user can remove; one line."""


@dataclass
class Step:
    """One step on one partition of one study.

    Attributes:
        home: where its files lie.
        study: the study as it is declared now.
        recipe: the step.
        partition: the partition.
        ledger: the call ledger.
        connect: opens a DuckDB connection.
        options: how model calls are made.
        planned: ids of calls that other steps of a dry run make first.
        to_be_made: partitions of tables that a dry run assumes to be made first; the step sees no file of theirs.
        facts: shown beside the result in the UI.
        notes: shown there too, and kept in the stamps of the files.
        failed_warnings: lines about the study's failed warnings, for pages.
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
        """The step's way to models, through the ledger."""
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
        """The asset on whose behalf models are asked: the step's first table."""
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
        """Files of an upstream table that this partition maps to and that exist."""
        files = ((partition, self._path(table, partition)) for partition in self._partitions_of(table))
        return [path for partition, path in files if (table, partition) not in self.to_be_made and path.exists()]

    @property
    def has_final_inputs(self) -> bool:
        """Whether a dry run may estimate from the step's inputs: each is there, and the run makes none of them."""
        return not any(
            (table, partition) in self.to_be_made
            for table in self.recipe.upstream
            for partition in self._partitions_of(table)
        ) and all(self.paths_of(table) for table in self.recipe.upstream)

    def n_rows_now(self, table: str) -> int:
        """Rows that a table has for this partition by the stamps of its files, whatever is to be made again."""
        stamps = (read_stamp(self._path(table, partition)) for partition in self._partitions_of(table))
        return sum(stamp.n_rows for stamp in stamps if stamp is not None)

    def _partitions_of(self, table: str) -> list[Partition]:
        return upstream_partitions(self.study, self.partition, TABLES[table].level)

    def _path(self, table: str, partition: Partition) -> UPath:
        return table_path(self.home.lake, self.study.study, table, partition)

    def read_partition(self, table: str, must_exist: bool = False) -> Any:
        """The partition of an upstream table that this step's partition lies in; None (or an error) when it is not
        there.

        Raises:
            StepError: it is not there though it must be.
        """
        if (path := self._file_of(table)) is not None:
            return read_file(path)
        if must_exist:
            raise StepError(f"{table} of {self.partition.label} does not exist; materialise it first")
        return None

    def scan_partition(self, table: str) -> pl.LazyFrame:
        """As :meth:`read_partition`, lazily; a missing one has no rows."""
        path = self._file_of(table)
        return TABLES[table].empty().lazy() if path is None else scan_file(path)

    def questions(self) -> pl.DataFrame | None:
        """Questions of the domain, materialised or not; None where they must be fetched or imported first."""
        frame: pl.DataFrame | None = self.read_partition("benchmark_questions")
        return questions_at_hand(self.home, self.study, self.domain) if frame is None else frame

    def n_questions(self) -> dict[str, int | None]:
        """Number of questions of each of the domain's benchmarks, as far as it is known; None where it is not."""
        frame: pl.DataFrame | None = self.read_partition("benchmark_questions")
        if frame is None:
            return expected_questions(self.home, self.study, self.domain)
        counts = dict(frame.group_by("benchmark").len().iter_rows())
        return {name: counts.get(name, 0) for name in self.study.domains[self.domain]}

    def inputs(self) -> dict[str, pl.DataFrame | pl.LazyFrame]:
        """The step's inputs by name, read from the lake.

        A table of a finer level than the step's is one frame of all partitions that exist; any other is the partition
        that the step's own lies in.

        Raises:
            StepError: a table of which the step reads one partition does not have it.
        """
        return {table: self._input(table) for table in self.recipe.inputs}

    def _input(self, table: str) -> pl.DataFrame | pl.LazyFrame:
        if _gathers(self.recipe.level, TABLES[table].level):
            return self._scan_all(table) if table in self.recipe.lazy_inputs else self.load(table)
        if (path := self._file_of(table)) is None:
            raise StepError(f"{table} of {self.partition.label} does not exist; materialise it first")
        return scan_file(path) if table in self.recipe.lazy_inputs else read_file(path)

    def load(self, table: str) -> pl.DataFrame:
        """All partitions of an upstream table that the step's partition is made from, ordered by domain and family."""
        return concat_partitions(TABLES[table], [read_file(path) for path in self._ordered_paths(table)])

    def _scan_all(self, table: str) -> pl.LazyFrame:
        """As :meth:`load`, lazily."""
        scans = [scan_file(path) for path in self._ordered_paths(table)]
        return pl.concat(scans) if scans else TABLES[table].empty().lazy()

    def _ordered_paths(self, table: str) -> list[UPath]:
        by_name = sorted(self._partitions_of(table), key=lambda partition: [*reversed(partition.columns.values())])
        if not is_table_on(table, self.study):
            return []
        files = ((partition, self._path(table, partition)) for partition in by_name)
        return [path for partition, path in files if (table, partition) not in self.to_be_made and path.exists()]

    def note_of(self, table: str, name: str) -> Any:
        """A note that an upstream step left in the stamp of its file; None without one."""
        path = self._file_of(table)
        stamp = None if path is None else read_stamp(path)
        return stamp.notes.get(name) if stamp else None

    def _file_of(self, table: str) -> UPath | None:
        """The file of the partition of a table that this step's partition lies in; None where there is none to read."""
        partition = self.partition.at(TABLES[table].level)
        path = self._path(table, partition)
        is_there = is_table_on(table, self.study) and (table, partition) not in self.to_be_made and path.exists()
        return path if is_there else None

    def read(self, table: str) -> pl.DataFrame:
        """A whole table of the study, all partitions; one that no section of the study asks for has no rows."""
        if not is_table_on(table, self.study):
            return TABLES[table].empty()
        return read_table(self.home.lake, self.study, TABLES[table])

    def run_sql(self, model: str) -> pl.DataFrame:
        """Rows of a SQL model for this partition."""
        files = {table: self.paths_of(table) for table in sql_models()[model].refs}
        with self.connect() as connection, held_open(files) as held:
            bind(connection, held)
            return sql_models()[model].run(connection)

    def run_sql_test(self, table: str, test: str, rows: pl.LazyFrame) -> pl.DataFrame:
        """Faulty rows that a SQL test finds; the table under test is the one just made, not yet published."""
        (chosen,) = (candidate for candidate in sql_tests(table) if candidate.name == test)
        files = {name: self.paths_of(name) for name in chosen.refs - {table}}
        with self.connect() as connection, held_open(files) as held:
            bind(connection, held)
            connection.register(table, rows.collect().to_arrow())
            return chosen.run(connection)

    @cached_property
    def domains_used(self) -> list[str]:
        """Domains whose traces were analysed for this family, in the order of the study."""
        return [
            domain
            for domain in self.study.domains
            if table_path(self.home.lake, self.study.study, "graded_trials", Partition(self.family, domain)).exists()
        ]


def _gathers(level: PartitionLevel, upstream: PartitionLevel) -> bool:
    """Whether a partition of a level is made from several partitions of an upstream level."""
    return not set(PARTITION_COLUMNS[upstream]) <= set(PARTITION_COLUMNS[level])

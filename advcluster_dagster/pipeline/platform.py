"""The home, ledger and call options that all steps of a run share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import duckdb

from advcluster_dagster.ledger.budget import Cap
from advcluster_dagster.ledger.home_ledger import open_ledger
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.spending_limits import run_cap
from advcluster_dagster.pipeline.model_session import CallOptions
from advcluster_dagster.pipeline.recipe import Recipe
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study


@dataclass
class Platform:
    """The home whose studies are run, and the options of their model calls.

    ``on_progress`` is called with (step, model calls done, model calls in total); ``max_cost`` limits the cost of paid
    models from now on, in dollars; ``is_batched`` submits chat calls as batches if the vendor supports them.
    """

    home: Home
    offline: bool = False
    retry_failed: bool = False
    on_progress: Callable[[str, int, int], None] = lambda _step, _n_done, _n_all: None
    max_cost: float | None = None
    is_batched: bool = False

    @cached_property
    def ledger(self) -> Ledger:
        """The call ledger of the home, opened on first use.

        Raises:
            LedgerError: it is damaged or missing; one line.
        """
        return open_ledger(self.home)

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        """One in-memory database, to which every step gets its own connection: opening a database takes 30 ms."""
        return duckdb.connect(":memory:")

    @property
    def call_options(self) -> CallOptions:
        """Options of model calls."""
        return CallOptions(self.offline, self.retry_failed, self.is_batched, self.on_progress, self.caps)

    @cached_property
    def caps(self) -> tuple[Cap, ...]:
        """Spending limits of all steps together."""
        return () if self.max_cost is None else (run_cap(self.max_cost),)

    def open_step(
        self,
        name: str,
        recipe: Recipe,
        partition: Partition,
        study: Study | None = None,
    ) -> Step:
        """Open a step on one partition; without ``study``, its file is read now, so that changes need no restart.

        Raises:
            StudyError: the study file is missing or invalid.
        """
        return Step(
            self.home,
            study or self.home.load_study(name),
            recipe,
            partition,
            self.ledger,
            connect=self._database.cursor,
            options=self.call_options,
        )

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
    """The home whose studies are run; ``on_progress`` is called with (step, model calls done, model calls in total).

    ``max_cost`` is what paid models may cost from now on, dollars; ``is_batched`` hands chat calls over in batches
    where the vendor takes such.
    """

    home: Home
    offline: bool = False
    retry_failed: bool = False
    on_progress: Callable[[str, int, int], None] = lambda _step, _n_done, _n_all: None
    max_cost: float | None = None
    is_batched: bool = False

    @cached_property
    def ledger(self) -> Ledger:
        """The call ledger of the home, opened when first used.

        Raises:
            LedgerError: it is damaged, or gone; one line.
        """
        return open_ledger(self.home)

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        """One database in memory, of which every step gets a connection of its own: opening one takes 30 ms."""
        return duckdb.connect(":memory:")

    @property
    def call_options(self) -> CallOptions:
        """How model calls are made."""
        return CallOptions(self.offline, self.retry_failed, self.is_batched, self.on_progress, self.caps)

    @cached_property
    def caps(self) -> tuple[Cap, ...]:
        """What all steps together may spend."""
        return () if self.max_cost is None else (run_cap(self.max_cost),)

    def open_step(
        self,
        name: str,
        recipe: Recipe,
        partition: Partition,
        study: Study | None = None,
    ) -> Step:
        """A step on one partition; unless given, the study is read from its file now, so that a change needs no
        restart.

        Raises:
            StudyError: the study file is gone or wrong.
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

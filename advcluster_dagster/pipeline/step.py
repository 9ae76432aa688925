"""What a running step has at hand: the study, its partition, models, SQL, and notes for the UI.

Here: the object every asset function gets first. Not here: Dagster's own objects (build), the functions (stages).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import polars as pl
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.ledger.calls import CallStats, ModelCalls, OpenProvider
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.prices import Price, PriceTable, load_prices
from advcluster_dagster.ledger.spending import Cap, Spending
from advcluster_dagster.ledger.spending_limits import held_to_caps, open_spending
from advcluster_dagster.ledger.validated import InvalidReply, Validated, ask_validated
from advcluster_dagster.models.failures import failure_reasons
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
)
from advcluster_dagster.models.registry import in_batch_mode, open_chat_provider, open_embedding_provider
from advcluster_dagster.models.revisions import provider_revision
from advcluster_dagster.pipeline.recipe import Recipe
from advcluster_dagster.pipeline.stamps import upstream_partitions
from advcluster_dagster.science.prompting import Message
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
from advcluster_dagster.study.models import Model
from advcluster_dagster.study.partitions import Partition
from advcluster_dagster.study.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
R = TypeVar("R", ChatRequest, EmbeddingRequest)


class StepError(ValueError):
    """A step cannot go on for a reason that a person can mend; one line."""


@dataclass
class Step:
    """One step on one partition of one study.

    ``facts`` and ``figures`` collect what the UI shows beside the result, ``notes`` what is kept in the files'
    stamps too. ``on_progress`` is told (step, model calls done, in all). ``caps`` bound what models may cost;
    ``is_batched`` hands chat calls over in batches. Of a dry run, ``planned`` holds the ids of calls that other steps
    make first, ``to_be_made`` the partitions of tables that the run would make, again or for the first time: the step
    sees no file of theirs. ``failed_warnings`` are lines about the study's failed warnings, for pages.
    """

    home: Home
    study: Study
    recipe: Recipe
    partition: Partition
    ledger: Ledger
    connect: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]] = duckdb.connect
    offline: bool = False
    retry_failed: bool = False
    on_progress: Callable[[str, int, int], None] = lambda _step, _n_done, _n_all: None
    caps: Sequence[Cap] = ()
    is_batched: bool = False
    planned: set[str] = field(default_factory=set)
    to_be_made: Collection[tuple[str, Partition]] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, "Figure"] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    call_stats: list[CallStats] = field(default_factory=list)
    failed_warnings: Sequence[str] = ()
    _n_results: int = field(default=0, init=False)
    _failures: list[CallFailure | InvalidReply] = field(default_factory=list, init=False)

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
            raise StepError(f"{table} of {self.partition.label} is not there; materialise it first")
        return None

    def scan_partition(self, table: str) -> pl.LazyFrame:
        """As :meth:`read_partition`, lazily; a missing one has no rows."""
        path = self._file_of(table)
        return TABLES[table].empty().lazy() if path is None else scan_file(path)

    def questions(self) -> pl.DataFrame | None:
        """Questions of the domain, materialised or not; None where they must be fetched or imported first."""
        found: pl.DataFrame | None = self.read_partition("benchmark_questions")
        return questions_at_hand(self.home, self.study, self.domain) if found is None else found

    def n_questions(self) -> dict[str, int | None]:
        """Number of questions of each of the domain's benchmarks, as far as it is known; None where it is not."""
        found: pl.DataFrame | None = self.read_partition("benchmark_questions")
        if found is None:
            return expected_questions(self.home, self.study, self.domain)
        counts = dict(found.group_by("benchmark").len().iter_rows())
        return {name: counts.get(name, 0) for name in self.study.domains[self.domain]}

    def load(self, table: str) -> pl.DataFrame:
        """Everything of an upstream table that this partition maps to, as the IO manager would give it."""
        return concat_partitions(TABLES[table], [read_file(path) for path in self.paths_of(table)])

    def note_of(self, table: str, name: str) -> Any:
        """A note that an upstream step left in the stamp of its file; None without one."""
        path = self._file_of(table)
        stamp = None if path is None else read_stamp(path)
        return stamp.notes.get(name) if stamp else None

    def _file_of(self, table: str) -> UPath | None:
        """The file of the partition of a table that this step's partition lies in; None where there is none to read."""
        partition = self.partition.at(TABLES[table].level)
        path = self._path(table, partition)
        return path if (table, partition) not in self.to_be_made and path.exists() else None

    def read(self, table: str) -> pl.DataFrame:
        """A whole table of the study, all partitions."""
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

    def chat(
        self,
        model: Model,
        messages: Sequence[Sequence[Message]],
        trials: Sequence[int] | None = None,
        schema: Any = None,
    ) -> list[ChatRequest]:
        """Requests to a model: one per message list, with the model's sampling settings."""
        sampling = {**model.sampling, **_revision_of(model)}
        trials = trials if trials is not None else [0] * len(messages)
        return [
            ChatRequest(model.model, tuple(given), sampling, trial, schema)
            for given, trial in zip(messages, trials, strict=True)
        ]

    def ask(
        self, model: Model, requests: Sequence[ChatRequest], parse: Callable[[str], T], max_repeats: int
    ) -> list[Validated[T] | InvalidReply]:
        """Records of a judge's replies, in order; with ``retry_failed``, earlier named failures are asked anew."""
        with self.model_calls(model) as calls:
            if self.retry_failed:
                missing = {request.call_id for request in calls.missing(requests)}
                asked_before = [request for request in requests if request.call_id not in missing]
                earlier = ask_validated(calls, asked_before, parse, max_repeats)
                failed = [result for result in earlier if isinstance(result, InvalidReply)]
                self.ledger.retire(call_id for result in failed for call_id in result.call_ids)
            results = ask_validated(calls, requests, parse, max_repeats)
        self._count_failures(results)
        return results

    def complete(self, model: Model, requests: Sequence[ChatRequest]) -> list[ChatReply | CallFailure]:
        """Replies as they are, in order; with ``retry_failed``, calls that failed earlier are asked anew."""
        with self.model_calls(model) as calls:
            self._retire_failures(requests)
            outcomes = calls.chat(requests)
        self.facts |= calls.facts
        self._count_failures(outcomes)
        return outcomes

    def embed(self, model: Model, texts: Sequence[str]) -> list[EmbeddingReply | CallFailure]:
        """Vectors of texts, in order; with ``retry_failed``, calls that failed earlier are asked anew."""
        requests = self.embedding_requests(model, texts)
        with self.model_calls(model, is_embedder=True) as calls:
            self._retire_failures(requests)
            outcomes = calls.embed(requests)
        self._count_failures(outcomes)
        return outcomes

    def _retire_failures(self, requests: Sequence[ChatRequest] | Sequence[EmbeddingRequest]) -> None:
        if self.retry_failed:
            known = self.ledger.lookup(request.call_id for request in requests)
            self.ledger.retire(call_id for call_id, outcome in known.items() if isinstance(outcome, CallFailure))

    def _count_failures(self, results: Sequence[object]) -> None:
        """Note how many results are named failures and why, so that people see it and a retry finds them."""
        self._n_results += len(results)
        self._failures += [result for result in results if isinstance(result, CallFailure | InvalidReply)]
        self.notes["n_failures"] = len(self._failures)
        if self._failures:
            line = failure_reasons((failure.reason, failure.detail) for failure in self._failures)
            self.notes["call_failures"] = f"{len(self._failures)} of {self._n_results} calls failed: {line}"

    @property
    def failed_share(self) -> float:
        """Share of the results of model calls so far that are named failures; 0 without any."""
        return len(self._failures) / self._n_results if self._n_results else 0.0

    def embedding_requests(self, model: Model, texts: Sequence[str]) -> list[EmbeddingRequest]:
        """Requests to the embedder, one a text."""
        dimensions = self.study.judges.embedding_dimensions
        return [EmbeddingRequest(model.model, text, dimensions) for text in texts]

    def model_calls(self, model: Model, is_embedder: bool = False) -> ModelCalls:
        """The way to a model through the ledger, on behalf of this step."""
        calls = ModelCalls(
            self.ledger,
            model.provider,
            self._opener(model, is_embedder),
            (self.study.study, self.asset, self.partition.label),
            offline=self.offline,
            on_progress=lambda n_done, n_all: self.on_progress(self.recipe.name, n_done, n_all),
            price=self.price(model, is_embedder),
        )
        self.call_stats.append(calls.stats)
        return calls

    def _opener(self, model: Model, is_embedder: bool) -> OpenProvider:
        def spending() -> Spending | None:
            return self._spending(model, is_embedder)

        if is_embedder:
            return lambda: held_to_caps(open_embedding_provider(model.provider, self.study), spending)
        return lambda: held_to_caps(open_chat_provider(model.provider, self.transport, self.ledger), spending)

    def _spending(self, model: Model, is_embedder: bool) -> Spending | None:
        lock = self.home.spending_lock(self.study.study)
        return open_spending(model, is_embedder, self.transport, self.asset, self.ledger, self.prices, self.caps, lock)

    @cached_property
    def transport(self) -> Study:
        """The study with its providers as they are asked in this run."""
        return in_batch_mode(self.study) if self.is_batched else self.study

    @cached_property
    def prices(self) -> PriceTable:
        """Prices of models, read when first needed."""
        return load_prices(self.home.prices)

    def price(self, model: Model, is_embedder: bool = False) -> Price | None:
        """The price of a model of the study; None where it is not known."""
        return self.prices.price_of(model, self.transport, is_embedder)

    def to_ask(self, requests: Sequence[R]) -> list[R]:
        """Requests that would be asked: those that neither the ledger answers nor another step of the plan asks first,
        and with ``retry_failed`` those that the ledger answers with a failure.
        """
        known = self.ledger.lookup(request.call_id for request in requests)
        wanted = {
            request.call_id: request
            for request in requests
            if request.call_id not in known or (self.retry_failed and isinstance(known[request.call_id], CallFailure))
        }
        found = [request for call_id, request in wanted.items() if call_id not in self.planned]
        self.planned.update(wanted)
        return found

    @cached_property
    def domains_used(self) -> list[str]:
        """Domains whose traces were analysed for this family, in the order of the study."""
        return [
            domain
            for domain in self.study.domains
            if table_path(self.home.lake, self.study.study, "graded_trials", Partition(self.family, domain)).exists()
        ]


def _revision_of(model: Model) -> Mapping[str, str]:
    """Embedded models change with the project, so their revision is part of what is asked."""
    revision = provider_revision(model.provider)
    return {"revision": revision} if revision else {}

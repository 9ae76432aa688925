"""Model calls of a step: requests, replies through the call ledger, spending limits, failures.

This is the layer between steps and providers; messages and the use of replies belong to the stages.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from advcluster_dagster.ledger.budget import Budget, Cap
from advcluster_dagster.ledger.calls import CallStats, ModelCalls, OpenProvider
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.prices import Price, PriceTable, load_prices
from advcluster_dagster.ledger.spending_limits import open_budget
from advcluster_dagster.ledger.validated import InvalidReply, Validated, ask_validated
from advcluster_dagster.models.failures import failure_reasons
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, EmbeddingReply, EmbeddingRequest
from advcluster_dagster.pipeline.providers import (
    in_batch_mode,
    model_name_in_calls,
    open_chat_provider,
    open_embedding_provider,
    provider_revision,
    with_budget,
)
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.models import Model
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

T = TypeVar("T")
R = TypeVar("R", ChatRequest, EmbeddingRequest)


@dataclass(frozen=True)
class CallOptions:
    """How the model calls of a run are made.

    Attributes:
        offline: answer from the ledger only; a call that it lacks is an error.
        retry_failed: repeat calls whose last outcome is a failure.
        is_batched: submit chat calls as batches if the provider supports them.
        on_progress: called with (step, model calls done, model calls in total).
        caps: limits on the cost of the calls.
    """

    offline: bool = False
    retry_failed: bool = False
    is_batched: bool = False
    on_progress: Callable[[str, int, int], None] = lambda _step, _n_done, _n_all: None
    caps: Sequence[Cap] = ()


@dataclass
class ModelSession:
    """The model calls of one step on one partition.

    Attributes:
        home: has prices and the locks of spending limits.
        study: declares models and providers.
        step: name of the step, for progress.
        asset: the asset to which calls are attributed.
        partition: the step's partition.
        ledger: answers known calls and records new ones.
        options: how the calls are made.
        planned: ids of calls that earlier steps of a dry run make.
        stats: counts of calls, one entry per use of a model.
    """

    home: Home
    study: Study
    step: str
    asset: str
    partition: Partition
    ledger: Ledger
    options: CallOptions = field(default_factory=CallOptions)
    planned: set[str] = field(default_factory=set)
    stats: list[CallStats] = field(default_factory=list)
    provider_facts: dict[str, Any] = field(default_factory=dict)
    _has_asked: bool = field(default=False, init=False)
    _n_results: int = field(default=0, init=False)
    _failures: list[CallFailure | InvalidReply] = field(default_factory=list, init=False)

    def chat(
        self,
        model: Model,
        messages: Sequence[Sequence[Message]],
        trials: Sequence[int] | None = None,
        schema: Any = None,
    ) -> list[ChatRequest]:
        """Build requests to a model: one per message list, with the model's system prompt and sampling settings."""
        sampling = {**model.sampling, **_revision_of(model)}
        opening = (Message("system", model.system_prompt),) if model.system_prompt else ()
        trials = trials if trials is not None else [0] * len(messages)
        return [
            ChatRequest(model.model, (*opening, *request_messages), sampling, trial, schema)
            for request_messages, trial in zip(messages, trials, strict=True)
        ]

    def ask(
        self, model: Model, requests: Sequence[ChatRequest], parse: Callable[[str], T], max_repeats: int
    ) -> list[Validated[T] | InvalidReply]:
        """Return a judge's parsed replies, in order; ``retry_failed`` repeats earlier failures."""
        with self.model_calls(model) as calls:
            if self.options.retry_failed:
                missing = {request.call_id for request in calls.missing(requests)}
                asked_before = [request for request in requests if request.call_id not in missing]
                earlier = ask_validated(calls, asked_before, parse, max_repeats)
                failed = [result for result in earlier if isinstance(result, InvalidReply)]
                self.ledger.retire(call_id for result in failed for call_id in result.call_ids)
            results = ask_validated(calls, requests, parse, max_repeats)
        self.provider_facts |= calls.facts
        self._count_failures(results)
        return results

    def complete(self, model: Model, requests: Sequence[ChatRequest]) -> list[ChatReply | CallFailure]:
        """Return raw replies, in order; ``retry_failed`` repeats calls that failed earlier."""
        with self.model_calls(model) as calls:
            self._retire_failures(requests)
            outcomes = calls.chat(requests)
        self.provider_facts |= calls.facts
        self._count_failures(outcomes)
        return outcomes

    def embed(self, model: Model, texts: Sequence[str]) -> list[EmbeddingReply | CallFailure]:
        """Return the embeddings of texts, in order; ``retry_failed`` repeats calls that failed earlier."""
        requests = self.embedding_requests(model, texts)
        with self.model_calls(model, is_embedder=True) as calls:
            self._retire_failures(requests)
            outcomes = calls.embed(requests)
        self._count_failures(outcomes)
        return outcomes

    def _retire_failures(self, requests: Sequence[ChatRequest] | Sequence[EmbeddingRequest]) -> None:
        if self.options.retry_failed:
            known = self.ledger.lookup(request.call_id for request in requests)
            self.ledger.retire(call_id for call_id, outcome in known.items() if isinstance(outcome, CallFailure))

    def _count_failures(self, results: Sequence[object]) -> None:
        self._has_asked = True
        self._n_results += len(results)
        self._failures += [result for result in results if isinstance(result, CallFailure | InvalidReply)]

    @property
    def failure_notes(self) -> dict[str, Any]:
        """Numbers of results and of failed calls, and the reasons, for the stamp of the step's files; empty before the
        first call.
        """
        if not self._has_asked:
            return {}
        notes: dict[str, Any] = {"n_failures": len(self._failures), "n_results": self._n_results}
        if self._failures:
            line = failure_reasons((failure.reason, failure.detail) for failure in self._failures)
            notes["call_failures"] = f"{len(self._failures)} of {self._n_results} calls failed: {line}"
        return notes

    def embedding_requests(self, model: Model, texts: Sequence[str]) -> list[EmbeddingRequest]:
        """Build one request to the embedder per text."""
        dimensions = self.study.judges.embedding_dimensions
        name = model_name_in_calls(model)
        return [EmbeddingRequest(name, text, dimensions) for text in texts]

    def model_calls(self, model: Model, is_embedder: bool = False) -> ModelCalls:
        """Return the interface to a model through the ledger, for this step."""
        calls = ModelCalls(
            self.ledger,
            model.provider,
            self._opener(model, is_embedder),
            (self.study.study, self.asset, self.partition.label),
            offline=self.options.offline,
            on_progress=lambda n_done, n_all: self.options.on_progress(self.step, n_done, n_all),
            price=self.price(model, is_embedder),
        )
        self.stats.append(calls.stats)
        return calls

    def _opener(self, model: Model, is_embedder: bool) -> OpenProvider:
        def budget() -> Budget | None:
            return self._budget(model, is_embedder)

        if is_embedder:
            return lambda: with_budget(open_embedding_provider(model.provider, self.study), budget)
        return lambda: with_budget(open_chat_provider(model.provider, self.transport, self.ledger), budget)

    def _budget(self, model: Model, is_embedder: bool) -> Budget | None:
        lock = self.home.spending_lock(self.study.study)
        caps = self.options.caps
        return open_budget(model, is_embedder, self.transport, self.asset, self.ledger, self.prices, caps, lock)

    @cached_property
    def transport(self) -> Study:
        """The study with the provider settings of this run."""
        return in_batch_mode(self.study) if self.options.is_batched else self.study

    @cached_property
    def prices(self) -> PriceTable:
        """Prices of models, read on first use."""
        return load_prices(self.home.prices)

    def price(self, model: Model, is_embedder: bool = False) -> Price | None:
        """Return the price of a model of the study; None if unknown."""
        return self.prices.price_of(model, self.transport, is_embedder)

    def to_ask(self, requests: Sequence[R]) -> list[R]:
        """Return the requests that the ledger does not answer and that no earlier step of the plan makes.

        With ``retry_failed``, requests that the ledger answers with a failure are included.
        """
        known, is_retry = self.ledger.lookup(request.call_id for request in requests), self.options.retry_failed
        by_id = {
            request.call_id: request
            for request in requests
            if request.call_id not in known or (is_retry and isinstance(known[request.call_id], CallFailure))
        }
        unplanned = [request for call_id, request in by_id.items() if call_id not in self.planned]
        self.planned.update(by_id)
        return unplanned


def _revision_of(model: Model) -> Mapping[str, str]:
    """Return the revision as a sampling setting: embedded models change with the project."""
    revision = provider_revision(model.provider)
    return {"revision": revision} if revision else {}

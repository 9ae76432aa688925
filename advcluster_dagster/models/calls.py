"""Model calls of one step: asked once, kept before use, replayed ever after.

Here: what stands between an asset and a provider. Not here: the ledger's tables, transport, what replies mean.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar, cast

from advcluster_dagster.models.ledger import Ledger, Use
from advcluster_dagster.models.ledger_tables import ModelRequest, Outcome, cost_of
from advcluster_dagster.models.prices import Price
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatProvider,
    ChatReply,
    ChatRequest,
    EmbeddingProvider,
    EmbeddingReply,
    EmbeddingRequest,
    FatalModelError,
)

Q = TypeVar("Q", ChatRequest, EmbeddingRequest)
OpenProvider = Callable[[], ChatProvider] | Callable[[], EmbeddingProvider]
_MOST_PER_COMMIT = 64


@dataclass
class CallStats:
    """Counts of different calls, by where their outcome came from; token sums cover what providers reported.

    ``prompt_tokens`` and ``completion_tokens`` are those of asked and replayed calls together, the ``asked_`` ones
    those this step caused itself. ``cost`` and ``asked_cost`` likewise: sums of the known costs, dollars, None where
    none is known; ``n_cost_unknown`` counts the other calls, asked and replayed.
    """

    n_asked: int = 0
    n_replayed: int = 0
    n_failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    asked_prompt_tokens: int = 0
    asked_completion_tokens: int = 0
    cost: float | None = None
    asked_cost: float | None = None
    n_cost_unknown: int = 0

    def add_cost(self, cost: float | None, n_unknown: int, is_asked: bool) -> None:
        """Count known costs together, and calls without one."""
        self.n_cost_unknown += n_unknown
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost
            if is_asked:
                self.asked_cost = (self.asked_cost or 0.0) + cost


class ModelCalls:
    """Asks one provider through the ledger; a context manager that closes the provider.

    Args:
        ledger: where calls are looked up and kept.
        provider_name: the provider's name in the study, kept beside each call.
        open_provider: opens the provider; called only when the ledger lacks an answer.
        use: (study, asset, partition) on whose behalf the calls are made.
        offline: refuse to ask anything that the ledger does not hold.
        on_progress: told (calls done, calls in all) as outcomes arrive.
        price: of the model that is asked; None where it is not known.
    """

    def __init__(
        self,
        ledger: Ledger,
        provider_name: str,
        open_provider: OpenProvider,
        use: Use,
        offline: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
        price: Price | None = None,
    ) -> None:
        self.stats = CallStats()
        self.facts: dict[str, Any] = {}
        self._ledger = ledger
        self._provider_name = provider_name
        self._open_provider = open_provider
        self._provider: ChatProvider | EmbeddingProvider | None = None
        self._use = use
        self._offline = offline
        self._on_progress = on_progress or (lambda _n_done, _n_all: None)
        self._price = price

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the provider where one was opened; what it has to tell of itself is kept in ``facts``."""
        if self._provider is not None:
            self.facts = dict(getattr(self._provider, "facts", {}))
            self._provider.close()
            self._provider = None

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply | CallFailure]:
        """Outcomes in the order of the requests; equal requests are asked once.

        Raises:
            FatalModelError: no further call can succeed, or a call is missing offline; what was done is kept.
        """
        outcomes = self._answer(requests, lambda missing: cast(ChatProvider, self._opened()).complete(missing))
        return cast(list[ChatReply | CallFailure], outcomes)

    def embed(self, requests: Sequence[EmbeddingRequest]) -> list[EmbeddingReply | CallFailure]:
        """Vectors in the order of the requests; as :meth:`chat`.

        Raises:
            FatalModelError: as :meth:`chat`.
        """
        outcomes = self._answer(requests, lambda missing: cast(EmbeddingProvider, self._opened()).embed(missing))
        return cast(list[EmbeddingReply | CallFailure], outcomes)

    def missing(self, requests: Sequence[Q]) -> list[Q]:
        """The different requests that the ledger holds no answer to; asks nothing."""
        wanted = {request.call_id: request for request in requests}
        found = self._ledger.lookup(wanted)
        return [request for call_id, request in wanted.items() if call_id not in found]

    def _opened(self) -> ChatProvider | EmbeddingProvider:
        if self._provider is None:
            self._provider = self._open_provider()
        return self._provider

    def _answer(
        self, requests: Sequence[Q], ask: Callable[[Sequence[Q]], Iterator[tuple[int, Outcome]]]
    ) -> list[Outcome]:
        wanted = {request.call_id: request for request in requests}
        outcomes = self._ledger.lookup(wanted)
        missing = [request for call_id, request in wanted.items() if call_id not in outcomes]
        if missing and self._offline:
            raise FatalModelError(
                f"offline: call {missing[0].call_id} of model {missing[0].model} (provider {self._provider_name}) and"
                f" {len(missing) - 1} more are not in the ledger; run without the offline setting to ask for them"
            )
        self._ledger.note_uses(*self._use, outcomes)
        self.stats.n_replayed += len(outcomes)
        self._count(outcomes.values(), is_asked=False)
        self.stats.add_cost(*self._ledger.cost_of(outcomes), is_asked=False)
        if missing:
            outcomes.update(self._ask(missing, ask, n_known=len(outcomes)))
        return [outcomes[request.call_id] for request in requests]

    def _ask(
        self, missing: Sequence[Q], ask: Callable[[Sequence[Q]], Iterator[tuple[int, Outcome]]], n_known: int
    ) -> dict[str, Outcome]:
        """Ask and record; what arrived is kept and counted even if the provider gives up midway."""
        outcomes: dict[str, Outcome] = {}
        recorder = _Recorder(self._ledger, self._provider_name, self._price, self._use)
        try:
            for index, outcome in ask(missing):
                outcomes[missing[index].call_id] = _storable(outcome)
                recorder.put(missing[index], outcomes[missing[index].call_id])
                self._on_progress(n_known + len(outcomes), n_known + len(missing))
        finally:
            answered_before = recorder.finish()
            self.stats.n_asked += len(outcomes)
            self._count(outcomes.values(), is_asked=True)
            for outcome in outcomes.values():
                cost = cost_of(outcome, self._price)
                self.stats.add_cost(cost, cost is None, is_asked=True)
        if len(outcomes) != len(missing):
            raise RuntimeError(f"provider {self._provider_name} gave {len(outcomes)} outcomes for {len(missing)} calls")
        # Another process was faster: what stands in the ledger is what every reader gets.
        return outcomes | self._ledger.lookup(answered_before)

    def _count(self, outcomes: Iterable[Outcome], is_asked: bool) -> None:
        for outcome in outcomes:
            self.stats.n_failed += isinstance(outcome, CallFailure)
            n_prompt = getattr(outcome, "prompt_tokens", None) or 0
            n_completion = getattr(outcome, "completion_tokens", None) or 0
            self.stats.prompt_tokens += n_prompt
            self.stats.completion_tokens += n_completion
            self.stats.asked_prompt_tokens += n_prompt * is_asked
            self.stats.asked_completion_tokens += n_completion * is_asked


class _Recorder:
    """Writes outcomes to the ledger in a thread of its own: all that has arrived while the last commit ran go together.

    Nothing waits for a batch to fill up, so a killed process loses no reply that came more than a commit ago. Uses are
    noted with them, so that what a killed process spent counts as its study's.
    """

    def __init__(self, ledger: Ledger, provider_name: str, price: Price | None, use: Use) -> None:
        self._ledger = ledger
        self._provider_name = provider_name
        self._price = price
        self._use = use
        self._queue: SimpleQueue[tuple[ModelRequest, Outcome] | None] = SimpleQueue()
        self._answered_before: set[str] = set()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-recorder", daemon=True)
        self._thread.start()

    def put(self, request: ModelRequest, outcome: Outcome) -> None:
        """Hand over one outcome; raises what went wrong with earlier ones, so that no further call is paid for."""
        if self._error is not None:
            raise self._error
        self._queue.put((request, outcome))

    def finish(self) -> set[str]:
        """Wait until everything is on disk; the ids of calls that already had an answer."""
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._answered_before

    def _run(self) -> None:
        is_open = True
        try:
            while is_open:
                batch = [self._queue.get()]
                while len(batch) < _MOST_PER_COMMIT and batch[-1] is not None:
                    try:
                        batch.append(self._queue.get_nowait())
                    except Empty:
                        break
                is_open = batch[-1] is not None
                calls = [item for item in batch if item is not None]
                if calls:
                    self._answered_before |= self._ledger.record_many(calls, self._provider_name, self._price)
                    self._ledger.note_uses(*self._use, (request.call_id for request, _ in calls))
        except Exception as error:
            self._error = error


def _storable(outcome: Outcome) -> Outcome:
    """The outcome without lone surrogates: JSON can carry them, but no file, table or later request."""
    clean: dict[str, Any] = {
        name: value.encode("utf-8", "replace").decode("utf-8")
        for name, value in vars(outcome).items()
        if isinstance(value, str)
    }
    return replace(outcome, **clean)

"""Model calls of a step: answered from the ledger if possible, else sent once and recorded before use."""

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

from sqlalchemy.exc import SQLAlchemyError

from advcluster_dagster.ledger.call_claims import CallClaims
from advcluster_dagster.ledger.call_recorder import CallRecorder, storable
from advcluster_dagster.ledger.claimed_requests import ClaimedRequests
from advcluster_dagster.ledger.database import LedgerError, fault_of
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.ledger.tables import Outcome, Use, cost_of
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
#: Errors raised when the ledger cannot be written.
_FAULTS = (LedgerError, SQLAlchemyError, sqlite3.Error)
#: How long to wait for calls in flight after the ledger became unwritable.
_GRACE_S = 15.0


@dataclass
class CallStats:
    """Counts of distinct calls by source of their outcome; token sums cover what providers reported.

    ``prompt_tokens``, ``completion_tokens`` and ``cost`` cover asked and replayed calls, the ``asked_`` fields only the
    calls sent by this step. Costs are sums of the known costs, dollars, None if none is known; ``n_cost_unknown``
    counts the other calls, asked and replayed.
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
        """Add a sum of known costs and a number of calls without a known cost."""
        self.n_cost_unknown += n_unknown
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost
            if is_asked:
                self.asked_cost = (self.asked_cost or 0.0) + cost


class ModelCalls:
    """Calls one provider through the ledger; a context manager that closes the provider.

    Args:
        ledger: where calls are looked up and stored.
        provider_name: the provider's name in the study, stored with each call.
        open_provider: opens the provider; called only when the ledger lacks an answer.
        use: (study, asset, partition) on whose behalf the calls are made.
        offline: raise instead of sending calls that the ledger does not hold.
        on_progress: called with (calls done, calls in total) as outcomes arrive.
        price: of the model; None if unknown.
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
        """Close the provider if it was opened and store the facts that it reports in ``facts``."""
        if self._provider is not None:
            self.facts = dict(getattr(self._provider, "facts", {}))
            self._provider.close()
            self._provider = None

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply | CallFailure]:
        """Return outcomes in the order of the requests; equal requests are sent once.

        Raises:
            FatalModelError: no further call can succeed, or a call is missing offline; outcomes so far are stored.
        """
        outcomes = self._answer(requests, lambda missing: cast(ChatProvider, self._opened()).complete(missing))
        return cast(list[ChatReply | CallFailure], outcomes)

    def embed(self, requests: Sequence[EmbeddingRequest]) -> list[EmbeddingReply | CallFailure]:
        """Return vectors in the order of the requests; otherwise as :meth:`chat`.

        Raises:
            FatalModelError: as :meth:`chat`.
        """
        outcomes = self._answer(requests, lambda missing: cast(EmbeddingProvider, self._opened()).embed(missing))
        return cast(list[EmbeddingReply | CallFailure], outcomes)

    def missing(self, requests: Sequence[Q]) -> list[Q]:
        """Distinct requests without an answer in the ledger; sends nothing."""
        by_id = {request.call_id: request for request in requests}
        recorded = self._ledger.lookup(by_id)
        return [request for call_id, request in by_id.items() if call_id not in recorded]

    def _opened(self) -> ChatProvider | EmbeddingProvider:
        if self._provider is None:
            self._provider = self._open_provider()
        return self._provider

    def _answer(
        self, requests: Sequence[Q], ask: Callable[[Sequence[Q]], Iterator[tuple[int, Outcome]]]
    ) -> list[Outcome]:
        by_id = {request.call_id: request for request in requests}
        outcomes = self._replay(by_id)
        missing = [request for call_id, request in by_id.items() if call_id not in outcomes]
        if missing and self._offline:
            raise FatalModelError(
                f"offline: call {missing[0].call_id} of model {missing[0].model} (provider {self._provider_name}) and"
                f" {len(missing) - 1} more are not in the ledger; run without the offline setting to send them"
            )
        if missing:
            with _require_writable(self._ledger, (*_FAULTS, OSError)):
                outcomes |= self._import_unwritten(missing)
            remaining = [request for request in missing if request.call_id not in outcomes]
            with _require_writable(self._ledger), CallClaims(self._ledger) as claims:
                outcomes |= self._ask_all(remaining, ask, claims, (len(outcomes), len(by_id)))
        return [outcomes[request.call_id] for request in requests]

    def _replay(self, call_ids: Iterable[str]) -> dict[str, Outcome]:
        """Look up outcomes in the ledger; record and count their use."""
        outcomes = self._ledger.lookup(call_ids)
        self._ledger.note_uses(*self._use, outcomes)
        self.stats.n_replayed += len(outcomes)
        self._count(outcomes.values(), is_asked=False)
        self.stats.add_cost(*self._ledger.cost_of(outcomes), is_asked=False)
        return outcomes

    def _import_unwritten(self, missing: Sequence[Q]) -> dict[str, Outcome]:
        """Import replies that processes saved to files, and return the outcomes of these calls among them."""
        n_imported = self._ledger.import_unwritten()
        return self._replay(request.call_id for request in missing) if n_imported else {}

    def _ask_all(
        self,
        missing: Sequence[Q],
        ask: Callable[[Sequence[Q]], Iterator[tuple[int, Outcome]]],
        claims: CallClaims,
        progress: tuple[int, int],
    ) -> dict[str, Outcome]:
        """Send the calls that no other process has claimed; wait for the others, and send those left unanswered."""
        outcomes: dict[str, Outcome] = {}
        remaining = missing
        while remaining:
            claimed = ClaimedRequests(remaining, claims)
            outcomes |= self._ask(claimed, ask, (progress[0] + len(outcomes), progress[1]))
            if claimed.answered:
                outcomes |= self._replay(claimed.answered)
                self._on_progress(progress[0] + len(outcomes), progress[1])
            remaining = claimed.held
            claims.wait([request.call_id for request in remaining])
        return outcomes

    def _ask(
        self,
        claimed: ClaimedRequests[Q],
        ask: Callable[[Sequence[Q]], Iterator[tuple[int, Outcome]]],
        progress: tuple[int, int],
    ) -> dict[str, Outcome]:
        """Send requests and record outcomes; outcomes received before a provider failure are stored and counted.

        Args:
            claimed: the requests.
            ask: the provider's method that answers them.
            progress: calls done before, calls in total.

        Raises:
            FatalModelError: no further call can succeed, or the ledger cannot store outcomes.
        """

        def stop(error: FatalModelError) -> None:
            claimed.stop(error)
            self._stop_sending()

        outcomes: dict[str, Outcome] = {}
        recorder = CallRecorder(self._ledger, self._provider_name, self._price, self._use, on_fault=stop)

        def record(index: int, outcome: Outcome) -> bool:
            request = claimed.reached[index]
            outcomes[request.call_id] = storable(outcome)
            recorder.put(request, outcomes[request.call_id])
            self._on_progress(progress[0] + len(outcomes), progress[1])
            return recorder.failed_at is None or time.monotonic() - recorder.failed_at <= _GRACE_S

        try:
            # The first request opens the provider, so its stop method is looked up only when it is needed.
            _record_all(ask(claimed), record, lambda: getattr(self._provider, "stop", None))
        finally:
            self._count_asked(outcomes.values())
            answered_before = recorder.finish()
        n_reached = len(claimed)
        if len(outcomes) != n_reached:
            raise RuntimeError(f"provider {self._provider_name}: {len(outcomes)} outcomes for {n_reached} calls")
        # If another process was faster, its answer in the ledger is the one that every reader gets.
        return outcomes | self._ledger.lookup(answered_before)

    def _stop_sending(self) -> None:
        getattr(self._provider, "stop", lambda: None)()

    def _count_asked(self, outcomes: Collection[Outcome]) -> None:
        self.stats.n_asked += len(outcomes)
        self._count(outcomes, is_asked=True)
        for outcome in outcomes:
            cost = cost_of(outcome, self._price)
            self.stats.add_cost(cost, cost is None, is_asked=True)

    def _count(self, outcomes: Iterable[Outcome], is_asked: bool) -> None:
        for outcome in outcomes:
            self.stats.n_failed += isinstance(outcome, CallFailure)
            n_prompt = getattr(outcome, "prompt_tokens", None) or 0
            n_completion = getattr(outcome, "completion_tokens", None) or 0
            self.stats.prompt_tokens += n_prompt
            self.stats.completion_tokens += n_completion
            self.stats.asked_prompt_tokens += n_prompt * is_asked
            self.stats.asked_completion_tokens += n_completion * is_asked


def _record_all(
    answers: Iterator[tuple[int, Outcome]],
    record: Callable[[int, Outcome], bool],
    find_stop: Callable[[], Callable[[], None] | None],
) -> None:
    """Record outcomes as they arrive, until ``record`` returns False.

    Runs in a thread, so that no signal interrupts between the arrival of an outcome and its recording. A signal stops
    sending; calls in flight are recorded before it is raised. If the provider has no stop method, such as an engine in
    this process, it is raised at once, and closing the provider ends its work.
    """
    errors: list[BaseException] = []
    ended = threading.Event()

    def record_each() -> None:
        try:
            for index, outcome in answers:
                if not record(index, outcome):
                    break
        except BaseException as fault:
            errors.append(fault)
        finally:
            ended.set()

    threading.Thread(target=record_each, name="record-outcomes", daemon=True).start()
    interruptions: list[BaseException] = []
    while not ended.is_set():
        try:
            ended.wait()  # not Thread.join, which an exception leaves as if the thread had ended
        except BaseException as interruption:
            stop = find_stop()
            if interruptions or stop is None:
                raise
            interruptions.append(interruption)
            stop()
    for error in (*interruptions, *errors):
        raise error


@contextmanager
def _require_writable(ledger: Ledger, faults: tuple[type[Exception], ...] = _FAULTS) -> Iterator[None]:
    """End the step if the ledger cannot be written: no call is sent whose claim or reply could not be stored.

    Raises:
        FatalModelError: instead of one of ``faults``.
    """
    try:
        yield
    except faults as error:
        raise FatalModelError(
            f"ledger {ledger} cannot be written: {fault_of(error)}; no calls are sent while replies cannot be stored:"
            " free disk space or make the ledger writable, then run again"
        ) from error

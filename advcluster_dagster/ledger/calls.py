"""The model calls of one step: answered by the ledger where possible, else sent once and recorded before use."""

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
#: What a database raises that cannot be written.
_FAULTS = (LedgerError, SQLAlchemyError, sqlite3.Error)
#: How long outcomes are still waited for once the ledger takes no more.
_GRACE_S = 15.0


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
        on_progress: called with (calls done, calls in total) as outcomes arrive.
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
                f" {len(missing) - 1} more are not in the ledger; run without the offline setting to ask for them"
            )
        if missing:
            with _written_first(self._ledger, (*_FAULTS, OSError)):
                outcomes |= self._take_in(missing)
            left = [request for request in missing if request.call_id not in outcomes]
            with _written_first(self._ledger), CallClaims(self._ledger) as claims:
                outcomes |= self._ask_all(left, ask, claims, (len(outcomes), len(by_id)))
        return [outcomes[request.call_id] for request in requests]

    def _replay(self, call_ids: Iterable[str]) -> dict[str, Outcome]:
        """What the ledger answers, noted and counted as used."""
        outcomes = self._ledger.lookup(call_ids)
        self._ledger.note_uses(*self._use, outcomes)
        self.stats.n_replayed += len(outcomes)
        self._count(outcomes.values(), is_asked=False)
        self.stats.add_cost(*self._ledger.cost_of(outcomes), is_asked=False)
        return outcomes

    def _take_in(self, missing: Sequence[Q]) -> dict[str, Outcome]:
        """Replies that another process wrote beside the ledger and that belong to these calls."""
        n_taken_in = self._ledger.take_in_unkept()
        return self._replay(request.call_id for request in missing) if n_taken_in else {}

    def _ask_all(
        self,
        missing: Sequence[Q],
        ask: Callable[[Sequence[Q]], Iterator[tuple[int, Outcome]]],
        claims: CallClaims,
        progress: tuple[int, int],
    ) -> dict[str, Outcome]:
        """Send the calls that no other process has claimed; wait for the others' outcomes, and send what they leave."""
        outcomes: dict[str, Outcome] = {}
        left = missing
        while left:
            claimed = ClaimedRequests(left, claims)
            outcomes |= self._ask(claimed, ask, (progress[0] + len(outcomes), progress[1]))
            if claimed.answered:
                outcomes |= self._replay(claimed.answered)
                self._on_progress(progress[0] + len(outcomes), progress[1])
            left = claimed.held
            claims.wait([request.call_id for request in left])
        return outcomes

    def _ask(
        self,
        claimed: ClaimedRequests[Q],
        ask: Callable[[Sequence[Q]], Iterator[tuple[int, Outcome]]],
        progress: tuple[int, int],
    ) -> dict[str, Outcome]:
        """Ask and record; what arrived is kept and counted even if the provider gives up midway.

        Args:
            claimed: the requests.
            ask: the provider's way to answer them.
            progress: calls done before, calls in all.

        Raises:
            FatalModelError: no further call can succeed, or the ledger cannot keep outcomes.
        """

        def stop(error: FatalModelError) -> None:
            claimed.stop(error)
            self._stop_sending()

        outcomes: dict[str, Outcome] = {}
        recorder = CallRecorder(self._ledger, self._provider_name, self._price, self._use, on_fault=stop)

        def keep(index: int, outcome: Outcome) -> bool:
            request = claimed.reached[index]
            outcomes[request.call_id] = storable(outcome)
            recorder.put(request, outcomes[request.call_id])
            self._on_progress(progress[0] + len(outcomes), progress[1])
            return recorder.failed_at is None or time.monotonic() - recorder.failed_at <= _GRACE_S

        try:
            # The provider is opened by the first request, so it is asked for its way to stop only when it must.
            _keep_all(ask(claimed), keep, lambda: getattr(self._provider, "stop", None))
        finally:
            self._count_asked(outcomes.values())
            answered_before = recorder.finish()
        n_reached = len(claimed)
        if len(outcomes) != n_reached:
            raise RuntimeError(f"provider {self._provider_name} gave {len(outcomes)} outcomes for {n_reached} calls")
        # Another process was faster: what stands in the ledger is what every reader gets.
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


def _keep_all(
    answers: Iterator[tuple[int, Outcome]],
    keep: Callable[[int, Outcome], bool],
    way_to_stop: Callable[[], Callable[[], None] | None],
) -> None:
    """Keep outcomes as they come, until ``keep`` says that no more can be kept; in a thread, so that no signal comes
    between an outcome and its keeping.

    A signal that interrupts the waiting stops the sending; what was in flight is kept, then it is raised. With a
    provider that cannot stop, such as an engine in this process, it is raised at once, and closing the provider ends
    its work.
    """
    errors: list[BaseException] = []
    ended = threading.Event()

    def keep_each() -> None:
        try:
            for index, outcome in answers:
                if not keep(index, outcome):
                    break
        except BaseException as fault:
            errors.append(fault)
        finally:
            ended.set()

    threading.Thread(target=keep_each, name="keep-outcomes", daemon=True).start()
    interruptions: list[BaseException] = []
    while not ended.is_set():
        try:
            ended.wait()  # not the thread's join, which an exception leaves as if the thread had ended
        except BaseException as interruption:
            stop = way_to_stop()
            if interruptions or stop is None:
                raise
            interruptions.append(interruption)
            stop()
    for error in (*interruptions, *errors):
        raise error


@contextmanager
def _written_first(ledger: Ledger, faults: tuple[type[Exception], ...] = _FAULTS) -> Iterator[None]:
    """A ledger that cannot be written ends the step: no call is sent whose claim or reply could not be kept.

    Raises:
        FatalModelError: instead of one of ``faults``.
    """
    try:
        yield
    except faults as error:
        raise FatalModelError(
            f"ledger {ledger} cannot be written: {fault_of(error)}; no call is sent whose reply could not be kept: make"
            " room, or let it be written, and run again"
        ) from error

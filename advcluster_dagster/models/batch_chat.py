"""Chat calls in batches, at a lower price: submit, poll, collect."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Generic, TypeVar

from advcluster_dagster.ledger.batches import Batch, BatchStore
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.models.connection import Connection
from advcluster_dagster.models.faults import StatusFault
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError
from advcluster_dagster.models.remote_chat import RemoteChat, WireForm

C = TypeVar("C", bound=Connection)
R = TypeVar("R")
RowOutcome = ChatReply | CallFailure | StatusFault
Outcomes = Iterator[tuple[int, ChatReply | CallFailure]]

#: Maximum number of batches per call before its fault is final.
_MOST_ROUNDS = 4
#: Maximum number of consecutive failed polls of a batch, each with all its retries.
_MOST_FAILED_POLLS = 10


class BatchLostError(Exception):
    """The vendor does not know a batch."""


class BatchWire(ABC, Generic[C]):
    """A vendor's batch API; each method makes one call, so that it can be retried."""

    #: Maximum number of rows, and of characters in total, per batch.
    most_rows: int
    most_characters: int

    def __init__(self, chat: RemoteChat[C]) -> None:
        self.chat = chat
        self.connection = chat.connection

    @abstractmethod
    async def submit(self, model: str, rows: Mapping[str, ChatRequest], token: str) -> str:
        """Submit requests by call id, labelled with our token; return the vendor's id of the batch."""

    @abstractmethod
    async def find(self, token: str) -> str | None:
        """The vendor's id of the batch with this token; None if there is none or batches cannot be listed."""

    @abstractmethod
    async def collect(self, batch: Batch) -> dict[str, RowOutcome] | None:
        """Outcomes by call id, omitting calls without one; None while the batch is running.

        Raises:
            BatchLostError: the vendor does not know the batch.
        """


@dataclass
class _Waiting:
    """A running batch and the ids of its requested calls."""

    batch: Batch
    requested_ids: set[str]
    form: WireForm = field(default_factory=WireForm)
    n_failed_polls: int = 0
    is_lost: bool = False


@dataclass
class _Sorted:
    """Sorted results of a batch: final outcomes, requests to send again, and a fault that stops the step."""

    ended: dict[str, ChatReply | CallFailure] = field(default_factory=dict)
    again: list[ChatRequest] = field(default_factory=list)
    fatal: FatalModelError | None = None


class BatchChat(Generic[C]):
    """A :class:`~advcluster_dagster.models.protocol.ChatProvider` that submits calls in batches.

    Every batch is stored in the ledger's database before it is sent. Batches that were sent but not collected, also by
    a killed process, are polled instead of sent again. Failed rows are sent again in a new batch, at most four batches
    per call; then the fault becomes the call's named failure.

    Args:
        wire: the vendor's batch API.
        ledger: stores the batches.
    """

    def __init__(self, wire: BatchWire[C], ledger: Ledger) -> None:
        self.connection = wire.connection
        self._wire = wire
        settings = wire.connection.settings
        self._poll_s = settings.batch_poll_s
        self._store = BatchStore(ledger, f"{settings.kind} {wire.connection.address}")
        self._is_over = threading.Event()

    def complete(self, requests: Sequence[ChatRequest]) -> Outcomes:
        """Yield (index, outcome) as batches end; see the protocol."""
        try:
            yield from self._complete(requests)
        finally:
            self.connection.budget.settle_open()

    def _complete(self, requests: Sequence[ChatRequest]) -> Outcomes:
        by_id = {request.call_id: request for request in requests}
        indices = {request.call_id: index for index, request in enumerate(requests)}
        waiting = [_Waiting(batch, call_ids) for batch, call_ids in self._store.batches_of(list(by_id))]
        waiting = [entry for entry in waiting if self._is_known(entry, by_id)]
        sent_ids = set[str]().union(*(entry.requested_ids for entry in waiting))
        self.connection.budget.reserve_sent(by_id[call_id] for call_id in sent_ids)
        unsent = deque(request for call_id, request in by_id.items() if call_id not in sent_ids)
        waiting += self._submit(self._affordable(unsent), round_=0)
        while waiting:
            running = []
            for entry in waiting:
                results = self._poll(entry)
                if results is None:
                    running.append(entry)
                    continue
                outcomes = self._sort(entry, results, by_id)
                self.connection.budget.settle_calls(outcomes.ended)
                if outcomes.fatal is None:
                    running += self._submit(outcomes.again, entry.batch.round + 1)
                    self._store.end(entry.batch, "lost" if entry.is_lost else "collected")
                yield from ((indices[call_id], outcome) for call_id, outcome in outcomes.ended.items())
                if outcomes.fatal is not None:
                    self._store.end(entry.batch, "failed")
                    self.connection.budget.waive(entry.requested_ids)
                    raise outcomes.fatal
            waiting = running + self._submit(self._affordable(unsent), round_=0)
            if waiting and self._is_over.wait(self._poll_s):
                return

    def stop(self) -> None:
        """Stop submitting and polling; running batches stay with the vendor."""
        self._is_over.set()

    def close(self) -> None:
        """Close the connections; as :meth:`stop`."""
        self.stop()
        self._wire.chat.close()

    def _affordable(self, unsent: deque[ChatRequest]) -> list[ChatRequest]:
        """Pop the requests that fit under the caps; the rest waits for the actual cost of those in flight.

        Raises:
            FatalModelError: nothing is in flight and the next request does not fit.
        """
        chosen: list[ChatRequest] = []
        while unsent and self.connection.budget.reserve_call(unsent[0]):
            chosen.append(unsent.popleft())
        return chosen

    def _is_known(self, entry: _Waiting, requests: Mapping[str, ChatRequest]) -> bool:
        """Whether a batch of an earlier process reached the vendor; looks up its id if unknown."""
        if entry.batch.batch_id is not None:
            return True
        batch_id = self._do(entry.batch.model, lambda: self._wire.find(entry.batch.token))
        if isinstance(batch_id, str):
            entry.batch = self._store.submitted(entry.batch, batch_id)
            return True
        if isinstance(batch_id, CallFailure):
            raise FatalModelError(
                f"provider {self.connection.name}: cannot determine the state of a batch of {len(requests)} calls"
                f" ({batch_id.detail}); run again later"
            )
        self._store.end(entry.batch, "lost")
        return False

    def _submit(self, requests: Sequence[ChatRequest], round_: int) -> list[_Waiting]:
        return [] if self._is_over.is_set() else [self._submit_one(part, round_) for part in self._parts(requests)]

    def _submit_one(self, requests: Sequence[ChatRequest], round_: int) -> _Waiting:
        rows = {request.call_id: request for request in requests}
        model = requests[0].model
        batch = self._store.open(model, list(rows), round_)
        n_tries = 0

        async def submit() -> str:
            nonlocal n_tries
            n_tries += 1
            if n_tries > 1 and (batch_id := await self._wire.find(batch.token)):
                return batch_id  # it was accepted, only the response was lost
            return await self._wire.submit(model, rows, batch.token)

        result = self._do(model, submit)
        if isinstance(result, CallFailure):
            raise FatalModelError(
                f"provider {self.connection.name}: a batch of {len(rows)} calls of model {model} was not accepted"
                f" ({result.reason}: {result.detail})"
            )
        self.connection.budget.note_sent(rows)
        return _Waiting(self._store.submitted(batch, result), set(rows), self._wire.chat.form)

    def _parts(self, requests: Sequence[ChatRequest]) -> Iterator[list[ChatRequest]]:
        """Yield requests in batches, each of one model and within the vendor's limits."""
        for _, group in groupby(sorted(requests, key=lambda request: request.model), lambda request: request.model):
            part: list[ChatRequest] = []
            n_characters = 0
            for request in group:
                length = sum(len(message.content) for message in request.messages) + len(str(request.reply_schema))
                if part and (len(part) >= self._wire.most_rows or n_characters + length > self._wire.most_characters):
                    yield part
                    part, n_characters = [], 0
                part.append(request)
                n_characters += length
            yield part

    def _poll(self, entry: _Waiting) -> dict[str, RowOutcome] | None:
        """Results of a batch; None while it is running, empty if it is lost."""
        try:
            results = self._do(entry.batch.model, lambda: self._wire.collect(entry.batch))
        except BatchLostError:
            entry.is_lost = True
            return {}
        if not isinstance(results, CallFailure):
            entry.n_failed_polls = 0
            return results
        entry.n_failed_polls += 1
        if entry.n_failed_polls >= _MOST_FAILED_POLLS:
            raise FatalModelError(
                f"provider {self.connection.name}: batch {entry.batch.batch_id} cannot be polled ({results.detail});"
                " it stays open, run again to resume it"
            )
        return None

    def _sort(self, entry: _Waiting, results: Mapping[str, RowOutcome], requests: Mapping[str, ChatRequest]) -> _Sorted:
        outcomes = _Sorted()
        for call_id in entry.batch.call_ids:
            if call_id not in entry.requested_ids:
                continue
            outcome = results.get(call_id, StatusFault(500, "the batch ended without this row"))
            if isinstance(outcome, ChatReply):
                outcomes.ended[call_id] = self._wire.chat.without_key(outcome)
            elif isinstance(outcome, CallFailure):
                outcomes.ended[call_id] = outcome
            else:
                self._sort_fault(entry, outcome, requests[call_id], outcomes)
        return outcomes

    def _sort_fault(self, entry: _Waiting, fault: StatusFault, request: ChatRequest, outcomes: _Sorted) -> None:
        """Sort a row's fault: retry, possibly in another request form, or final."""
        is_learned = self._wire.chat.learn(fault, request, entry.form)
        may_retry = entry.batch.round + 1 < _MOST_ROUNDS
        if is_learned and may_retry:
            outcomes.again.append(request)
            return
        try:
            judged = self.connection.judge_status(fault, request.model)
        except FatalModelError as error:
            outcomes.fatal = error
            return
        if judged.is_transient and may_retry:
            outcomes.again.append(request)
        else:
            outcomes.ended[request.call_id] = CallFailure(judged.reason, judged.detail)

    def _do(self, model: str, call: Callable[[], Awaitable[R]]) -> R | CallFailure:
        """Make one call with the connection's retries."""
        [outcome] = self.connection.run([call], lambda job: self.connection.attempt(model, job))
        return outcome

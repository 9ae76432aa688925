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

#: Batches a call goes with at most before its fault is final.
_MOST_ROUNDS = 4
#: Looks at a batch that may fail in a row, each with all its retries.
_MOST_FAILED_LOOKS = 10


class BatchLostError(Exception):
    """The vendor knows nothing of a batch."""


class BatchWire(ABC, Generic[C]):
    """A vendor's batches; one call each of the SDK, so that all can be tried again."""

    #: How many rows, and characters in all, go into one batch.
    most_rows: int
    most_characters: int

    def __init__(self, chat: RemoteChat[C]) -> None:
        self.chat = chat
        self.connection = chat.connection

    @abstractmethod
    async def submit(self, model: str, rows: Mapping[str, ChatRequest], token: str) -> str:
        """Hand over requests by their call ids; the vendor's id of the batch, which bears our token."""

    @abstractmethod
    async def find(self, token: str) -> str | None:
        """The id of the batch that bears a token; None where there is none or the vendor lists none."""

    @abstractmethod
    async def collect(self, batch: Batch) -> dict[str, RowOutcome] | None:
        """Outcomes by call id, a call without one left out; None while the batch is under way.

        Raises:
            BatchLostError: the vendor knows nothing of it.
        """


@dataclass
class _Waiting:
    """A batch under way and those of its calls that are wanted."""

    batch: Batch
    wanted_ids: set[str]
    form: WireForm = field(default_factory=WireForm)
    n_failed_looks: int = 0
    is_lost: bool = False


@dataclass
class _Sorted:
    """Result of a batch: final outcomes, calls to ask again, and a fault that stops the step."""

    ended: dict[str, ChatReply | CallFailure] = field(default_factory=dict)
    again: list[ChatRequest] = field(default_factory=list)
    fatal: FatalModelError | None = None


class BatchChat(Generic[C]):
    """A :class:`~advcluster_dagster.models.protocol.ChatProvider` that hands calls over in batches.

    Every batch is in the ledger's database before it is sent. One that was sent and not collected, by a process that
    was killed too, is waited for instead of sent again. Rows that failed go again alone, in a batch of their own, four
    batches a call at most; then the fault is the call's named failure.

    Args:
        wire: the vendor's batches.
        ledger: keeps the batches.
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
        waiting = [_Waiting(batch, wanted_ids) for batch, wanted_ids in self._store.batches_of(list(by_id))]
        waiting = [one for one in waiting if self._is_known(one, by_id)]
        taken = set[str]().union(*(one.wanted_ids for one in waiting))
        self.connection.budget.reserve_sent(by_id[call_id] for call_id in taken)
        left = deque(request for call_id, request in by_id.items() if call_id not in taken)
        waiting += self._submit(self._affordable(left), round_=0)
        while waiting:
            still = []
            for one in waiting:
                results = self._look(one)
                if results is None:
                    still.append(one)
                    continue
                outcomes = self._sort(one, results, by_id)
                self.connection.budget.settle_calls(outcomes.ended)
                if outcomes.fatal is None:
                    still += self._submit(outcomes.again, one.batch.round + 1)
                    self._store.end(one.batch, "lost" if one.is_lost else "collected")
                yield from ((indices[call_id], outcome) for call_id, outcome in outcomes.ended.items())
                if outcomes.fatal is not None:
                    self._store.end(one.batch, "failed")
                    self.connection.budget.waive(one.wanted_ids)
                    raise outcomes.fatal
            waiting = still + self._submit(self._affordable(left), round_=0)
            if waiting and self._is_over.wait(self._poll_s):
                return

    def stop(self) -> None:
        """Hand over nothing more and wait for nothing; batches under way stay with the vendor."""
        self._is_over.set()

    def close(self) -> None:
        """Close the connections; as :meth:`stop`."""
        self.stop()
        self._wire.chat.close()

    def _affordable(self, left: deque[ChatRequest]) -> list[ChatRequest]:
        """Requests off the front that the caps leave room for; the rest waits for what those in flight really cost.

        Raises:
            FatalModelError: nothing is in flight and the next one does not fit.
        """
        chosen: list[ChatRequest] = []
        while left and self.connection.budget.reserve_call(left[0]):
            chosen.append(left.popleft())
        return chosen

    def _is_known(self, one: _Waiting, requests: Mapping[str, ChatRequest]) -> bool:
        """Whether a batch of an earlier process reached the vendor; its id is looked up where it is not known."""
        if one.batch.batch_id is not None:
            return True
        outcomes = self._do(one.batch.model, lambda: self._wire.find(one.batch.token))
        if isinstance(outcomes, str):
            one.batch = self._store.submitted(one.batch, outcomes)
            return True
        if isinstance(outcomes, CallFailure):
            raise FatalModelError(
                f"provider {self.connection.name}: cannot find out the state of a batch of {len(requests)} calls"
                f" ({outcomes.detail}); run again later"
            )
        self._store.end(one.batch, "lost")
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
            if n_tries > 1 and (outcomes := await self._wire.find(batch.token)):
                return outcomes  # it got through, only the answer was lost
            return await self._wire.submit(model, rows, batch.token)

        batch_id = self._do(model, submit)
        if isinstance(batch_id, CallFailure):
            raise FatalModelError(
                f"provider {self.connection.name}: a batch of {len(rows)} calls of model {model} was not taken"
                f" ({batch_id.reason}: {batch_id.detail})"
            )
        self.connection.budget.note_sent(rows)
        return _Waiting(self._store.submitted(batch, batch_id), set(rows), self._wire.chat.form)

    def _parts(self, requests: Sequence[ChatRequest]) -> Iterator[list[ChatRequest]]:
        """Requests in batches, each of one model and within the vendor's limits."""
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

    def _look(self, one: _Waiting) -> dict[str, RowOutcome] | None:
        """Results of a batch, None while it is under way; a lost one has none for any of its calls."""
        try:
            results = self._do(one.batch.model, lambda: self._wire.collect(one.batch))
        except BatchLostError:
            one.is_lost = True
            return {}
        if not isinstance(results, CallFailure):
            one.n_failed_looks = 0
            return results
        one.n_failed_looks += 1
        if one.n_failed_looks >= _MOST_FAILED_LOOKS:
            raise FatalModelError(
                f"provider {self.connection.name}: batch {one.batch.batch_id} cannot be looked at ({results.detail});"
                " it is kept, run again to pick it up"
            )
        return None

    def _sort(self, one: _Waiting, results: Mapping[str, RowOutcome], requests: Mapping[str, ChatRequest]) -> _Sorted:
        outcomes = _Sorted()
        for call_id in one.batch.call_ids:
            if call_id not in one.wanted_ids:
                continue
            outcome = results.get(call_id, StatusFault(500, "the batch ended without this row"))
            if isinstance(outcome, ChatReply):
                outcomes.ended[call_id] = self._wire.chat.without_key(outcome)
            elif isinstance(outcome, CallFailure):
                outcomes.ended[call_id] = outcome
            else:
                self._sort_fault(one, outcome, requests[call_id], outcomes)
        return outcomes

    def _sort_fault(self, one: _Waiting, fault: StatusFault, request: ChatRequest, outcomes: _Sorted) -> None:
        """A row's fault: asked again, in another form where the server named what it does not take, or final."""
        is_learned = self._wire.chat.learn(fault, request, one.form)
        may_go_again = one.batch.round + 1 < _MOST_ROUNDS
        if is_learned and may_go_again:
            outcomes.again.append(request)
            return
        try:
            judged = self.connection.judge_status(fault, request.model)
        except FatalModelError as error:
            outcomes.fatal = error
            return
        if judged.is_transient and may_go_again:
            outcomes.again.append(request)
        else:
            outcomes.ended[request.call_id] = CallFailure(judged.reason, judged.detail)

    def _do(self, model: str, call: Callable[[], Awaitable[R]]) -> R | CallFailure:
        """One call with the connection's retries."""
        [outcome] = self.connection.run([call], lambda job: self.connection.attempt(model, job))
        return outcome

"""Budget of a model's calls in one step: reserve the expected cost of a call before it is sent, settle it afterwards.

A call in flight is reserved at its expected cost. While other calls hold reservations, one that does not fit waits,
for they may turn out cheaper; when none does, the cap is reached and the step ends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from advcluster_dagster.ledger.prices import Price, dollars
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError, approximate_tokens

#: Completion tokens assumed of a call while no reply of the model is known and nothing limits them.
_ASSUMED_COMPLETION = 4000
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
#: Failures that a vendor does not charge for: it answered with an error.
_UNCHARGED = {"bad_request", "conflict", "rate_limited", "server_error", "too_early"}
#: Sums of floating-point cents may pass a cap by their rounding.
_TOLERANCE = 1e-9


@dataclass
class Cap:
    """A bound on a sum of dollars; ``name`` and ``advice`` are for the line that ends a step.

    ``spent`` is what ended calls cost, ``reserved`` what the ``n_in_flight`` ones are expected to cost.
    """

    name: str
    limit: float
    advice: str
    spent: float = 0.0
    reserved: float = 0.0
    n_in_flight: int = 0

    def has_room(self, amount: float) -> bool:
        """Whether another call of this cost fits beside all others."""
        return self.spent + self.reserved + amount <= self.limit * (1 + _TOLERANCE)


@dataclass
class Reservation:
    """Dollars set aside for one call; ``cost`` is nothing until it is sent, then ``expected`` until the reply tells."""

    expected: float
    cost: float = 0.0

    def sent(self) -> None:
        """Note that the call goes out."""
        self.cost = self.expected


@dataclass
class Budget:
    """What the calls of one model in one step may cost. Without caps every call goes through and costs nothing here.

    :meth:`spend` is for calls of one event loop, the methods that take call ids for calls that go together in a batch.

    Args:
        model: for messages.
        price: of the model as it is asked.
        caps: all of them hold.
        completion_tokens: mean length of the model's replies in this stage so far; None where none is known.
        release: gives back what the caps were taken under.
    """

    model: str = ""
    price: Price = field(default_factory=lambda: Price(0.0, 0.0))
    caps: Sequence[Cap] = ()
    completion_tokens: float | None = None
    release: Callable[[], None] = lambda: None
    _n_replies: int = field(default=0, init=False)
    _n_tokens: int = field(default=0, init=False)
    _open: dict[str, Reservation] = field(default_factory=dict, init=False)
    _settled: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def expected_chat(self, request: ChatRequest) -> float:
        """Dollars that a call will cost: four characters a prompt token, and the longest reply that the request allows,
        else the mean so far, else an assumption.
        """
        n_characters = sum(len(message.content) for message in request.messages) + len(str(request.reply_schema or ""))
        given = [request.sampling[name] for name in _LIMITS if isinstance(request.sampling.get(name), int)]
        n_completion = min(given) if given else self._completion()
        return self.price.cost(approximate_tokens(n_characters), n_completion) or 0.0

    def expected_prompt(self, n_tokens: int) -> float:
        """Dollars that a call will cost that has no completion."""
        return self.price.cost(n_tokens, None) or 0.0

    def reserve(self, amount: float) -> Reservation | None:
        """Reserve the expected cost of a call; None where it has to wait for those in flight.

        Raises:
            FatalModelError: a cap leaves no room for it, and nothing is in flight that could make some.
        """
        full = next((cap for cap in self.caps if not cap.has_room(amount)), None)
        if full is None:
            return self._commit(amount)
        if full.n_in_flight:
            return None
        raise FatalModelError(
            f"{full.name} of ${full.limit:,.2f} stops the step: {_spent(full)}, the next call of model {self.model}"
            f" is expected to cost {dollars(amount)}; what is done is kept, {full.advice}"
        )

    def settle(self, reservation: Reservation) -> None:
        """Replace a reservation by what the call cost."""
        for cap in self.caps:
            cap.spent += reservation.cost
            cap.n_in_flight -= 1
            # Differences of many sums leave dust, and with nothing in flight nothing is reserved.
            cap.reserved = max(0.0, cap.reserved - reservation.expected) if cap.n_in_flight else 0.0
        self._settled.set()

    def charge(self, reservation: Reservation, outcome: ChatReply | CallFailure) -> None:
        """Enter an outcome's cost; where nobody reports it, it stays at what was expected."""
        if isinstance(outcome, CallFailure):
            reservation.cost = 0.0 if outcome.reason in _UNCHARGED else reservation.expected
            return
        self.charge_tokens(reservation, outcome.prompt_tokens, outcome.completion_tokens)
        if outcome.completion_tokens is not None:
            self._n_replies += 1
            self._n_tokens += outcome.completion_tokens

    def charge_tokens(
        self, reservation: Reservation, prompt_tokens: int | None, completion_tokens: int | None = None
    ) -> None:
        """As :meth:`charge`, for the tokens of an answered call."""
        cost = self.price.cost(prompt_tokens, completion_tokens)
        reservation.cost = reservation.expected if cost is None else cost

    @asynccontextmanager
    async def spend(self, expected: Callable[[], float], stop: asyncio.Event) -> AsyncIterator[Reservation]:
        """Wait for room for one call, and settle it at the end.

        Args:
            expected: gives the call's expected cost, dollars.
            stop: set when the step ends early; is set here when a cap is reached.

        Raises:
            FatalModelError: a cap is reached; or from the call, which then cost nothing.
        """
        try:
            while (reservation := self.reserve(expected())) is None:
                self._settled.clear()
                await self._settled.wait()
                if stop.is_set():
                    raise asyncio.CancelledError
        except FatalModelError:
            stop.set()
            self._settled.set()  # the others that wait end too
            raise
        try:
            yield reservation
        except FatalModelError:
            reservation.cost = 0.0
            raise
        finally:
            self.settle(reservation)

    def reserve_call(self, request: ChatRequest) -> bool:
        """Reserve for a call of a batch; False where it has to wait for those in flight.

        Raises:
            FatalModelError: see :meth:`reserve`.
        """
        reservation = self.reserve(self.expected_chat(request))
        if reservation is not None:
            self._open[request.call_id] = reservation
        return reservation is not None

    def reserve_sent(self, requests: Iterable[ChatRequest]) -> None:
        """Reserve for calls that an earlier process sent, whatever the caps allow."""
        for request in requests:
            self._open[request.call_id] = self._commit(self.expected_chat(request))
            self._open[request.call_id].sent()

    def note_sent(self, call_ids: Iterable[str]) -> None:
        """Note that calls of a batch went out."""
        for reservation in self._known(call_ids):
            reservation.sent()

    def waive(self, call_ids: Iterable[str]) -> None:
        """Note that calls of a batch cost nothing, for they failed together."""
        for reservation in self._known(call_ids):
            reservation.cost = 0.0

    def settle_calls(self, ended: Mapping[str, ChatReply | CallFailure]) -> None:
        """Settle calls of a batch that ended."""
        for call_id, outcome in ended.items():
            if reservation := self._open.pop(call_id, None):
                self.charge(reservation, outcome)
                self.settle(reservation)

    def settle_open(self) -> None:
        """Settle the rest: what is still with the vendor at its expected cost, what was never sent at nothing."""
        for reservation in self._open.values():
            self.settle(reservation)
        self._open.clear()

    def _commit(self, amount: float) -> Reservation:
        for cap in self.caps:
            cap.reserved += amount
            cap.n_in_flight += 1
        return Reservation(amount)

    def _known(self, call_ids: Iterable[str]) -> list[Reservation]:
        return [self._open[call_id] for call_id in call_ids if call_id in self._open]

    def _completion(self) -> float:
        """The larger of the mean here and the mean known before; an assumption where there is neither."""
        known = [self._n_tokens / self._n_replies] if self._n_replies else []
        known += [] if self.completion_tokens is None else [self.completion_tokens]
        return max(known, default=_ASSUMED_COMPLETION)


def _spent(cap: Cap) -> str:
    return f"{dollars(cap.spent)} spent" if cap.spent else "nothing spent yet"

"""Budget of a model's calls in one step: reserve the expected cost of a call before it is sent, settle it afterwards.

A call in flight is reserved at its expected cost. A call that does not fit waits while other calls hold reservations,
because they may turn out cheaper; if no reservation is held, the cap is reached and the step ends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from advcluster_dagster.ledger.prices import Price, dollars
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError, approximate_tokens

#: Completion tokens assumed for a call without a token limit while no reply of the model is known.
_ASSUMED_COMPLETION = 4000
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
#: Failures that a vendor does not charge for, because it answered with an error.
_UNCHARGED = {"bad_request", "conflict", "rate_limited", "server_error", "too_early"}
#: Relative tolerance for rounding errors in sums of costs.
_TOLERANCE = 1e-9


@dataclass
class Cap:
    """A limit on a sum of dollars; ``name`` and ``advice`` are used in the message when it is reached.

    ``spent`` is the cost of settled calls, ``reserved`` the expected cost of the ``n_in_flight`` ones.
    """

    name: str
    limit: float
    advice: str
    spent: float = 0.0
    reserved: float = 0.0
    n_in_flight: int = 0

    def has_room(self, amount: float) -> bool:
        """Whether another call of this cost fits under the limit."""
        return self.spent + self.reserved + amount <= self.limit * (1 + _TOLERANCE)


@dataclass
class Reservation:
    """Dollars reserved for one call; ``cost`` is 0 until it is sent, then ``expected`` until the reply arrives."""

    expected: float
    cost: float = 0.0

    def sent(self) -> None:
        """Mark the call as sent."""
        self.cost = self.expected


@dataclass
class Budget:
    """Budget of one model's calls in one step. Without caps, all calls pass.

    :meth:`spend` is for single calls in one event loop; the methods that take call ids are for batches.

    Args:
        model: name, for messages.
        price: of the model as it is called.
        caps: all apply.
        completion_tokens: mean length of the model's replies in this stage so far; None if unknown.
        release: releases the locks held for the caps.
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
        """Expected cost of a call, dollars.

        Prompt: four characters per token. Completion: the request's token limit, else the mean so far, else a default.
        """
        n_characters = sum(len(message.content) for message in request.messages) + len(str(request.reply_schema or ""))
        limits = [request.sampling[name] for name in _LIMITS if isinstance(request.sampling.get(name), int)]
        n_completion = min(limits) if limits else self._completion()
        return self.price.cost(approximate_tokens(n_characters), n_completion) or 0.0

    def expected_prompt(self, n_tokens: int) -> float:
        """Expected cost of a call without completion, dollars."""
        return self.price.cost(n_tokens, None) or 0.0

    def reserve(self, amount: float) -> Reservation | None:
        """Reserve the expected cost of a call; return None if it has to wait for calls in flight.

        Raises:
            FatalModelError: a cap is reached and no call is in flight.
        """
        full = next((cap for cap in self.caps if not cap.has_room(amount)), None)
        if full is None:
            return self._commit(amount)
        if full.n_in_flight:
            return None
        raise FatalModelError(
            f"{full.name} of ${full.limit:,.2f} stops the step: {_spent(full)}, the next call of model {self.model}"
            f" is expected to cost {dollars(amount)}; completed calls are kept; {full.advice}"
        )

    def settle(self, reservation: Reservation) -> None:
        """Replace a reservation by what the call cost."""
        for cap in self.caps:
            cap.spent += reservation.cost
            cap.n_in_flight -= 1
            # Without calls in flight nothing is reserved; setting 0 removes rounding errors.
            cap.reserved = max(0.0, cap.reserved - reservation.expected) if cap.n_in_flight else 0.0
        self._settled.set()

    def charge(self, reservation: Reservation, outcome: ChatReply | CallFailure) -> None:
        """Set a reservation's cost from an outcome; without reported tokens it stays at the expected cost."""
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
        """As :meth:`charge`, from the tokens of an answered call."""
        cost = self.price.cost(prompt_tokens, completion_tokens)
        reservation.cost = reservation.expected if cost is None else cost

    @asynccontextmanager
    async def spend(self, expected: Callable[[], float], stop: asyncio.Event) -> AsyncIterator[Reservation]:
        """Wait until one call fits under the caps, and settle it at the end of the block.

        Args:
            expected: returns the call's expected cost, dollars.
            stop: set when the step ends early; set here when a cap is reached.

        Raises:
            FatalModelError: a cap is reached; or from the call, which is then settled at 0.
        """
        try:
            while (reservation := self.reserve(expected())) is None:
                self._settled.clear()
                await self._settled.wait()
                if stop.is_set():
                    raise asyncio.CancelledError
        except FatalModelError:
            stop.set()
            self._settled.set()  # ends the waiting calls too
            raise
        try:
            yield reservation
        except FatalModelError:
            reservation.cost = 0.0
            raise
        finally:
            self.settle(reservation)

    def reserve_call(self, request: ChatRequest) -> bool:
        """Reserve for a call of a batch; return False if it has to wait for calls in flight.

        Raises:
            FatalModelError: see :meth:`reserve`.
        """
        reservation = self.reserve(self.expected_chat(request))
        if reservation is not None:
            self._open[request.call_id] = reservation
        return reservation is not None

    def reserve_sent(self, requests: Iterable[ChatRequest]) -> None:
        """Reserve for calls that an earlier process sent, regardless of the caps."""
        for request in requests:
            self._open[request.call_id] = self._commit(self.expected_chat(request))
            self._open[request.call_id].sent()

    def note_sent(self, call_ids: Iterable[str]) -> None:
        """Mark calls of a batch as sent."""
        for reservation in self._known(call_ids):
            reservation.sent()

    def waive(self, call_ids: Iterable[str]) -> None:
        """Set the cost of calls of a failed batch to 0."""
        for reservation in self._known(call_ids):
            reservation.cost = 0.0

    def settle_calls(self, ended: Mapping[str, ChatReply | CallFailure]) -> None:
        """Settle the calls of a batch that have outcomes."""
        for call_id, outcome in ended.items():
            if reservation := self._open.pop(call_id, None):
                self.charge(reservation, outcome)
                self.settle(reservation)

    def settle_open(self) -> None:
        """Settle the remaining calls: sent ones at their expected cost, unsent ones at 0."""
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
        """The larger of the mean in this step and the mean of earlier calls; a default if there is neither."""
        known = [self._n_tokens / self._n_replies] if self._n_replies else []
        known += [] if self.completion_tokens is None else [self.completion_tokens]
        return max(known, default=_ASSUMED_COMPLETION)


def _spent(cap: Cap) -> str:
    return f"{dollars(cap.spent)} spent" if cap.spent else "nothing spent yet"

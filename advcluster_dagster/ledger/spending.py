"""Spending limits: reserve the expected cost of a call before it is sent, settle it afterwards.

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
class Bill:
    """What one call costs: nothing until it is sent, its expected cost until the reply tells."""

    expected: float
    cost: float = 0.0

    def sent(self) -> None:
        """Note that the call goes out."""
        self.cost = self.expected


@dataclass
class Spending:
    """The gate of one model's calls in one step.

    Args:
        model: for messages.
        price: of the model as it is asked.
        caps: all of them hold.
        completion_tokens: mean length of the model's replies in this stage so far; None where none is known.
        release: gives back what the caps were taken under.
    """

    model: str
    price: Price
    caps: Sequence[Cap]
    completion_tokens: float | None = None
    release: Callable[[], None] = lambda: None
    _n_replies: int = field(default=0, init=False)
    _n_tokens: int = field(default=0, init=False)

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

    def take(self, amount: float) -> bool:
        """Reserve the expected cost of a call; False where it has to wait for those in flight.

        Raises:
            FatalModelError: a cap leaves no room for it, and nothing is in flight that could make some.
        """
        full = next((cap for cap in self.caps if not cap.has_room(amount)), None)
        if full is None:
            self.commit(amount)
            return True
        if full.n_in_flight:
            return False
        raise FatalModelError(
            f"{full.name} of ${full.limit:,.2f} stops the step: {_spent(full)}, the next call of model {self.model}"
            f" is expected to cost {dollars(amount)}; what is done is kept, {full.advice}"
        )

    def commit(self, amount: float) -> None:
        """Reserve for a call that was sent already, whatever the caps say."""
        for cap in self.caps:
            cap.reserved += amount
            cap.n_in_flight += 1

    def settle(self, bill: Bill) -> None:
        """Replace a reservation by what the call cost."""
        for cap in self.caps:
            cap.spent += bill.cost
            cap.n_in_flight -= 1
            # Differences of many sums leave dust, and with nothing in flight nothing is reserved.
            cap.reserved = max(0.0, cap.reserved - bill.expected) if cap.n_in_flight else 0.0

    def charge(self, bill: Bill, outcome: ChatReply | CallFailure) -> None:
        """Put an outcome's cost on its bill; what nobody tells stays at what was expected."""
        if isinstance(outcome, CallFailure):
            bill.cost = 0.0 if outcome.reason in _UNCHARGED else bill.expected
            return
        self.charge_tokens(bill, outcome.prompt_tokens, outcome.completion_tokens)
        if outcome.completion_tokens is not None:
            self._n_replies += 1
            self._n_tokens += outcome.completion_tokens

    def charge_tokens(self, bill: Bill, prompt_tokens: int | None, completion_tokens: int | None = None) -> None:
        """As :meth:`charge`, for the tokens of an answered call."""
        cost = self.price.cost(prompt_tokens, completion_tokens)
        bill.cost = bill.expected if cost is None else cost

    def _completion(self) -> float:
        """The larger of the mean here and the mean known before; an assumption where there is neither."""
        known = [self._n_tokens / self._n_replies] if self._n_replies else []
        known += [] if self.completion_tokens is None else [self.completion_tokens]
        return max(known, default=_ASSUMED_COMPLETION)


def _spent(cap: Cap) -> str:
    return f"{dollars(cap.spent)} spent" if cap.spent else "nothing spent yet"


class Purse:
    """Lets calls of one connection through as the caps leave room for them; lives on one event loop.

    Args:
        stop: set when the step ends early.
    """

    def __init__(self, stop: asyncio.Event) -> None:
        #: None where no cap holds; then every call goes through and bills say nothing.
        self.spending: Spending | None = None
        self._stop = stop
        self._settled = asyncio.Event()

    @asynccontextmanager
    async def pay(self, expected: Callable[[Spending], float]) -> AsyncIterator[Bill]:
        """Wait for room for one call, and settle its bill at the end.

        Args:
            expected: gives the call's expected cost, dollars.

        Raises:
            FatalModelError: a cap is reached; or from the call, which then cost nothing.
        """
        if self.spending is None:
            yield Bill(0.0)
            return
        bill = Bill(await self._room(self.spending, expected))
        try:
            yield bill
        except FatalModelError:
            bill.cost = 0.0
            raise
        finally:
            self.spending.settle(bill)
            self._settled.set()

    def charge(self, bill: Bill, outcome: ChatReply | CallFailure) -> None:
        """See :meth:`Spending.charge`."""
        if self.spending is not None:
            self.spending.charge(bill, outcome)

    def charge_tokens(self, bill: Bill, prompt_tokens: int | None) -> None:
        """See :meth:`Spending.charge_tokens`."""
        if self.spending is not None:
            self.spending.charge_tokens(bill, prompt_tokens)

    def release(self) -> None:
        """Let others spend; what was reserved is settled by now."""
        if self.spending is not None:
            self.spending.release()

    async def _room(self, spending: Spending, expected: Callable[[Spending], float]) -> float:
        """Wait until a call fits under the caps; the amount reserved for it."""
        try:
            while not spending.take(amount := expected(spending)):
                self._settled.clear()
                await self._settled.wait()
                if self._stop.is_set():
                    raise asyncio.CancelledError
        except FatalModelError:
            self._stop.set()
            self._settled.set()  # the others that wait end too
            raise
        return amount


class Bills:
    """The bills of calls that go together, by call id; nothing where no cap holds.

    Args:
        purse: of the connection that they go through.
    """

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._open: dict[str, Bill] = {}

    def reserve(self, request: ChatRequest) -> bool:
        """Reserve for a call; False where it has to wait for those in flight.

        Raises:
            FatalModelError: see :meth:`Spending.take`.
        """
        spending = self._purse.spending
        if spending is None:
            return True
        bill = Bill(spending.expected_chat(request))
        if not spending.take(bill.expected):
            return False
        self._open[request.call_id] = bill
        return True

    def reserve_sent(self, requests: Iterable[ChatRequest]) -> None:
        """Reserve for calls that an earlier process sent."""
        spending = self._purse.spending
        if spending is not None:
            bills = {request.call_id: Bill(spending.expected_chat(request)) for request in requests}
            for bill in bills.values():
                spending.commit(bill.expected)
            self._open |= bills
            self.sent(bills)

    def sent(self, call_ids: Iterable[str]) -> None:
        """Note that calls went out."""
        for bill in self._known(call_ids):
            bill.sent()

    def waive(self, call_ids: Iterable[str]) -> None:
        """Note that calls cost nothing, for they failed together."""
        for bill in self._known(call_ids):
            bill.cost = 0.0

    def settle(self, ended: Mapping[str, ChatReply | CallFailure]) -> None:
        """Take note of what calls cost that ended."""
        for call_id, outcome in ended.items():
            if self._purse.spending is not None and (bill := self._open.pop(call_id, None)):
                self._purse.spending.charge(bill, outcome)
                self._purse.spending.settle(bill)

    def close(self) -> None:
        """Settle the rest: what is still with the vendor at its expected cost, what was never sent at nothing."""
        for bill in self._open.values():
            if self._purse.spending is not None:
                self._purse.spending.settle(bill)
        self._open.clear()

    def _known(self, call_ids: Iterable[str]) -> list[Bill]:
        return [self._open[call_id] for call_id in call_ids if call_id in self._open]

"""Rate limits of a provider: calls in flight, requests and tokens per minute, back-off after rate-limit replies."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

Result = Literal["answered", "rate_limited", "failed"]

_WINDOW = 40
_FEWEST_IN_STORM = 8
_STORM_SHARE = 0.3


class Bucket:
    """Token bucket with a capacity of one second's refill, at least one unit.

    A reservation is granted immediately together with the time to wait before its use. One larger than the capacity
    waits for a full bucket and leaves a debt on which later reservations wait.

    Args:
        per_minute: units added per minute, > 0.
    """

    def __init__(self, per_minute: float) -> None:
        self._per_second = per_minute / 60
        self._capacity = max(self._per_second, 1.0)
        self._level = self._capacity
        self._filled_at = -math.inf

    def reserve(self, amount: float, now: float) -> float:
        """Take ``amount`` units; return the seconds from ``now`` until they may be used, 0 if available."""
        if now > self._filled_at:
            gained = self._capacity if math.isinf(self._filled_at) else (now - self._filled_at) * self._per_second
            self._level = min(self._capacity, self._level + gained)
            self._filled_at = now
        missing = min(amount, self._capacity) - self._level
        self._level -= amount
        return max(0.0, missing / self._per_second)

    def correct(self, amount: float) -> None:
        """Take ``amount`` further units, or return units if it is negative."""
        self._level = min(self._capacity, self._level - amount)


class Adaptation:
    """Adaptive limit on calls in flight, based on the outcomes of recent calls.

    If at least 30 % of the last 40 calls, and at least 8, were rate limited (a storm), the limit is halved and counting
    restarts; sporadic rate limiting has no effect. Each answered call raises the limit again, by about a quarter per
    round of calls.

    Args:
        most: maximum number of calls in flight, >= 1.
    """

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._allowed = self._most
        self._were_limited: deque[bool] = deque(maxlen=_WINDOW)

    @property
    def allowed(self) -> int:
        """Current limit on calls in flight, 1 to ``most``."""
        return int(self._allowed)

    def note(self, result: Result) -> bool:
        """Record a call's result; return whether it triggered a storm."""
        self._were_limited.append(result == "rate_limited")
        n_limited = sum(self._were_limited)
        if n_limited >= max(_FEWEST_IN_STORM, _STORM_SHARE * len(self._were_limited)):
            self._allowed = max(1.0, self._allowed / 2)
            self._were_limited.clear()
            return True
        if result == "answered":
            self._allowed = min(self._most, self._allowed + 0.25 + 1 / self._allowed)
        return False


class Gate:
    """Gate that admits calls to one provider under its limits; used on a single event loop.

    Args:
        max_in_flight: maximum number of concurrent calls.
        requests_per_minute: None for no limit.
        tokens_per_minute: prompt plus completion tokens; None for no limit.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        max_in_flight: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._adaptation = Adaptation(max_in_flight)
        self._requests = None if requests_per_minute is None else Bucket(requests_per_minute)
        self._tokens = None if tokens_per_minute is None else Bucket(tokens_per_minute)
        self._clock = clock
        self._n_in = 0
        self._closed_until = -math.inf
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, is_retry: bool) -> None:
        """Wait for a free slot; retries go first. :meth:`leave` must follow."""
        if self._n_in < self._adaptation.allowed and (is_retry or not self._waiting):
            self._n_in += 1
            return
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if is_retry:
            self._waiting.appendleft(slot)
        else:
            self._waiting.append(slot)
        try:
            await slot  # leave() counts the next call in
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():
                self.leave()
            elif slot in self._waiting:
                self._waiting.remove(slot)
            raise

    def leave(self) -> None:
        """Release the slot."""
        self._n_in -= 1
        while self._waiting and self._n_in < self._adaptation.allowed:
            slot = self._waiting.popleft()
            if not slot.done():
                self._n_in += 1
                slot.set_result(None)

    def reserve(self, n_tokens: int) -> float:
        """Reserve a call of about ``n_tokens`` tokens; return the seconds to wait before sending it."""
        now = self._clock()
        waits = [0.0, self._closed_until - now]
        if self._requests is not None:
            waits.append(self._requests.reserve(1, now))
        if self._tokens is not None:
            waits.append(self._tokens.reserve(n_tokens, now))
        return max(waits)

    def note(self, result: Result, retry_after_s: float | None = None) -> None:
        """Record a call's result; in a storm, send nothing until the server's retry delay is over."""
        if self._adaptation.note(result) and retry_after_s is not None:
            self._closed_until = max(self._closed_until, self._clock() + retry_after_s)

    def correct_tokens(self, n_expected: int, n_used: int | None) -> None:
        """Replace a call's expected tokens by those it used, if the provider reports them."""
        if self._tokens is not None and n_used is not None:
            self._tokens.correct(n_used - n_expected)

"""Rate limits of one provider: calls in flight, requests and tokens per minute, slower after rate-limit replies."""

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
    """An allowance that refills at a steady rate and never holds more than one second of it, or one unit.

    A reservation is granted at once and says how long to wait before using it. One larger than the bucket waits for
    the full bucket and leaves a debt that the following ones wait out.

    Args:
        per_minute: units that come in a minute, > 0.
    """

    def __init__(self, per_minute: float) -> None:
        self._per_second = per_minute / 60
        self._capacity = max(self._per_second, 1.0)
        self._level = self._capacity
        self._filled_at = -math.inf

    def reserve(self, amount: float, now: float) -> float:
        """Take ``amount`` units; seconds from ``now`` until they may be used, 0 where they are there."""
        if now > self._filled_at:
            gained = self._capacity if math.isinf(self._filled_at) else (now - self._filled_at) * self._per_second
            self._level = min(self._capacity, self._level + gained)
            self._filled_at = now
        missing = min(amount, self._capacity) - self._level
        self._level -= amount
        return max(0.0, missing / self._per_second)

    def correct(self, amount: float) -> None:
        """Take ``amount`` units more than were reserved, or give units back where it is negative."""
        self._level = min(self._capacity, self._level - amount)


class Adaptation:
    """How many calls may be in flight, from the outcomes of the last ones.

    A storm, 30 % or more of the last 40 calls rate limited and at least 8 of them, halves the number and starts a new
    count; scattered rate limiting changes nothing. Every answered call then raises it again, by about a quarter for
    each round of calls.

    Args:
        most: calls in flight without any fault, >= 1.
    """

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._allowed = self._most
        self._were_limited: deque[bool] = deque(maxlen=_WINDOW)

    @property
    def allowed(self) -> int:
        """Calls that may be in flight now, from 1 to the number given."""
        return int(self._allowed)

    def note(self, result: Result) -> bool:
        """Take one call's end into account; whether it brought a storm to light."""
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
    """Lets calls through to one provider; lives on one event loop.

    Args:
        max_in_flight: calls in flight at once, at most.
        requests_per_minute: None is no limit.
        tokens_per_minute: prompt and completion tokens together; None is no limit.
        clock: seconds from any start.
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
        """Wait for a place; a call that tries again goes first. :meth:`leave` must follow."""
        if self._n_in < self._adaptation.allowed and (is_retry or not self._waiting):
            self._n_in += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if is_retry:
            self._waiting.appendleft(place)
        else:
            self._waiting.append(place)
        try:
            await place  # who gives up a place counts the next one in
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            elif place in self._waiting:
                self._waiting.remove(place)
            raise

    def leave(self) -> None:
        """Give the place up."""
        self._n_in -= 1
        while self._waiting and self._n_in < self._adaptation.allowed:
            place = self._waiting.popleft()
            if not place.done():
                self._n_in += 1
                place.set_result(None)

    def reserve(self, n_tokens: int) -> float:
        """Seconds to wait before a call of about so many tokens may be sent."""
        now = self._clock()
        waits = [0.0, self._closed_until - now]
        if self._requests is not None:
            waits.append(self._requests.reserve(1, now))
        if self._tokens is not None:
            waits.append(self._tokens.reserve(n_tokens, now))
        return max(waits)

    def note(self, result: Result, retry_after_s: float | None = None) -> None:
        """Take one call's end into account; in a storm nothing is sent until the server's pause is over."""
        if self._adaptation.note(result) and retry_after_s is not None:
            self._closed_until = max(self._closed_until, self._clock() + retry_after_s)

    def correct_tokens(self, n_expected: int, n_used: int | None) -> None:
        """Replace a call's expected tokens by those it took, where the provider says."""
        if self._tokens is not None and n_used is not None:
            self._tokens.correct(n_used - n_expected)

"""HTTP connection to a provider: event loop, concurrency, limits, retries, interpretation of faults."""

import asyncio
import os
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import count, islice
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import httpx2
from pydantic import SecretStr

from advcluster_dagster.ledger.budget import Budget
from advcluster_dagster.models.faults import TRANSIENT_STATUSES, ErrorReplyError, Fault, StatusFault
from advcluster_dagster.models.limits import Gate
from advcluster_dagster.models.protocol import CallFailure, FatalModelError
from advcluster_dagster.printable import one_line
from advcluster_dagster.study.models import Provider

J = TypeVar("J")
R = TypeVar("R")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_LONGEST_RETRY_AFTER_S = 120.0
_CONNECT_TIMEOUT_S = 10.0
#: Time for calls in flight to end after a fatal fault, because they are paid for.
_GRACE_S = 7.0
_MOST_DETAIL = 300
#: Concurrent jobs per call in flight: jobs that wait before a retry leave their slot to others.
_JOBS_PER_PLACE = 4
#: Shorter keys, such as placeholders for servers without keys, could occur in any text.
_SHORTEST_SECRET = 8

#: Errors of a call other than an SDK's own: lost connections, and parsing of malformed replies.
COMMON_FAULTS = (
    httpx2.HTTPError, TimeoutError, ValueError, TypeError, AttributeError, LookupError, RecursionError,
)  # fmt: skip


class Connection(ABC):
    """Calls of one provider on a dedicated event loop.

    The key is read from the environment variable named in the settings and never shown.

    Args:
        name: the provider's name in the study, for messages.
        settings: transport settings.
        base_url: address of the server, None for the vendor's.
        key_variables: environment variables to search for a key, in order, if the settings name none.

    Raises:
        FatalModelError: no address is given and no variable contains a key.
    """

    #: Errors of a call through this connection that :meth:`judge` interprets.
    faults: tuple[type[Exception], ...] = COMMON_FAULTS

    def __init__(self, name: str, settings: Provider, base_url: str | None, key_variables: Sequence[str]) -> None:
        variables = [settings.api_key_env] if settings.api_key_env else key_variables
        values = {variable: os.environ.get(variable, "").strip() for variable in variables}
        self._key_variable = next((variable for variable, key in values.items() if key), variables[0])
        if not values[self._key_variable] and base_url is None:
            raise FatalModelError(
                f"provider {name}: environment variable {' or '.join(variables)} is not set; set it to the API key"
            )
        self.name = name
        self.settings = settings
        self.key = SecretStr(values[self._key_variable])
        self.address = "the vendor's address"
        self.gate = Gate(settings.max_in_flight, settings.requests_per_minute, settings.tokens_per_minute)
        self.timeout = httpx2.Timeout(settings.timeout_s, connect=min(settings.timeout_s, _CONNECT_TIMEOUT_S))
        self.pool = httpx2.Limits(
            max_connections=settings.max_in_flight, max_keepalive_connections=settings.max_in_flight
        )
        self.is_stopped = asyncio.Event()
        self.budget = Budget()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"provider-{name}", daemon=True)
        self._thread.start()

    @abstractmethod
    def sdk_fault(self, error: Exception) -> StatusFault | None:
        """The HTTP status fault of an SDK error; None if it has no status."""

    def cause_of(self, error: Exception) -> BaseException | None:
        """The HTTP client's error that caused an error without status."""
        return error

    def status_fault(self, error: Exception) -> StatusFault | None:
        """The HTTP status fault of a call's error; None for lost connections, timeouts and malformed replies."""
        return error.fault if isinstance(error, ErrorReplyError) else self.sdk_fault(error)

    def judge(self, error: Exception, model: str) -> Fault:
        """Interpret an error of :attr:`faults`.

        Raises:
            FatalModelError: no further call can succeed.
        """
        fault = self.status_fault(error)
        return self.judge_rest(error, self.cause_of(error)) if fault is None else self.judge_status(fault, model)

    @abstractmethod
    async def close_client(self) -> None:
        """Close the SDK's client."""

    def close(self) -> None:
        """Close the connections, stop the event loop and release the budget."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self.close_client(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self.budget.release()

    def stop(self) -> None:
        """Stop sending; calls in flight get a short time to end."""
        self._loop.call_soon_threadsafe(self.is_stopped.set)

    def run(self, jobs: Iterable[J], ask: Callable[[J], Awaitable[R]]) -> Iterator[R]:
        """Yield results of ``ask`` as they finish, with as much concurrency as the limits allow.

        Jobs are pulled as others end, in a separate thread unless they are a list.

        Raises:
            FatalModelError: from ``ask`` or the iterable, after calls in flight got a short time to end.
        """
        done: SimpleQueue[tuple[R] | None] = SimpleQueue()
        future: Future[None] = asyncio.run_coroutine_threadsafe(
            self._work(jobs, ask, lambda result: done.put((result,))), self._loop
        )
        future.add_done_callback(lambda _: done.put(None))
        try:
            while (item := done.get()) is not None:
                yield item[0]
            future.result()
        finally:
            future.cancel()

    async def attempt(
        self, model: str, call: Callable[[], Awaitable[R]], n_tokens: int = 0, known_reason: str | None = None
    ) -> R | CallFailure:
        """Make one call with retries after transient faults; return a named failure if it still fails.

        Args:
            model: for messages.
            call: makes the call.
            n_tokens: estimated tokens, for the rate limit.
            known_reason: reason with which a call with the same content failed after all retries; faults with this
                reason are retried only once.

        Raises:
            FatalModelError: no further call can succeed.
        """
        for n_retries in count():
            await self.gate.enter(is_retry=n_retries > 0)
            try:
                if self.is_stopped.is_set():
                    raise asyncio.CancelledError
                await self._pause(self.gate.reserve(n_tokens))
                async with asyncio.timeout(self.settings.timeout_s):  # an SDK's timeout restarts with every byte
                    result = await call()
                self.gate.note("answered")
                return result
            except self.faults as error:
                fault = self.judge(error, model)
                pause_s = _pause_s(n_retries, fault.retry_after_s)
                self.gate.note("rate_limited" if fault.reason == "rate_limited" else "failed", pause_s)
            finally:
                self.gate.leave()
            if not fault.is_transient or n_retries >= self._most_retries(fault.reason == known_reason):
                break
            await self._pause(pause_s)
        if fault.is_unreachable:
            raise FatalModelError(
                f"provider {self.name}: no server answers at {self.address} ({n_retries + 1} tries);"
                " start it or correct base_url"
            )
        return CallFailure(fault.reason, fault.detail)

    def _most_retries(self, is_known: bool) -> int:
        return min(1, self.settings.max_retries) if is_known else self.settings.max_retries

    def without_key(self, text: str) -> str:
        """Mask the key, which a server may echo, in a text."""
        key = self.key.get_secret_value()
        return text.replace(key, "***") if len(key) >= _SHORTEST_SECRET else text

    def one_line(self, text: str) -> str:
        """Server text as one short line for messages, with the key masked."""
        return self.without_key(one_line(text))[:_MOST_DETAIL]

    def judge_status(self, fault: StatusFault, model: str) -> Fault:
        """Interpret an error status of a call.

        Raises:
            FatalModelError: the key, the model, the path or the quota is the cause.
        """
        status, words, variable = fault.status, self.one_line(fault.message), self._key_variable
        about = f"provider {self.name}:"
        if status == 401 or fault.is_wrong_key:
            raise FatalModelError(f"{about} the key for model {model} was refused; check {variable}: {words}")
        if status == 403:
            raise FatalModelError(f"{about} access to model {model} denied; check {variable}: {words}")
        if status in (404, 405) or fault.is_unknown_model:
            raise FatalModelError(f"{about} {self._missing(fault, model)}: {words}")
        if status == 402 or fault.is_quota_used_up:
            raise FatalModelError(f"{about} the quota for model {model} is used up (key in {variable}): {words}")
        if fault.is_filtered:
            return Fault("content_filter", words, False)
        if status >= 500 or status in TRANSIENT_STATUSES:
            reason = TRANSIENT_STATUSES.get(status, "server_error")
            return Fault(reason, words, fault.is_transient, retry_after_s=fault.retry_after_s)
        return Fault("bad_request", words, False)

    def _missing(self, fault: StatusFault, model: str) -> str:
        """Message about a missing model or path, with the remedy."""
        missing = fault.missing(model)
        if missing == "model":
            return f"no model {model} at {self.address}; correct the study"
        no_path = f"the server at {self.address} does not have the requested path; correct base_url"
        return no_path if missing == "path" else f"no model {model} at {self.address}, or {no_path}"

    def judge_rest(self, error: Exception, cause: BaseException | None) -> Fault:
        """Interpret a lost connection, a timeout or an unreadable reply; ``cause`` is the HTTP client's error."""
        is_timeout = isinstance(cause, httpx2.TimeoutException | TimeoutError)
        if is_timeout or isinstance(cause, httpx2.TransportError):
            is_unreachable = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
            detail = f"no answer within {self.settings.timeout_s:g} s" if is_timeout else "the connection was lost"
            return Fault("timeout" if is_timeout else "connection_lost", detail, True, is_unreachable)
        return Fault("unreadable_reply", self.one_line(str(error)) or type(error).__name__, True)

    async def _work(self, jobs: Iterable[J], ask: Callable[[J], Awaitable[R]], deliver: Callable[[R], None]) -> None:
        self.is_stopped.clear()
        pending = _Pending(jobs)

        async def worker() -> None:
            try:
                while not self.is_stopped.is_set() and (job := await pending.pull()):
                    deliver(await ask(job[0]))
            except Exception:
                self.is_stopped.set()
                raise

        n_workers = _JOBS_PER_PLACE * self.settings.max_in_flight
        if isinstance(jobs, list):
            n_workers = min(n_workers, len(jobs))
        workers = [asyncio.create_task(worker()) for _ in range(n_workers)]
        all_ended = asyncio.gather(*workers, return_exceptions=True)
        stopped = asyncio.create_task(self.is_stopped.wait())
        ends_or_stop: set[asyncio.Future[Any]] = {all_ended, stopped}
        try:
            await asyncio.wait(ends_or_stop, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({all_ended}, timeout=_GRACE_S)
        finally:
            for task in (*workers, stopped):
                task.cancel()
            ends = await all_ended
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _pause(self, delay_s: float) -> None:
        """Sleep; raise CancelledError as soon as the step stops."""
        if delay_s <= 0:
            return
        try:
            await asyncio.wait_for(self.is_stopped.wait(), delay_s)
        except TimeoutError:
            return
        raise asyncio.CancelledError


class _Pending(Generic[J]):
    """Jobs that workers pull one at a time.

    Unless the jobs are a list, pulling may block on disk access and runs in a thread. Jobs may be added while others
    run; the worker that adds some pulls again.
    """

    def __init__(self, jobs: Iterable[J]) -> None:
        self._jobs = iter(jobs)
        self._are_in_memory = isinstance(jobs, list)
        self._is_pulling = asyncio.Lock()

    async def pull(self) -> tuple[J, ...]:
        """Pull the next job; an empty tuple if there is none."""
        if self._are_in_memory:
            return tuple(islice(self._jobs, 1))
        async with self._is_pulling:
            return await asyncio.to_thread(tuple, islice(self._jobs, 1))


def _pause_s(n_retries: int, retry_after_s: float | None) -> float:
    """Seconds before the next try: exponential back-off with jitter, at least the server's retry delay."""
    backoff = min(_FIRST_PAUSE_S * 2.0 ** min(n_retries, 30), _LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)
    requested = min(retry_after_s or 0.0, _LONGEST_RETRY_AFTER_S) * random.uniform(1.0, 1.1)
    return max(backoff, requested)

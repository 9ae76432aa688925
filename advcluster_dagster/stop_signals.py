"""Handle SIGINT and SIGTERM: the first signal stops a command and keeps completed work, the second ends it at once.

Dagster installs its own handlers during a run, so signals are detected through Python's wake-up file descriptor, which
is independent of handlers. An interrupted Dagster run ends as a failed run; its caller then checks
:func:`raise_if_stopped`.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Time for a command to end after the signal; then its process is terminated.
_DEADLINE_S = 9.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


class Stopped(BaseException):
    """A stop signal arrived; ``status`` is the corresponding exit status."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


@contextmanager
def stop_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise :class:`Stopped` in the main thread; end the process if stopping takes too long."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    wake_up_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, _raise)
    threading.Thread(target=_watch, args=(reading,), name="stop-signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wake_up_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)  # ends the watching thread, which closes the other end
        _received.clear()


def raise_if_stopped() -> None:
    """Raise if a stop signal has arrived.

    Raises:
        Stopped: a signal has arrived.
    """
    if _received:
        raise Stopped(_received[0])


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


def _watch(reading: int) -> None:
    """Record signals as they arrive; the second one, or the deadline after the first, ends the process."""
    while received := os.read(reading, 64):
        for number in received:
            if number not in _SIGNALS:
                continue
            if _received:
                os._exit(128 + number)
            _received.append(number)
            deadline = threading.Timer(_DEADLINE_S, os._exit, (128 + number,))
            deadline.daemon = True
            deadline.start()
    os.close(reading)

"""SIGINT and SIGTERM: the first ends a command and keeps what is done, the second ends it at once.

Dagster puts handlers of its own in place while a run goes on, so the signals are noticed by a wake-up file that
Python writes to whichever handler there is. A run of Dagster's that is interrupted ends as a failed run; who started
it asks :func:`raise_if_stopped` before going on.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: How long a command may take to end after the signal; then its process ends, whatever it does.
_DEADLINE_S = 9.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


class Stopped(BaseException):
    """A stop signal arrived; ``status`` is the exit status that names the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


@contextmanager
def stop_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise :class:`Stopped` in the main thread, and end the process if that takes too long."""
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
    """End here if a signal came meanwhile.

    Raises:
        Stopped: one came.
    """
    if _received:
        raise Stopped(_received[0])


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


def _watch(reading: int) -> None:
    """Note the signals as they come; the second one, or the end of the time that the first allows, ends the process."""
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

"""Thread that writes call outcomes to the ledger, or to files in its folder when the ledger cannot be written."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

from advcluster_dagster.ledger.database import fault_of
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.ledger.tables import ModelRequest, Outcome, Use, encode_call
from advcluster_dagster.ledger.unwritten_replies import UnwrittenCall, UnwrittenFile
from advcluster_dagster.models.protocol import FatalModelError

_MOST_PER_COMMIT = 64


class CallRecorder:
    """Writes outcomes to the ledger in a separate thread; each commit takes all outcomes that arrived during the last.

    Commits do not wait for a batch to fill up, so a killed process loses only the replies of its last commit. Uses are
    recorded in the same transaction, so that the spending of a killed process counts towards its study. After the first
    write failure, that outcome and all later ones go to a file that is imported when the ledger is next opened.

    Args:
        ledger: where outcomes are stored.
        provider_name: the provider's name in the study.
        price: of the model; None if unknown.
        use: asset partition on whose behalf the calls are made.
        on_fault: called as soon as the ledger cannot be written, to stop sending.
    """

    def __init__(
        self,
        ledger: Ledger,
        provider_name: str,
        price: Price | None,
        use: Use,
        on_fault: Callable[[FatalModelError], None] = lambda _error: None,
    ) -> None:
        #: Monotonic time of the first write failure; None before.
        self.failed_at: float | None = None
        self._ledger = ledger
        self._provider_name = provider_name
        self._price = price
        self._use = use
        self._on_fault = on_fault
        self._queue: SimpleQueue[tuple[ModelRequest, Outcome] | None] = SimpleQueue()
        self._answered_before: set[str] = set()
        self._error: Exception | None = None
        self._unwritten = UnwrittenFile(ledger.unwritten)
        self._thread = threading.Thread(target=self._run, name="ledger-recorder", daemon=True)
        self._thread.start()

    def put(self, request: ModelRequest, outcome: Outcome) -> None:
        """Queue one outcome."""
        self._queue.put((request, outcome))

    def finish(self) -> set[str]:
        """Wait until everything is on disk; return the ids of calls that already had an answer.

        Raises:
            FatalModelError: the ledger could not store everything; the message says where the replies are.
        """
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise FatalModelError(f"{_refusal(self._ledger, self._error)}; {self._locations()}") from self._error
        return self._answered_before

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            while len(batch) < _MOST_PER_COMMIT and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except Empty:
                    break
            is_open = batch[-1] is not None
            self._store([item for item in batch if item is not None])
        self._unwritten.close()

    def _store(self, calls: Sequence[tuple[ModelRequest, Outcome]]) -> None:
        if not calls:
            return
        if self._error is None:
            try:
                self._answered_before |= self._ledger.record_many(calls, self._provider_name, self._price, self._use)
                return
            except Exception as error:  # replies are paid for: save them to a file whatever the error
                self._error, self.failed_at = error, time.monotonic()
                self._on_fault(FatalModelError(f"{_refusal(self._ledger, error)}; no further calls are sent"))
        self._unwritten.write(
            [UnwrittenCall(encode_call(*call, self._provider_name, self._price), self._use) for call in calls]
        )

    def _locations(self) -> str:
        """Message that says where the replies missing from the ledger are, and what to do."""
        unwritten, paths = self._unwritten, " and ".join(str(path) for path in self._unwritten.paths)
        message = f"no further calls were sent. {unwritten.n_written} replies were saved to {paths}:"
        message += " free disk space and run again, the next run imports them (or: advcluster ledger import FILE)"
        if unwritten.n_lost:
            message += f"; {unwritten.n_lost} replies could not be saved anywhere and will be requested again"
        return message


def _refusal(ledger: Ledger, error: Exception) -> str:
    return f"ledger {ledger} cannot store replies: {fault_of(error)}"


def storable(outcome: Outcome) -> Outcome:
    """Replace lone surrogates, which JSON can carry but files, tables and later requests cannot."""
    clean: dict[str, Any] = {
        name: value.encode("utf-8", "replace").decode("utf-8")
        for name, value in vars(outcome).items()
        if isinstance(value, str)
    }
    return replace(outcome, **clean)

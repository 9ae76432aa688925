"""The thread that writes outcomes of calls to the ledger, and to files beside it when the ledger cannot be written."""

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
from advcluster_dagster.ledger.unwritten_replies import UnkeptCall, UnkeptFile
from advcluster_dagster.models.protocol import FatalModelError

_MOST_PER_COMMIT = 64


class CallRecorder:
    """Writes outcomes to the ledger in a thread of its own: all that has arrived while the last commit ran go together.

    Nothing waits for a batch to fill up, so a killed process loses no reply that came more than a commit ago. Uses are
    noted with them, so that what a killed process spent counts as its study's. Once the ledger cannot keep one, that
    one and all that follow are written to a file that the next opening of the ledger takes in.

    Args:
        ledger: where outcomes are kept.
        provider_name: the provider's name in the study.
        price: of the model; None where it is not known.
        use: on whose behalf the calls are made.
        on_fault: called as soon as the ledger cannot be written, so that nothing more is sent.
    """

    def __init__(
        self,
        ledger: Ledger,
        provider_name: str,
        price: Price | None,
        use: Use,
        on_fault: Callable[[FatalModelError], None] = lambda _error: None,
    ) -> None:
        #: When the ledger first could not be written, by the monotonic clock; None while it can.
        self.failed_at: float | None = None
        self._ledger = ledger
        self._provider_name = provider_name
        self._price = price
        self._use = use
        self._on_fault = on_fault
        self._queue: SimpleQueue[tuple[ModelRequest, Outcome] | None] = SimpleQueue()
        self._answered_before: set[str] = set()
        self._error: Exception | None = None
        self._beside = UnkeptFile(ledger.unkept)
        self._thread = threading.Thread(target=self._run, name="ledger-recorder", daemon=True)
        self._thread.start()

    def put(self, request: ModelRequest, outcome: Outcome) -> None:
        """Hand over one outcome."""
        self._queue.put((request, outcome))

    def finish(self) -> set[str]:
        """Wait until everything is on disk; the ids of calls that already had an answer.

        Raises:
            FatalModelError: the ledger could not keep everything; the line says where it is instead.
        """
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise FatalModelError(f"{_refusal(self._ledger, self._error)}; {self._whereabouts()}") from self._error
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
            self._keep([item for item in batch if item is not None])
        self._beside.close()

    def _keep(self, calls: Sequence[tuple[ModelRequest, Outcome]]) -> None:
        if not calls:
            return
        if self._error is None:
            try:
                self._answered_before |= self._ledger.record_many(calls, self._provider_name, self._price, self._use)
                return
            except Exception as error:  # whatever it is, what was paid for is written down
                self._error, self.failed_at = error, time.monotonic()
                self._on_fault(FatalModelError(f"{_refusal(self._ledger, error)}; no further call is sent"))
        self._beside.write(
            [UnkeptCall(encode_call(*call, self._provider_name, self._price), self._use) for call in calls]
        )

    def _whereabouts(self) -> str:
        """Where the outcomes are that the ledger did not take, and what to do."""
        beside, places = self._beside, " and ".join(str(path) for path in self._beside.paths)
        message = f"no further call was sent. {beside.n_written} replies that came are in {places}:"
        message += " make room and run again, the next run takes them in (or: advcluster ledger import FILE)"
        if beside.n_lost:
            message += f"; {beside.n_lost} replies could be written nowhere and will be asked for again"
        return message


def _refusal(ledger: Ledger, error: Exception) -> str:
    return f"ledger {ledger} cannot keep replies: {fault_of(error)}"


def storable(outcome: Outcome) -> Outcome:
    """The outcome without lone surrogates: JSON can carry them, but no file, table or later request."""
    clean: dict[str, Any] = {
        name: value.encode("utf-8", "replace").decode("utf-8")
        for name, value in vars(outcome).items()
        if isinstance(value, str)
    }
    return replace(outcome, **clean)

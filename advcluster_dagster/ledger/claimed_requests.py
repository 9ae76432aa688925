"""Requests of a step as a lazy sequence for its provider, each claimed before it is handed over."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar, overload

from advcluster_dagster.ledger.call_claims import CallClaims
from advcluster_dagster.models.protocol import ChatRequest, EmbeddingRequest

Q = TypeVar("Q", ChatRequest, EmbeddingRequest)
R = TypeVar("R")

#: Requests claimed per transaction: about as many as a step has in flight.
_CLAIMED_AT_ONCE = 32


class ClaimedRequests(Sequence[Q], Generic[Q]):
    """The requests that no other process has claimed, claimed lazily on access; ``len`` claims them all. Thread-safe.

    ``held`` lists requests claimed by other processes, ``answered`` the ids of requests answered meanwhile.

    Args:
        requests: distinct requests without an answer.
        claims: claims of this step.
    """

    def __init__(self, requests: Sequence[Q], claims: CallClaims) -> None:
        self.held: list[Q] = []
        self.answered: list[str] = []
        self._claims = claims
        self._reached: list[Q] = []
        self._claimed: deque[Q] = deque()
        self._left: deque[Q] = deque(requests)
        self._end: Exception | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Q]:
        return _Reader(self.reach, self._reached)

    def __len__(self) -> int:
        while self.reach(len(self._reached)):
            pass
        return len(self._reached)

    @overload
    def __getitem__(self, index: int) -> Q: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Q]: ...
    def __getitem__(self, index: int | slice) -> Q | Sequence[Q]:
        if isinstance(index, slice) or index < 0:
            len(self)
        else:
            self.reach(index)
        return self._reached[index]

    @property
    def reached(self) -> Sequence[Q]:
        """The requests handed over so far; providers answer by their index in this sequence."""
        return self._reached

    def stop(self, error: Exception) -> None:
        """Hand over no more requests; accessing the next one raises the error."""
        self._end = error

    def reach(self, index: int) -> bool:
        """Hand over the requests up to an index; return False if there are fewer.

        Raises:
            Exception: the error given to :meth:`stop`, or the claim cannot be written.
        """
        with self._lock:
            while index >= len(self._reached):
                if self._end is not None:
                    raise self._end
                while self._left and not self._claimed:
                    self._claim()
                if not self._claimed:
                    return False
                self._reached.append(self._claimed.popleft())
        return True

    def _claim(self) -> None:
        group = [self._left.popleft() for _ in range(min(_CLAIMED_AT_ONCE, len(self._left)))]
        claimed = self._claims.take([request.call_id for request in group])
        self._claimed.extend(request for request in group if request.call_id in claimed.granted)
        self.answered += claimed.answered
        known = claimed.granted | claimed.answered
        self.held += [request for request in group if request.call_id not in known]


class _Reader(Iterator[R]):
    """Iterator over the requests; raises the stop error, if any, instead of ending."""

    def __init__(self, reach: Callable[[int], bool], reached: Sequence[R]) -> None:
        self._reach = reach
        self._reached = reached
        self._place = 0

    def __next__(self) -> R:
        if not self._reach(self._place):
            raise StopIteration
        self._place += 1
        return self._reached[self._place - 1]

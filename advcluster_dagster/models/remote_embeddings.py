"""Embeddings over a connection, independent of the vendor's wire format."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, islice, pairwise
from statistics import mode
from typing import Any, Generic, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt

from advcluster_dagster.models.connection import Connection
from advcluster_dagster.models.faults import UnreadableReplyError
from advcluster_dagster.models.protocol import CallFailure, EmbeddingReply, EmbeddingRequest, approximate_tokens

C = TypeVar("C", bound=Connection)
Vector = npt.NDArray[np.float32]
Jobs = list[tuple[int, EmbeddingRequest]]
Outcomes = dict[int, EmbeddingReply | CallFailure]

#: Failures of a batch that a single text in it can cause.
_OF_ONE_TEXT = {"bad_request", "bad_vector", "connection_lost", "content_filter", "server_error", "unreadable_reply"}
#: Consecutive failed calls after which the server is suspected to be down.
_MOST_FAILED_IN_A_ROW = 16
#: Single texts sent per probing round, to tell bad texts from a server that is down.
_MOST_PROBES = 8
#: Rounds without an answer after which the server counts as down.
_MOST_ROUNDS = 4
_GOLDEN_RATIO = 0.618034


@dataclass(frozen=True)
class _Piece:
    """Texts sent in one call, and their earlier failures by index."""

    jobs: Jobs
    failures: dict[int, CallFailure] = field(default_factory=dict)

    @property
    def known_reason(self) -> str | None:
        """Reason of the earlier failure; None if the texts were not sent before."""
        return next((failure.reason for failure in self.failures.values()), None)

    def outcome(self, index: int, new: EmbeddingReply | CallFailure) -> EmbeddingReply | CallFailure:
        """The outcome of a text; an earlier ``bad_vector`` failure is kept, being more specific than a failed call."""
        before = self.failures.get(index)
        return before if isinstance(new, CallFailure) and before and before.reason == "bad_vector" else new


class _Pieces:
    """Iterator over batches; pieces added for a repeat come first."""

    def __init__(self, batches: Iterator[Jobs]) -> None:
        self._batches = batches
        self._again: deque[_Piece] = deque()

    def __iter__(self) -> "_Pieces":
        return self

    def __next__(self) -> _Piece:
        return self._again.popleft() if self._again else _Piece(next(self._batches))

    def add(self, jobs: Jobs, failures: dict[int, CallFailure]) -> None:
        """Add a piece to be sent again."""
        self._again.append(_Piece(jobs, failures))


class RemoteEmbedder(ABC, Generic[C]):
    """An :class:`~advcluster_dagster.models.protocol.EmbeddingProvider` over a connection.

    Texts are sent in batches. Batches that fail for a reason that one text can cause are bisected until the bad text is
    alone: at most twice as many calls as the batch has texts.

    Bisection is bounded while the server may be down. Before the first answered call of the step, and after 16 failed
    calls in a row, a batch is halved only if one of up to 8 of its texts is answered when sent alone; after four such
    rounds without an answer, nothing is halved until a call is answered. An outage thus costs at most 64 calls beyond
    one per batch and the calls in flight when it begins.

    All vectors of a model must have the requested length, else the most frequent length in the first batch received.
    """

    #: Maximum number of texts per call.
    texts_per_call: int

    def __init__(self, connection: C) -> None:
        self.connection = connection
        self._n_numbers: dict[tuple[str, int | None], int] = {}
        self._pieces = _Pieces(iter(()))
        self._n_failed_in_a_row = _MOST_FAILED_IN_A_ROW  # until the first answer the server may be down
        self._n_rounds = 0
        self._probing = asyncio.Lock()

    @abstractmethod
    async def send(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> tuple[list[Sequence[float] | None], int | None]:
        """Send one call; return a list of numbers per text, in order, and the tokens used."""

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Iterator[tuple[int, EmbeddingReply | CallFailure]]:
        """Yield (index, outcome) as batches finish; see the protocol."""
        self._pieces = _Pieces(_batches(requests, self.texts_per_call))
        for outcomes in self.connection.run(self._pieces, self._ask):
            yield from outcomes.items()

    def stop(self) -> None:
        """Stop sending; calls in flight get a short time to end."""
        self.connection.stop()

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    async def _ask(self, piece: _Piece) -> Outcomes:
        """Return final outcomes; texts to send again are added to the pieces."""
        outcomes = await self._outcomes(piece)
        failed = {index: outcome for index, outcome in outcomes.items() if _may_be_of_one_text(outcome)}
        if failed and len(piece.jobs) > 1:
            jobs = [job for job in piece.jobs if job[0] in failed]
            again = await self._to_ask_again(jobs, outcomes)
            middle = len(again) // 2 if len(again) == len(piece.jobs) else 0
            for part in filter(None, (again[:middle], again[middle:])):
                self._pieces.add(part, {index: failed[index] for index, _ in part})
                for index, _ in part:
                    del outcomes[index]
        return outcomes

    async def _to_ask_again(self, failed: Jobs, outcomes: Outcomes) -> Jobs:
        """The failed texts of a piece to send again; none if the server seems to be down.

        When in doubt, single texts are sent here as probes; their outcomes are final and added to ``outcomes``.
        """
        async with self._probing:
            if self._n_failed_in_a_row < _MOST_FAILED_IN_A_ROW:
                return failed
            if self._n_rounds >= _MOST_ROUNDS:
                return []
            remaining = list(failed)
            for number in range(min(_MOST_PROBES, len(failed))):
                job = remaining.pop(int(len(remaining) * (number * _GOLDEN_RATIO % 1)))  # scattered, to avoid patterns
                before = outcomes[job[0]]
                known = {job[0]: before} if isinstance(before, CallFailure) else {}
                outcomes |= await self._outcomes(_Piece([job], known))
                if self._n_failed_in_a_row == 0:
                    return remaining
            self._n_rounds += 1
            return []

    async def _outcomes(self, piece: _Piece) -> Outcomes:
        """Send a piece's texts in one call and return their outcomes."""
        requests = [request for _, request in piece.jobs]
        expected = int(approximate_tokens(sum(len(request.text) for request in requests)))
        outcome = await self._paid(requests, expected, piece.known_reason)
        replies: Sequence[EmbeddingReply | CallFailure] = [outcome] * len(requests)  # type: ignore[list-item]
        if not isinstance(outcome, CallFailure):
            replies, n_tokens = outcome
            self.connection.gate.correct_tokens(expected, n_tokens)
        if any(isinstance(reply, EmbeddingReply) for reply in replies):
            self._n_failed_in_a_row = self._n_rounds = 0
        else:
            self._n_failed_in_a_row += 1
        return {index: piece.outcome(index, reply) for (index, _), reply in zip(piece.jobs, replies, strict=True)}

    async def _paid(
        self, requests: Sequence[EmbeddingRequest], n_expected: int, known_reason: str | None
    ) -> tuple[list[EmbeddingReply | CallFailure], int | None] | CallFailure:
        """Make one transport call under the budget."""
        budget = self.connection.budget
        async with budget.spend(lambda: budget.expected_prompt(n_expected), self.connection.is_stopped) as reservation:

            async def call() -> tuple[list[EmbeddingReply | CallFailure], int | None]:
                reservation.sent()
                return await self._call(requests)

            outcome = await self.connection.attempt(requests[0].model, call, n_expected, known_reason)
            if isinstance(outcome, CallFailure):
                budget.charge(reservation, outcome)
            else:
                budget.charge_tokens(reservation, outcome[1])
        return outcome

    async def _call(
        self, requests: Sequence[EmbeddingRequest]
    ) -> tuple[list[EmbeddingReply | CallFailure], int | None]:
        model, dimensions = requests[0].model, requests[0].dimensions
        numbers, n_tokens = await self.send(model, [request.text for request in requests], dimensions)
        if len(numbers) != len(requests):
            raise UnreadableReplyError(f"{len(numbers)} embeddings for {len(requests)} texts")
        vectors = [_as_vector(values) for values in numbers]
        lengths = [len(vector) for vector in vectors if vector is not None]
        if not lengths:
            raise UnreadableReplyError("no vector: all are null, empty or not lists of numbers")
        tokens = _share_out(n_tokens, [len(request.text) for request in requests])
        expected = self._n_numbers.setdefault((model, dimensions), dimensions or mode(lengths))
        return [_checked(vector, expected, n) for vector, n in zip(vectors, tokens, strict=True)], n_tokens


def whole_number(value: object, name: str) -> int | None:
    """A count in a server's response; None if absent or not a non-negative 32-bit integer."""
    member = getattr(value, name, None)
    return member if isinstance(member, int) and 0 <= member < 2**31 else None


def _may_be_of_one_text(outcome: EmbeddingReply | CallFailure) -> TypeGuard[CallFailure]:
    return isinstance(outcome, CallFailure) and outcome.reason in _OF_ONE_TEXT


def _as_vector(numbers: Any) -> Vector | None:
    """Vector as float32 of shape (d,), d >= 1; None if the value is not a list of numbers."""
    try:
        with np.errstate(over="ignore"):  # values beyond float32 become infinite and are rejected later
            vector = np.asarray(numbers, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        return None
    return vector if vector.ndim == 1 and len(vector) else None


def _checked(vector: Vector | None, expected: int, n_tokens: int | None) -> EmbeddingReply | CallFailure:
    if vector is None:
        return CallFailure("bad_vector", "the vector is null, empty or not a list of numbers")
    if len(vector) != expected:
        return CallFailure("bad_vector", f"the vector has {len(vector)} numbers, not {expected}")
    if not np.isfinite(vector).all():
        return CallFailure("bad_vector", "the vector contains NaN or infinite numbers")
    if not vector.any():
        return CallFailure("bad_vector", "the vector contains only zeros")
    return EmbeddingReply(vector, n_tokens)


def _batches(requests: Iterable[EmbeddingRequest], most: int) -> Iterator[list[tuple[int, EmbeddingRequest]]]:
    """Yield transport batches of (index, request) lazily, each of one model and vector length."""
    for _, jobs in groupby(enumerate(requests), key=lambda job: (job[1].model, job[1].dimensions)):
        while batch := list(islice(jobs, most)):
            yield batch


def _share_out(n_tokens: int | None, lengths: Sequence[int]) -> list[int | None]:
    """Distribute a batch's tokens over its texts by length; the shares are estimates, their sum is exact."""
    if n_tokens is None:
        return [None] * len(lengths)
    bounds = [0, *(n_tokens * so_far // max(sum(lengths), 1) for so_far in accumulate(lengths))]
    bounds[-1] = n_tokens
    return [after - before for before, after in pairwise(bounds)]

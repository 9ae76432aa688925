"""Embeddings over a connection, whatever the vendor's wire format."""

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

#: Failures that one text can bring upon its whole batch.
_OF_ONE_TEXT = {"bad_request", "bad_vector", "connection_lost", "content_filter", "server_error", "unreadable_reply"}
#: Calls that failed one after the other from which on the server itself is doubted.
_MOST_FAILED_IN_A_ROW = 16
#: Single texts asked in one round, to tell texts that spoil their batch from a server that answers nothing.
_MOST_PROBES = 8
#: Rounds without an answer after which the server counts as down.
_MOST_ROUNDS = 4
_GOLDEN_RATIO = 0.618034


@dataclass(frozen=True)
class _Piece:
    """Texts that go together, and the failures they ended in before, by index."""

    jobs: Jobs
    failures: dict[int, CallFailure] = field(default_factory=dict)

    @property
    def known_reason(self) -> str | None:
        """Why the texts failed before; None where they were not asked yet."""
        return next((failure.reason for failure in self.failures.values()), None)

    def outcome(self, index: int, new: EmbeddingReply | CallFailure) -> EmbeddingReply | CallFailure:
        """The new outcome of a text, but what was wrong with its own vector tells more than a call that failed."""
        before = self.failures.get(index)
        return before if isinstance(new, CallFailure) and before and before.reason == "bad_vector" else new


class _Pieces:
    """Batches as they are pulled, and what was added of them to be asked again, which goes first."""

    def __init__(self, batches: Iterator[Jobs]) -> None:
        self._batches = batches
        self._again: deque[_Piece] = deque()

    def __iter__(self) -> "_Pieces":
        return self

    def __next__(self) -> _Piece:
        return self._again.popleft() if self._again else _Piece(next(self._batches))

    def add(self, jobs: Jobs, failures: dict[int, CallFailure]) -> None:
        """Add a piece to be asked again."""
        self._again.append(_Piece(jobs, failures))


class RemoteEmbedder(ABC, Generic[C]):
    """An :class:`~advcluster_dagster.models.protocol.EmbeddingProvider` over a connection.

    Texts go out in batches. Those that got no vector for a reason that can lie in one of them are asked again in
    halves, until the bad text stands alone: at most twice as many calls as the batch has texts.

    A server that answers nothing is not asked much more for it. While no call of the step was answered yet, and after
    16 failed calls in a row, a batch is halved only if one of up to 8 of its texts is answered when asked alone; after
    four such rounds without an answer nothing is halved until a call is answered again. An outage so costs at most 64
    calls beyond one a batch and those in flight when it begins.

    The vectors of one model all have the length asked for, else the one most frequent in the first batch that came.
    """

    #: How many texts the vendor takes in one call.
    texts_per_call: int

    def __init__(self, connection: C) -> None:
        self.connection = connection
        self._n_numbers: dict[tuple[str, int | None], int] = {}
        self._pieces = _Pieces(iter(()))
        self._n_failed_in_a_row = _MOST_FAILED_IN_A_ROW  # nothing was answered yet
        self._n_rounds = 0
        self._probing = asyncio.Lock()

    @abstractmethod
    async def send(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> tuple[list[Sequence[float] | None], int | None]:
        """Send one call: lists of numbers in the order of the texts, and the tokens they took."""

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Iterator[tuple[int, EmbeddingReply | CallFailure]]:
        """Yield (index, outcome) as batches finish; see the protocol."""
        self._pieces = _Pieces(_batches(requests, self.texts_per_call))
        for outcomes in self.connection.run(self._pieces, self._ask):
            yield from outcomes.items()

    def stop(self) -> None:
        """Send nothing more; calls in flight have a moment to end."""
        self.connection.stop()

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    async def _ask(self, piece: _Piece) -> Outcomes:
        """Outcomes that are final; texts to ask again are added to the pieces."""
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
        """Which of the failed texts of a piece to ask again: none where the server answers nothing else either.

        In doubt single ones are asked here; their outcomes are final.
        """
        async with self._probing:
            if self._n_failed_in_a_row < _MOST_FAILED_IN_A_ROW:
                return failed
            if self._n_rounds >= _MOST_ROUNDS:
                return []
            left = list(failed)
            for number in range(min(_MOST_PROBES, len(failed))):
                job = left.pop(int(len(left) * (number * _GOLDEN_RATIO % 1)))  # scattered, so as to meet no pattern
                before = outcomes[job[0]]
                known = {job[0]: before} if isinstance(before, CallFailure) else {}
                outcomes |= await self._outcomes(_Piece([job], known))
                if self._n_failed_in_a_row == 0:
                    return left
            self._n_rounds += 1
            return []

    async def _outcomes(self, piece: _Piece) -> Outcomes:
        """Outcomes of a piece's texts, asked for in one call."""
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
        """One transport call under the caps."""
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
        vectors = [_as_vector(given) for given in numbers]
        lengths = [len(vector) for vector in vectors if vector is not None]
        if not lengths:
            raise UnreadableReplyError("no vector: each is null, empty or no list of numbers")
        tokens = _share_out(n_tokens, [len(request.text) for request in requests])
        expected = self._n_numbers.setdefault((model, dimensions), dimensions or mode(lengths))
        return [_checked(vector, expected, n) for vector, n in zip(vectors, tokens, strict=True)], n_tokens


def whole_number(value: object, name: str) -> int | None:
    """A count that a server gives, None where it is none."""
    member = getattr(value, name, None)
    return member if isinstance(member, int) and 0 <= member < 2**31 else None


def _may_be_of_one_text(outcome: EmbeddingReply | CallFailure) -> TypeGuard[CallFailure]:
    return isinstance(outcome, CallFailure) and outcome.reason in _OF_ONE_TEXT


def _as_vector(numbers: Any) -> Vector | None:
    """float32 of shape (d,), d >= 1; None for what is no list of numbers."""
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused
            vector = np.asarray(numbers, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        return None
    return vector if vector.ndim == 1 and len(vector) else None


def _checked(vector: Vector | None, expected: int, n_tokens: int | None) -> EmbeddingReply | CallFailure:
    if vector is None:
        return CallFailure("bad_vector", "the vector is null, empty or no list of numbers")
    if len(vector) != expected:
        return CallFailure("bad_vector", f"the vector has {len(vector)} numbers, not {expected}")
    if not np.isfinite(vector).all():
        return CallFailure("bad_vector", "the vector holds NaN or infinite numbers")
    if not vector.any():
        return CallFailure("bad_vector", "the vector holds zeros only, so it has no direction")
    return EmbeddingReply(vector, n_tokens)


def _batches(requests: Iterable[EmbeddingRequest], most: int) -> Iterator[list[tuple[int, EmbeddingRequest]]]:
    """Requests with their indices in transport batches, each of one model and vector length, as they are pulled."""
    for _, jobs in groupby(enumerate(requests), key=lambda job: (job[1].model, job[1].dimensions)):
        while batch := list(islice(jobs, most)):
            yield batch


def _share_out(n_tokens: int | None, lengths: Sequence[int]) -> list[int | None]:
    """A batch's tokens over its texts by their length; the shares are estimates, their sum is exact."""
    if n_tokens is None:
        return [None] * len(lengths)
    bounds = [0, *(n_tokens * so_far // max(sum(lengths), 1) for so_far in accumulate(lengths))]
    bounds[-1] = n_tokens
    return [after - before for before, after in pairwise(bounds)]

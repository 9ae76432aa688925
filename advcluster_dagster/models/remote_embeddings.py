"""Embeddings through a connection: what is the same for every vendor's wire format.

Here: batches of texts, the text that spoils a batch, what a usable vector is. Not here: the formats themselves
(``openai_compatible``, ``google_genai``), retries (``connection``).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby, islice, pairwise
from statistics import mode
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from advcluster_dagster.models.connection import Connection, UnreadableReplyError
from advcluster_dagster.models.protocol import CallFailure, EmbeddingReply, EmbeddingRequest

C = TypeVar("C", bound=Connection)
Vector = npt.NDArray[np.float32]


class RemoteEmbedder(ABC, Generic[C]):
    """An :class:`~advcluster_dagster.models.protocol.EmbeddingProvider` over a connection.

    Texts go out in batches; a batch that the server calls bad is halved until the bad text stands alone. The vectors of
    one model all have the length asked for, else the one most frequent in the first batch that came.
    """

    #: How many texts the vendor takes in one call.
    texts_per_call: int

    def __init__(self, connection: C) -> None:
        self.connection = connection
        self._n_numbers: dict[tuple[str, int | None], int] = {}

    @abstractmethod
    async def send(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> tuple[list[Sequence[float]], int | None]:
        """Send one call: lists of numbers in the order of the texts, and the tokens they took."""

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Iterator[tuple[int, EmbeddingReply | CallFailure]]:
        """Yield (index, outcome) as batches finish; see the protocol."""
        for outcomes in self.connection.run(_batches(requests, self.texts_per_call), self._ask):
            yield from outcomes

    def stop(self) -> None:
        """Send nothing more; calls in flight have a moment to end."""
        self.connection.stop()

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    async def _ask(self, batch: list[tuple[int, EmbeddingRequest]]) -> list[tuple[int, EmbeddingReply | CallFailure]]:
        requests = [request for _, request in batch]
        expected = sum(len(request.text) for request in requests) // 4
        outcome = await self._paid(requests, expected)
        if not isinstance(outcome, CallFailure):
            replies, n_tokens = outcome
            self.connection.gate.correct_tokens(expected, n_tokens)
            return [(index, reply) for (index, _), reply in zip(batch, replies, strict=True)]
        if outcome.reason == "bad_request" and len(batch) > 1:
            middle = len(batch) // 2
            return [*await self._ask(batch[:middle]), *await self._ask(batch[middle:])]
        return [(index, outcome) for index, _ in batch]

    async def _paid(
        self, requests: Sequence[EmbeddingRequest], n_expected: int
    ) -> tuple[list[EmbeddingReply | CallFailure], int | None] | CallFailure:
        """One transport call under the caps."""
        async with self.connection.purse.pay(lambda spending: spending.expected_prompt(n_expected)) as bill:

            async def call() -> tuple[list[EmbeddingReply | CallFailure], int | None]:
                bill.sent()
                return await self._call(requests)

            outcome = await self.connection.attempt(requests[0].model, call, n_expected)
            if isinstance(outcome, CallFailure):
                self.connection.purse.charge(bill, outcome)
            else:
                self.connection.purse.charge_tokens(bill, outcome[1])
        return outcome

    async def _call(
        self, requests: Sequence[EmbeddingRequest]
    ) -> tuple[list[EmbeddingReply | CallFailure], int | None]:
        model, dimensions = requests[0].model, requests[0].dimensions
        numbers, n_tokens = await self.send(model, [request.text for request in requests], dimensions)
        if len(numbers) != len(requests):
            raise UnreadableReplyError(f"{len(numbers)} embeddings for {len(requests)} texts")
        vectors = [_as_vector(given) for given in numbers]
        tokens = _share_out(n_tokens, [len(request.text) for request in requests])
        usual = dimensions or mode(len(vector) for vector in vectors)
        expected = self._n_numbers.setdefault((model, dimensions), usual)
        return [_checked(vector, expected, n) for vector, n in zip(vectors, tokens, strict=True)], n_tokens


def whole_number(value: object, name: str) -> int | None:
    """A count that a server gives, None where it is none."""
    found = getattr(value, name, None)
    return found if isinstance(found, int) and 0 <= found < 2**31 else None


def _as_vector(numbers: Any) -> Vector:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused
        vector = np.asarray(numbers, dtype=np.float32)
    if vector.ndim != 1 or not len(vector):
        raise UnreadableReplyError("an embedding is not a list of numbers")
    return vector


def _checked(vector: Vector, expected: int, n_tokens: int | None) -> EmbeddingReply | CallFailure:
    if len(vector) != expected:
        return CallFailure("bad_vector", f"the vector has {len(vector)} numbers, not {expected}")
    if not np.isfinite(vector).all():
        return CallFailure("bad_vector", "the vector holds NaN or infinite numbers")
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

"""Chat through a connection: what is the same for every vendor's wire format.

Here: the calls of a step, limits on tokens, and what a server turns out not to take. Not here: the formats themselves
(``openai_compatible``, ``google_genai``), retries (``connection``).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from advcluster_dagster.models.connection import Connection
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest

C = TypeVar("C", bound=Connection)


@dataclass(frozen=True)
class WireForm:
    """What a server was found to take; it holds for the rest of the step.

    ``has_schema``: a JSON schema for structured output; without it the reply is plain text, which is checked anyway.
    ``limit_name``: the setting that limits the completion's length, where the one asked for is not known there.
    """

    has_schema: bool = True
    limit_name: str | None = None


class RemoteChat(ABC, Generic[C]):
    """A :class:`~advcluster_dagster.models.protocol.ChatProvider` over a connection.

    A server that refuses a schema, or the name of a setting, gets none, or the other name, for the rest of the step.
    """

    #: The SDK's errors for a request that the server does not take as it is.
    refusals: tuple[type[Exception], ...]

    def __init__(self, connection: C) -> None:
        self.connection = connection
        self.form = WireForm()
        self._n_replies = 0
        self._n_completion_tokens = 0

    @abstractmethod
    async def send(self, request: ChatRequest, form: WireForm) -> ChatReply | CallFailure:
        """Send one call."""

    @abstractmethod
    def learn(self, said: str, request: ChatRequest, form: WireForm) -> WireForm | None:
        """The form to try next after a refusal in these words; None where another form would not help."""

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        """Yield (index, outcome) as calls finish; see the protocol."""
        jobs = enumerate(requests)
        return self.connection.run(list(jobs) if isinstance(requests, list) else jobs, self._ask)

    def stop(self) -> None:
        """Send nothing more; calls in flight have a moment to end."""
        self.connection.stop()

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    async def _ask(self, job: tuple[int, ChatRequest]) -> tuple[int, ChatReply | CallFailure]:
        index, request = job
        expected = self._expected_tokens(request)
        async with self.connection.purse.pay(lambda spending: spending.expected_chat(request)) as bill:

            async def call() -> ChatReply | CallFailure:
                bill.sent()
                return await self._call(request)

            outcome = await self.connection.attempt(request.model, call, expected)
            self.connection.purse.charge(bill, outcome)
        if isinstance(outcome, ChatReply):
            self._note_tokens(outcome, expected)
            outcome = self.without_key(outcome)
        return index, outcome

    async def _call(self, request: ChatRequest) -> ChatReply | CallFailure:
        while True:
            form = self.form
            try:
                return await self.send(request, form)
            except self.refusals as error:
                learned = self.learn(str(error).lower(), request, form)
                if learned is None:
                    raise
                self.form = learned

    def without_key(self, reply: ChatReply) -> ChatReply:
        """The reply without the key that a server may echo."""
        reasoning = reply.reasoning and self.connection.without_key(reply.reasoning)
        return replace(reply, text=self.connection.without_key(reply.text), reasoning=reasoning)

    def _expected_tokens(self, request: ChatRequest) -> int:
        """Four characters a prompt token, and the mean completion so far."""
        n_characters = sum(len(message.content) for message in request.messages)
        return n_characters // 4 + self._n_completion_tokens // max(self._n_replies, 1)

    def _note_tokens(self, reply: ChatReply, expected: int) -> None:
        if reply.prompt_tokens is not None and reply.completion_tokens is not None:
            self._n_replies += 1
            self._n_completion_tokens += reply.completion_tokens
            self.connection.gate.correct_tokens(expected, reply.prompt_tokens + reply.completion_tokens)


def without_schema(said: str, words: Sequence[str], request: ChatRequest, form: WireForm) -> WireForm | None:
    """The form without a schema, where one was sent and the refusal speaks of it."""
    is_about = any(word in said for word in words)
    return (
        replace(form, has_schema=False) if form.has_schema and request.reply_schema is not None and is_about else None
    )

"""Chat over a connection, whatever the vendor's wire format."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from advcluster_dagster.models.connection import Connection
from advcluster_dagster.models.faults import StatusFault
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, approximate_tokens

C = TypeVar("C", bound=Connection)

#: How servers and vendors call structured output.
_STRUCTURED_OUTPUT = re.compile(
    r"json[\s_-]?(?:schema|object|mode)|response[\s_-]?(?:format|mime[\s_-]?type|(?:json[\s_-]?)?schema)"
    r"|(?:guided|constrained)[\s_-]?(?:json|decoding|grammar|generation)|structured[\s_-]?(?:output|generation)"
    r"|\bgrammars?\b"
)


SCHEMA_REFUSED = "refused by the server: replies were asked for as plain text, and checked as any other"


@dataclass(frozen=True)
class WireForm:
    """What a server was found to take; it holds for the rest of the step.

    ``has_schema``: a JSON schema for structured output; without it the reply is plain text, which is checked anyway.
    ``limit_name``: the setting that limits the completion's length, where the one asked for is not known there.
    """

    has_schema: bool = True
    limit_name: str | None = None

    def merged(self, other: "WireForm") -> "WireForm":
        """What both forms leave out or rename: calls that are sent side by side learn different things."""
        return WireForm(self.has_schema and other.has_schema, self.limit_name or other.limit_name)


class RemoteChat(ABC, Generic[C]):
    """A :class:`~advcluster_dagster.models.protocol.ChatProvider` over a connection.

    A server that refuses a schema, or the name of a setting, gets none, or the other name, for the rest of the step.
    """

    def __init__(self, connection: C) -> None:
        self.connection = connection
        self.form = WireForm()
        self._n_replies = 0
        self._n_completion_tokens = 0

    @property
    def facts(self) -> dict[str, str]:
        """What a step's metadata says of the server: that it refused a schema, if it did."""
        return {} if self.form.has_schema else {"structured_output": SCHEMA_REFUSED}

    @abstractmethod
    async def send(self, request: ChatRequest, form: WireForm) -> ChatReply | CallFailure:
        """Send one call."""

    def learn(self, fault: StatusFault, request: ChatRequest, form: WireForm) -> bool:
        """Take from a server's words what it does not take, for the rest of the step.

        Args:
            fault: the answer to the request.
            request: what was asked.
            form: how it was sent.

        Returns:
            Whether the request is worth another try, in a form that differs from the one it was sent in.
        """
        learned = self.next_form(fault.message.lower(), request, form) if fault.may_be_about_form else None
        if learned is not None:
            self.form = self.form.merged(learned)
        return learned is not None

    def next_form(self, words: str, request: ChatRequest, form: WireForm) -> WireForm | None:
        """The form to try after a refusal in these words, in lower case; None where another form would not help."""
        return without_schema(words, request, form)

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
        budget = self.connection.budget
        async with budget.spend(lambda: budget.expected_chat(request), self.connection.is_stopped) as reservation:

            async def call() -> ChatReply | CallFailure:
                reservation.sent()
                return await self._call(request)

            outcome = await self.connection.attempt(request.model, call, expected)
            budget.charge(reservation, outcome)
        if isinstance(outcome, ChatReply):
            self._note_tokens(outcome, expected)
            outcome = self.without_key(outcome)
        return index, outcome

    async def _call(self, request: ChatRequest) -> ChatReply | CallFailure:
        while True:
            form = self.form
            try:
                return await self.send(request, form)
            except self.connection.faults as error:
                fault = self.connection.status_fault(error)
                if fault is None or not self.learn(fault, request, form):
                    raise

    def without_key(self, reply: ChatReply) -> ChatReply:
        """The reply without the key that a server may echo."""
        reasoning = reply.reasoning and self.connection.without_key(reply.reasoning)
        return replace(reply, text=self.connection.without_key(reply.text), reasoning=reasoning)

    def _expected_tokens(self, request: ChatRequest) -> int:
        """Four characters a prompt token, and the mean completion so far."""
        n_characters = sum(len(message.content) for message in request.messages)
        return int(approximate_tokens(n_characters)) + self._n_completion_tokens // max(self._n_replies, 1)

    def _note_tokens(self, reply: ChatReply, expected: int) -> None:
        if reply.prompt_tokens is not None and reply.completion_tokens is not None:
            self._n_replies += 1
            self._n_completion_tokens += reply.completion_tokens
            self.connection.gate.correct_tokens(expected, reply.prompt_tokens + reply.completion_tokens)


def without_schema(words: str, request: ChatRequest, form: WireForm) -> WireForm | None:
    """The form without a schema, where one was sent and the refusal speaks of it."""
    is_sent = form.has_schema and request.reply_schema is not None
    return replace(form, has_schema=False) if is_sent and _STRUCTURED_OUTPUT.search(words) else None

"""Chat over a connection, independent of the vendor's wire format."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from advcluster_dagster.models.connection import Connection
from advcluster_dagster.models.faults import StatusFault
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, approximate_tokens

C = TypeVar("C", bound=Connection)

#: Names that servers and vendors use for structured output.
_STRUCTURED_OUTPUT = re.compile(
    r"json[\s_-]?(?:schema|object|mode)|response[\s_-]?(?:format|mime[\s_-]?type|(?:json[\s_-]?)?schema)"
    r"|(?:guided|constrained)[\s_-]?(?:json|decoding|grammar|generation)|structured[\s_-]?(?:output|generation)"
    r"|\bgrammars?\b"
)


SCHEMA_REFUSED = "refused by the server: replies were requested as plain text and validated as usual"


@dataclass(frozen=True)
class WireForm:
    """Request form that a server accepts, learned from its refusals; applies for the rest of the step.

    ``has_schema``: send the JSON schema for structured output; without it, replies are plain text, validated as usual.
    ``limit_name``: name of the completion length setting to send instead of the study's; None to keep it.
    """

    has_schema: bool = True
    limit_name: str | None = None

    def merged(self, other: "WireForm") -> "WireForm":
        """Combine the restrictions of both forms, because concurrent calls may learn different ones."""
        return WireForm(self.has_schema and other.has_schema, self.limit_name or other.limit_name)


class RemoteChat(ABC, Generic[C]):
    """A :class:`~advcluster_dagster.models.protocol.ChatProvider` over a connection.

    After a server refused the schema or a setting's name, the rest of the step omits the schema or uses the other name.
    """

    def __init__(self, connection: C) -> None:
        self.connection = connection
        self.form = WireForm()
        self._n_replies = 0
        self._n_completion_tokens = 0

    @property
    def facts(self) -> dict[str, str]:
        """Facts for the step's metadata: whether the server refused a schema."""
        return {} if self.form.has_schema else {"structured_output": SCHEMA_REFUSED}

    @abstractmethod
    async def send(self, request: ChatRequest, form: WireForm) -> ChatReply | CallFailure:
        """Send one call."""

    def learn(self, fault: StatusFault, request: ChatRequest, form: WireForm) -> bool:
        """Learn from a server's refusal which request form to use for the rest of the step.

        Args:
            fault: the server's answer.
            request: the request refused.
            form: the form in which it was sent.

        Returns:
            Whether to retry the request, in a different form.
        """
        learned = self.next_form(fault.message.lower(), request, form) if fault.may_be_about_form else None
        if learned is not None:
            self.form = self.form.merged(learned)
        return learned is not None

    def next_form(self, words: str, request: ChatRequest, form: WireForm) -> WireForm | None:
        """The form to try after a refusal with this lower-case message; None if no other form would help."""
        return without_schema(words, request, form)

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        """Yield (index, outcome) as calls finish; see the protocol."""
        jobs = enumerate(requests)
        return self.connection.run(list(jobs) if isinstance(requests, list) else jobs, self._ask)

    def stop(self) -> None:
        """Stop sending; calls in flight get a short time to end."""
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
        """Mask the API key in a reply, in case the server echoes it."""
        reasoning = reply.reasoning and self.connection.without_key(reply.reasoning)
        return replace(reply, text=self.connection.without_key(reply.text), reasoning=reasoning)

    def _expected_tokens(self, request: ChatRequest) -> int:
        """Estimated tokens of a call: four characters per prompt token plus the mean completion so far."""
        n_characters = sum(len(message.content) for message in request.messages)
        return int(approximate_tokens(n_characters)) + self._n_completion_tokens // max(self._n_replies, 1)

    def _note_tokens(self, reply: ChatReply, expected: int) -> None:
        if reply.prompt_tokens is not None and reply.completion_tokens is not None:
            self._n_replies += 1
            self._n_completion_tokens += reply.completion_tokens
            self.connection.gate.correct_tokens(expected, reply.prompt_tokens + reply.completion_tokens)


def without_schema(words: str, request: ChatRequest, form: WireForm) -> WireForm | None:
    """The form without schema, if a schema was sent and the refusal mentions structured output; else None."""
    is_sent = form.has_schema and request.reply_schema is not None
    return replace(form, has_schema=False) if is_sent and _STRUCTURED_OUTPUT.search(words) else None

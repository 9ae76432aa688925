"""Chat and embeddings of OpenAI and every compatible server, through the OpenAI SDK.

Here: what is sent on the wire and what becomes of a reply. Not here: concurrency, retries and faults (``connection``),
what all vendors share (``remote_chat``, ``remote_embeddings``), batches (``openai_batches``), the ledger, prompts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import openai
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from advcluster_dagster.models.connection import UnreadableReplyError
from advcluster_dagster.models.openai_connection import OpenAIConnection
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest
from advcluster_dagster.models.remote_chat import RemoteChat, WireForm, without_schema
from advcluster_dagster.models.remote_embeddings import RemoteEmbedder, whole_number
from advcluster_dagster.settings.models import Provider

_STRUCTURED_OUTPUT_WORDS = ("response_format", "json_schema", "structured output")
#: Older and newer name of the same setting; servers know one or both.
_LIMIT_NAMES = ("max_tokens", "max_completion_tokens")


class OpenAICompatibleChat(RemoteChat[OpenAIConnection]):
    """Chat completions; sampling settings are sent as they are named, a ``reply_schema`` as strict structured output.

    Args:
        name: the provider's name in the study, for messages.
        settings: transport settings.

    Raises:
        FatalModelError: the key is missing.
    """

    refusals = (openai.BadRequestError, openai.UnprocessableEntityError)

    def __init__(self, name: str, settings: Provider) -> None:
        super().__init__(OpenAIConnection(name, settings))

    async def send(self, request: ChatRequest, form: WireForm) -> ChatReply | CallFailure:
        """Ask for one completion."""
        body = chat_body(request, form)
        completion = await self.connection.client.chat.completions.create(
            model=body.pop("model"),
            messages=cast(list[ChatCompletionMessageParam], body.pop("messages")),
            extra_body=body,
        )
        return read_completion(completion)

    def learn(self, said: str, request: ChatRequest, form: WireForm) -> WireForm | None:
        """The form to try next; see the base class."""
        return learn_form(said, request, form)


class OpenAICompatibleEmbedder(RemoteEmbedder[OpenAIConnection]):
    """The embeddings endpoint; arguments and errors as :class:`OpenAICompatibleChat`."""

    texts_per_call = 128

    def __init__(self, name: str, settings: Provider) -> None:
        super().__init__(OpenAIConnection(name, settings))

    async def send(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> tuple[list[Sequence[float]], int | None]:
        """Ask for the vectors of some texts."""
        response = await self.connection.client.embeddings.create(
            model=model, input=list(texts), dimensions=openai.omit if dimensions is None else dimensions
        )
        if not isinstance(response, CreateEmbeddingResponse) or len(response.data) != len(texts):
            raise UnreadableReplyError(
                f"not {len(texts)} embeddings: {getattr(response, 'error', None) or 'another count'}"
            )
        items = sorted(response.data, key=lambda item: item.index)
        if [item.index for item in items] != list(range(len(texts))):
            raise UnreadableReplyError(f"the embeddings' indices are not 0 to {len(texts) - 1}")
        return [item.embedding for item in items], whole_number(response.usage, "prompt_tokens")


def chat_body(request: ChatRequest, form: WireForm) -> dict[str, Any]:
    """The body of a chat completion request."""
    sampling = dict(request.sampling)
    for name in _LIMIT_NAMES:
        if form.limit_name and name in sampling:
            sampling[form.limit_name] = sampling.pop(name)
    body = {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        **sampling,
    }
    if request.reply_schema is not None and form.has_schema:
        schema = {"name": "reply", "schema": request.reply_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def learn_form(said: str, request: ChatRequest, form: WireForm) -> WireForm | None:
    """The form to try after a refusal: without schema, or with the other name of the limit; None where neither."""
    learned = without_schema(said, _STRUCTURED_OUTPUT_WORDS, request, form)
    if learned is None and form.limit_name is None:
        for sent, other in (_LIMIT_NAMES, _LIMIT_NAMES[::-1]):
            if sent in request.sampling and sent in said:
                return replace(form, limit_name=other)
    return learned


def read_completion(completion: ChatCompletion) -> ChatReply | CallFailure:
    """The reply in a completion; the SDK builds these from any JSON unchecked, so nothing about them is sure.

    Raises:
        UnreadableReplyError: it holds no reply.
    """
    if not isinstance(completion, ChatCompletion) or not completion.choices:
        raise UnreadableReplyError(f"not a chat completion: {getattr(completion, 'error', None) or 'no choices'}")
    choice = completion.choices[0]
    text = choice.message.content
    if not isinstance(text, str | None):
        raise UnreadableReplyError(f"content is {type(text).__name__}, not text")
    refusal = choice.message.refusal
    if not text and isinstance(refusal, str) and refusal:
        return CallFailure("refused", " ".join(refusal.split())[:300])
    if not text and choice.finish_reason == "content_filter":
        return CallFailure("content_filter", "the provider's content filter held the reply back")
    return ChatReply(
        text=text or "",
        reasoning=_text(choice.message, "reasoning_content") or _text(choice.message, "reasoning"),
        finish_reason=_text(choice, "finish_reason"),
        prompt_tokens=whole_number(completion.usage, "prompt_tokens"),
        completion_tokens=whole_number(completion.usage, "completion_tokens"),
        served_model=_text(completion, "model"),
        system_fingerprint=_text(completion, "system_fingerprint"),
        upstream_provider=_text(completion, "provider"),
    )


def _text(value: object, name: str) -> str | None:
    found = getattr(value, name, None)
    return found if isinstance(found, str) and found else None

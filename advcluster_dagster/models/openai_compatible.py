"""Chat and embeddings of OpenAI and compatible servers through the OpenAI SDK."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import openai
from openai import BaseModel
from openai.types import CreateEmbeddingResponse, Embedding
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from openai.types.chat.chat_completion import Choice

from advcluster_dagster.models.faults import ErrorReplyError, UnreadableReplyError, status_of_code
from advcluster_dagster.models.openai_connection import OpenAIConnection, status_fault
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest
from advcluster_dagster.models.remote_chat import RemoteChat, WireForm, without_schema
from advcluster_dagster.models.remote_embeddings import RemoteEmbedder, whole_number
from advcluster_dagster.models.server_messages import read_body, server_message
from advcluster_dagster.printable import one_line
from advcluster_dagster.study.models import Provider

#: Old and new name of the same setting; servers support one or both.
_LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
_VALUE_WORDS = re.compile(
    r"too (?:large|long|big|small|high|low|many)|at (?:most|least)|exceed|(?:greater|less|larger|smaller|more) than"
    r"|must be|should be|out of range|context length|maximum|minimum|integer"
)
_UNKNOWN_WORDS = re.compile(
    r"unsupported|not (?:be )?supported|unknown|unrecogni[sz]ed|not (?:be )?(?:recogni[sz]ed|permitted|allowed)"
    r"|unexpected|extra|instead|deprecated"
)
_TEXT_PARTS = (None, "text", "output_text")
_REASONING_NAMES = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_DEEPEST_PART = 6
_MOST_DETAIL = 300


class OpenAICompatibleChat(RemoteChat[OpenAIConnection]):
    """Chat completions; sampling settings are sent under their names, ``reply_schema`` as strict structured output.

    Args:
        name: the provider's name in the study, for messages.
        settings: transport settings.

    Raises:
        FatalModelError: the key is missing.
    """

    def __init__(self, name: str, settings: Provider) -> None:
        super().__init__(OpenAIConnection(name, settings))

    async def send(self, request: ChatRequest, form: WireForm) -> ChatReply | CallFailure:
        """Send one request."""
        body = chat_body(request, form)
        answer = await self.connection.client.chat.completions.with_raw_response.create(
            model=body.pop("model"),
            messages=cast(list[ChatCompletionMessageParam], body.pop("messages")),
            extra_body=body,
        )
        return read_completion(_parsed(answer))

    def next_form(self, words: str, request: ChatRequest, form: WireForm) -> WireForm | None:
        """Drop the schema or use the other name of the token limit; see the base class."""
        learned = without_schema(words, request, form)
        if learned is None and form.limit_name is None and not _is_about_value(words):
            for sent, other in (_LIMIT_NAMES, _LIMIT_NAMES[::-1]):
                if sent in request.sampling and sent in words:
                    return replace(form, limit_name=other)
        return learned


class OpenAICompatibleEmbedder(RemoteEmbedder[OpenAIConnection]):
    """Embeddings; arguments and errors as :class:`OpenAICompatibleChat`."""

    texts_per_call = 128

    def __init__(self, name: str, settings: Provider) -> None:
        super().__init__(OpenAIConnection(name, settings))

    async def send(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> tuple[list[Sequence[float] | None], int | None]:
        """Embed texts in one call."""
        answer = await self.connection.client.embeddings.with_raw_response.create(
            model=model, input=list(texts), dimensions=openai.omit if dimensions is None else dimensions
        )
        response = _parsed(answer)
        if not isinstance(response, CreateEmbeddingResponse) or not isinstance(response.data, list):
            raise no_reply(response, "no embeddings")
        if len(response.data) != len(texts):
            raise UnreadableReplyError(f"{len(response.data)} embeddings for {len(texts)} texts")
        return [item.embedding for item in _in_order(response.data)], whole_number(response.usage, "prompt_tokens")


def _parsed(answer: Any) -> Any:
    """Parse a raw response of status 200 with the SDK.

    Raises:
        UnreadableReplyError: it cannot be parsed; the message quotes the server.
    """
    try:
        return answer.parse()
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise no_reply(read_body(answer.http_response), "the body cannot be read") from None


def _in_order(items: Sequence[Embedding]) -> Sequence[Embedding]:
    """Sort embeddings by their indices; without indices keep the order received.

    Raises:
        UnreadableReplyError: the indices are not 0 to n - 1.
    """
    indices = [getattr(item, "index", None) for item in items]
    if all(index is None for index in indices):
        return items
    positions = {index: position for position, index in enumerate(indices)}
    if positions.keys() != set(range(len(items))):
        raise UnreadableReplyError(f"the embeddings' indices are not 0 to {len(items) - 1}")
    return [items[positions[index]] for index in range(len(items))]


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


def _is_about_value(words: str) -> bool:
    """Whether a refusal that names a setting concerns its value rather than the setting itself."""
    return bool(_VALUE_WORDS.search(words)) and not _UNKNOWN_WORDS.search(words)


def read_completion(completion: ChatCompletion) -> ChatReply | CallFailure:
    """Read the reply of a completion; the SDK does not validate completions, so every field is checked here.

    A refusal, a filtered reply and a tool call are named failures that quote the provider.

    Raises:
        UnreadableReplyError: it contains no reply; :class:`ErrorReplyError` if it contains an error with a status.
    """
    if not isinstance(completion, ChatCompletion) or not completion.choices:
        raise no_reply(completion, "no choices")
    choice = completion.choices[0]
    message = getattr(choice, "message", None)
    text, thinking = _content(message)
    if not text and getattr(choice, "error", None):
        raise no_reply(choice, "an error in the choice")
    if not text and (failure := _failure(choice)):
        return failure
    return ChatReply(
        text=text,
        reasoning=_reasoning(message) or thinking,
        finish_reason=_text(choice, "finish_reason"),
        prompt_tokens=whole_number(completion.usage, "prompt_tokens"),
        completion_tokens=whole_number(completion.usage, "completion_tokens"),
        served_model=_text(completion, "model"),
        system_fingerprint=_text(completion, "system_fingerprint"),
        upstream_provider=_text(completion, "provider"),
    )


def no_reply(answer: object, problem: str) -> UnreadableReplyError:
    """The error for a status-200 response without a reply; quotes the server and keeps the status of an error in it."""
    body = answer.to_dict(warnings=False) if isinstance(answer, BaseModel) else answer
    error = body.get("error") if isinstance(body, dict) else None
    status = status_of_code(error.get("code")) if isinstance(error, dict) else None
    if status is not None:
        return ErrorReplyError(status_fault(status, body))
    if isinstance(body, str) and body.lstrip().startswith(("data:", "event:")):
        problem = "a stream, which was not requested"
    words = server_message({"error": error} if error else body)
    return UnreadableReplyError(f"not a reply, {problem}: {words}" if words else f"not a reply, {problem}")


def _content(message: object) -> tuple[str, str | None]:
    """Text and thinking of a message whose content is a string, a list of parts, or null.

    Raises:
        UnreadableReplyError: the content has another type.
    """
    content = getattr(message, "content", None)
    if content is None or isinstance(content, str):
        if not isinstance(message, BaseModel):
            raise UnreadableReplyError("not a reply: the choice has no message")
        return content or "", None
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    texts = [part["text"] for part in parts if part.get("type") in _TEXT_PARTS and isinstance(part.get("text"), str)]
    thinking = _flat([part for part in parts if part.get("type") not in _TEXT_PARTS])
    if not texts and not thinking and content:
        raise UnreadableReplyError(f"content is {type(content).__name__}, not text")
    return "".join(texts), thinking


def _reasoning(message: object) -> str | None:
    """Reasoning returned separately from the text, from the first of its field names that is not empty."""
    return next(filter(None, (_flat(getattr(message, name, None)) for name in _REASONING_NAMES)), None)


def _flat(value: Any, depth: int = 0) -> str | None:
    """Concatenate the text of reasoning given as a string, a part with text, or a list of these."""
    if isinstance(value, str):
        return value or None
    if depth > _DEEPEST_PART:
        return None
    if isinstance(value, dict):
        value = [value[name] for name in ("text", "thinking", "summary", "reasoning", "content") if name in value]
    if not isinstance(value, list):
        return None
    return "".join(filter(None, (_flat(item, depth + 1) for item in value))) or None


def _failure(choice: Choice) -> CallFailure | None:
    """Failure that explains a reply without text; None if the provider gives no reason."""
    message, finish = choice.message, getattr(choice, "finish_reason", None)
    if refusal := one_line(server_message(getattr(message, "refusal", None))):
        return CallFailure("refused", refusal[:_MOST_DETAIL])
    if finish == "content_filter":
        filtered = server_message(getattr(choice, "content_filter_results", None))
        words = f": {one_line(filtered)[:200]}" if filtered else ""
        return CallFailure("content_filter", f"the provider's content filter blocked the reply{words}")
    calls = getattr(message, "tool_calls", None) or getattr(message, "function_call", None)
    if calls:
        names = [
            _text(getattr(call, "function", call), "name") or "?"
            for call in (calls if isinstance(calls, list) else [calls])
        ]
        return CallFailure(
            "tool_call", f"the model called a tool instead of replying in text: {', '.join(names)[:200]}"
        )
    return None


def _text(value: object, name: str) -> str | None:
    member = getattr(value, name, None)
    return member if isinstance(member, str) and member else None

"""Chat and embeddings of the Gemini API through the google-genai SDK."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.genai import types

from advcluster_dagster.models.faults import UnreadableReplyError
from advcluster_dagster.models.google_connection import GoogleConnection
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError
from advcluster_dagster.models.remote_chat import RemoteChat, WireForm
from advcluster_dagster.models.remote_embeddings import RemoteEmbedder, whole_number
from advcluster_dagster.printable import one_line
from advcluster_dagster.study.models import Provider

#: Names of sampling settings in studies and in the Gemini API.
_SAMPLING_NAMES = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "max_output_tokens": "max_output_tokens",
    "stop": "stop_sequences",
    "stop_sequences": "stop_sequences",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_THINKING_NAMES = {
    "reasoning_effort": "thinking_level",
    "thinking_level": "thinking_level",
    "thinking_budget": "thinking_budget",
    "include_thoughts": "include_thoughts",
}
_FINISH_REASONS = {"STOP": "stop", "MAX_TOKENS": "length"}
_FILTERS = {
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
}  # fmt: skip
_TOOL_FAULTS = {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}


class GoogleGenaiChat(RemoteChat[GoogleConnection]):
    """Chat through ``generateContent`` of the Gemini API, with ``reply_schema`` as its JSON schema.

    Args:
        name: the provider's name in the study, for messages.
        settings: transport settings.

    Raises:
        FatalModelError: the key is missing.
    """

    def __init__(self, name: str, settings: Provider) -> None:
        super().__init__(GoogleConnection(name, settings))

    async def send(self, request: ChatRequest, form: WireForm) -> ChatReply | CallFailure:
        """Send one request."""
        response = await self.connection.client.models.generate_content(
            model=request.model,
            contents=list(contents_of(request)),
            config=config_of(request, form, self.connection.name),
        )
        return read_response(response)


class GoogleGenaiEmbedder(RemoteEmbedder[GoogleConnection]):
    """Embeddings of the Gemini API, which reports no token counts; arguments as :class:`GoogleGenaiChat`."""

    texts_per_call = 100

    def __init__(self, name: str, settings: Provider) -> None:
        super().__init__(GoogleConnection(name, settings))

    async def send(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> tuple[list[Sequence[float] | None], int | None]:
        """Embed texts in one call."""
        # One content per text: newer models would join plain strings into one content.
        contents = [types.Content(parts=[types.Part(text=text)]) for text in texts]
        response = await self.connection.client.models.embed_content(
            model=model,
            contents=list(contents),
            config=types.EmbedContentConfig(output_dimensionality=dimensions),
        )
        return [embedding.values for embedding in response.embeddings or []], None


def contents_of(request: ChatRequest) -> list[types.Content]:
    """The messages of a request except system messages."""
    return [
        types.Content(role="model" if message.role == "assistant" else "user", parts=[types.Part(text=message.content)])
        for message in request.messages
        if message.role != "system"
    ]


def config_of(request: ChatRequest, form: WireForm, provider: str) -> types.GenerateContentConfig:
    """System instruction, sampling and schema of a request.

    Raises:
        FatalModelError: a sampling setting is unknown or invalid.
    """
    system = [message.content for message in request.messages if message.role == "system"]
    config: dict[str, Any] = {"automatic_function_calling": {"disable": True}}
    if system:
        config["system_instruction"] = "\n\n".join(system)
    if request.reply_schema is not None and form.has_schema:
        config |= {"response_mime_type": "application/json", "response_json_schema": dict(request.reply_schema)}
    try:
        return types.GenerateContentConfig.model_validate({**config, **_sampling_of(request.sampling)})
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise FatalModelError(
            f"provider {provider}: sampling of model {request.model} in the study: {reason}"
        ) from None


def read_response(response: types.GenerateContentResponse) -> ChatReply | CallFailure:
    """Read the reply of a response; thoughts become its reasoning and count as completion tokens.

    A blocked prompt, a filtered reply and a tool call are named failures that quote the provider.

    Raises:
        UnreadableReplyError: the response contains no reply.
    """
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        words = _with_message(feedback.block_reason.value, feedback.block_reason_message)
        return CallFailure("content_filter", f"the provider blocked the prompt: {words}")
    if not response.candidates:
        raise UnreadableReplyError("not a reply: no candidates")
    candidate = response.candidates[0]
    parts = (candidate.content.parts if candidate.content else None) or []
    text = "".join(part.text or "" for part in parts if not part.thought)
    finish = candidate.finish_reason.value if candidate.finish_reason else None
    if not text and (failure := _failure(finish, candidate.safety_ratings or [], parts)):
        return failure
    usage = response.usage_metadata
    n_answer, n_thought = whole_number(usage, "candidates_token_count"), whole_number(usage, "thoughts_token_count")
    return ChatReply(
        text=text,
        reasoning="".join(part.text or "" for part in parts if part.thought) or None,
        finish_reason="content_filter" if finish in _FILTERS else _FINISH_REASONS.get(finish or "", finish),
        prompt_tokens=whole_number(usage, "prompt_token_count"),
        completion_tokens=None if n_answer is None and n_thought is None else (n_answer or 0) + (n_thought or 0),
        served_model=response.model_version,
    )


def _failure(
    finish: str | None, ratings: Sequence[types.SafetyRating], parts: Sequence[types.Part]
) -> CallFailure | None:
    """Failure that explains a reply without text; None if the provider gives no reason."""
    if finish in _FILTERS:
        blocked = [rating.category.value for rating in ratings if rating.blocked and rating.category]
        words = _with_message(finish or "", ", ".join(blocked))
        return CallFailure("content_filter", f"the provider's content filter blocked the reply: {words}")
    called = [part.function_call.name or "?" for part in parts if part.function_call is not None]
    if called or finish in _TOOL_FAULTS:
        words = ", ".join(called)[:200] or finish or ""
        return CallFailure("tool_call", f"the model called a tool instead of replying in text: {words}")
    return None


def _with_message(name: str, message: str | None) -> str:
    return f"{name} ({one_line(message)[:200]})" if message else name


def _sampling_of(sampling: Mapping[str, Any]) -> dict[str, Any]:
    generation: dict[str, Any] = {}
    thinking: dict[str, Any] = {}
    for name, value in sampling.items():
        if name in _SAMPLING_NAMES:
            generation[_SAMPLING_NAMES[name]] = [value] if name == "stop" and isinstance(value, str) else value
        elif name in _THINKING_NAMES:
            thinking[_THINKING_NAMES[name]] = value.upper() if isinstance(value, str) else value
        else:
            known = ", ".join(sorted({*_SAMPLING_NAMES, *_THINKING_NAMES}))
            raise ValueError(f"unknown setting {name!r}; allowed: {known}")
    if thinking:
        generation["thinking_config"] = {"include_thoughts": True, **thinking}
    return generation

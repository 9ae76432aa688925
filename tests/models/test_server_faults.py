"""Server faults through both SDKs: messages, learned request forms, retry delays, texts that spoil a batch."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from advcluster_dagster.models import connection
from advcluster_dagster.models.connection import _pause_s
from advcluster_dagster.models.google_genai import GoogleGenaiChat, GoogleGenaiEmbedder
from advcluster_dagster.models.openai_compatible import OpenAICompatibleChat, OpenAICompatibleEmbedder
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    FatalModelError,
)
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.study.models import Provider
from tests.providers.small_provider import (
    Answer,
    Body,
    SmallProvider,
    canned,
    chat_completion,
    embeddings,
    error_answer,
    gemini_reply,
)

KEY = "key-not-a-real-one-8d1f"
KINDS = ("openai", "google-genai")
WORDS = "the prompt has 9000 tokens, 4096 fit"
HTML = {"content-type": "text/html"}
TEXT = {"content-type": "text/plain"}
Respond = Callable[[str, Body, int], Answer]
Spoil = Callable[[str, Body, list[str]], Answer]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(connection, "_LONGEST_RETRY_AFTER_S", 0.0)
    monkeypatch.setenv("TEST_KEY", KEY)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def settings(server: SmallProvider, kind: str, **changes: object) -> Provider:
    base_url = server.url if kind == "openai" else server.url.removesuffix("/v1")
    given = {"kind": kind, "base_url": base_url, "api_key_env": "TEST_KEY", "max_retries": 2, "max_in_flight": 2}
    return Provider.model_validate({**given, **changes})


def complete(
    server: SmallProvider, kind: str, requests: list[ChatRequest], **changes: object
) -> list[ChatReply | CallFailure]:
    opened = OpenAICompatibleChat if kind == "openai" else GoogleGenaiChat
    provider = opened("prov", settings(server, kind, **changes))
    try:
        outcomes = dict(provider.complete(requests))
    finally:
        provider.close()
    return [outcomes[index] for index in range(len(requests))]


def embed(
    server: SmallProvider, kind: str, texts: list[str], dimensions: int | None = None, **changes: object
) -> list[EmbeddingReply | CallFailure]:
    opened = OpenAICompatibleEmbedder if kind == "openai" else GoogleGenaiEmbedder
    provider = opened("prov", settings(server, kind, **changes))
    got: list[tuple[int, EmbeddingReply | CallFailure]] = []
    try:
        got.extend(provider.embed([EmbeddingRequest("gemini-embedding-001", text, dimensions) for text in texts]))
    finally:
        provider.close()
    assert sorted(index for index, _ in got) == list(range(len(texts)))  # each text once
    return [outcome for _, outcome in sorted(got, key=lambda item: item[0])]


def chat(text: str = "x", **fields: Any) -> ChatRequest:
    return ChatRequest("judge-7b", (Message("user", text),), **fields)


def always(answer: Answer) -> Respond:
    return lambda _path, _body, _n_before: answer


def failure_of(server: SmallProvider, kind: str, **changes: object) -> CallFailure:
    [failure] = complete(server, kind, [chat()], **changes)
    assert isinstance(failure, CallFailure)
    return failure


def reply(kind: str, text: str = "", **part: Any) -> Body:
    """A reply of either vendor; ``part`` is merged into OpenAI's message or Gemini's candidate."""
    return (
        chat_completion({"model": "m", "messages": []}, text, **part)
        if kind == "openai"
        else gemini_reply({"contents": []}, text, **part)
    )


#: Error bodies; each must yield its message through either SDK.
BODIES: dict[str, tuple[Any, dict[str, str]]] = {
    "openai": ({"error": {"message": WORDS, "type": "invalid_request_error", "param": None, "code": None}}, {}),
    "error_text": ({"error": WORDS}, {}),
    "error_list": ({"error": [WORDS]}, {}),
    "detail": ({"detail": WORDS}, {}),
    "error_detail": ({"error": {"detail": WORDS}}, {}),
    "fastapi": ({"detail": [{"loc": ["body", "messages"], "msg": WORDS, "type": "value_error"}]}, {}),
    "message": ({"message": WORDS}, {}),
    "errors": ({"errors": [{"message": WORDS}]}, {}),
    "problem": ({"title": "Bad", "detail": WORDS, "status": 400}, {"content-type": "application/problem+json"}),
    "google": ({"error": {"code": 400, "message": WORDS, "status": "INVALID_ARGUMENT"}}, {}),
    "google_list": ([{"error": {"code": 400, "message": WORDS}}], {}),
    "json_in_message": ({"error": {"message": json.dumps({"detail": WORDS})}}, {}),
    "unknown_name": ({"why": WORDS}, {}),
    "json_text": (json.dumps(WORDS).encode(), {}),
    "text": (WORDS.encode(), TEXT),
    "text_called_json": (WORDS.encode(), {}),
    "html": (f"<html><head><title>No</title></head><body><p>{WORDS}</p></body></html>".encode(), HTML),
    "html_called_json": (f"<html><body>{WORDS}</body></html>".encode(), {}),
    "latin1": (f'{{"detail": "größe: {WORDS}"}}'.encode("latin-1"), {}),
    "utf16": (json.dumps({"detail": WORDS}).encode("utf-16"), {}),
    "bom": (b"\xef\xbb\xbf" + json.dumps({"detail": WORDS}).encode(), {}),
    "gzip": (gzip.compress(json.dumps({"detail": WORDS}).encode()), {"content-encoding": "gzip"}),
    "huge": ({"error": {"message": f"{WORDS} {'x' * 10**6}"}}, {}),
    "controls": ({"error": {"message": f"\x1b[31m\r\n{WORDS}\x00"}}, {}),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_words_of_a_fault_reach_its_failure(kind: str, name: str) -> None:
    body, headers = BODIES[name]
    status = (400, 413, 418, 422)[len(name) % 4]
    answers = {'"passing"': Answer(body, 503, headers), '"lasting"': Answer(body, status, headers)}
    with SmallProvider(
        lambda _path, sent, _n: next(answers[text] for text in answers if text in json.dumps(sent))
    ) as server:
        outcomes = complete(server, kind, [chat("passing"), chat("lasting")], max_retries=1)
    assert server.stats.requests == 3  # only the server error is retried
    for outcome, reason in zip(outcomes, ("server_error", "bad_request"), strict=True):
        assert isinstance(outcome, CallFailure)
        assert outcome.reason == reason
        assert WORDS in outcome.detail
        assert outcome.detail.isprintable()
        assert len(outcome.detail) <= 300


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "HTTP 400 Bad Request, without a message"),
        (b"", 503, "HTTP 503 Service Unavailable, without a message"),
        (b"", 599, "HTTP 599, without a message"),
        (b"{}", 422, "HTTP 422 Unprocessable"),
        (b"null", 400, "HTTP 400 Bad Request"),
        (b"[]", 400, "HTTP 400 Bad Request"),
        (b"\x00\x01\x02\x03" * 50, 400, "HTTP 400 Bad Request"),
        (b"[" * 10**5, 400, "[[["),
        (b"not gzip", 500, "HTTP 500 Internal Server Error"),
    ],
)
@pytest.mark.usefixtures("_no_collection")
def test_a_body_without_words_gives_the_status(kind: str, body: bytes, status: int, words: str) -> None:
    headers = {"content-encoding": "gzip"} if body == b"not gzip" else {}
    with SmallProvider(always(Answer(body, status, headers))) as server:
        failure = failure_of(server, kind, max_retries=0)
    assert failure.reason == ("bad_request" if status < 500 else "server_error")
    assert failure.detail.startswith(words)


@pytest.mark.parametrize("name", ["openai", "fastapi", "google", "text", "html", "latin1"])
@pytest.mark.parametrize(
    ("status", "start"),
    [
        (401, "provider prov: the key for model judge-7b was refused; check TEST_KEY: "),
        (403, "provider prov: access to model judge-7b denied; check TEST_KEY: "),
        (402, "provider prov: the quota for model judge-7b is used up"),
    ],
)
def test_a_refused_key_in_any_form(kind: str, name: str, status: int, start: str) -> None:
    body, headers = BODIES[name]
    server = SmallProvider(always(Answer(body, status, headers)))
    with server, pytest.raises(FatalModelError) as caught:
        complete(server, kind, [chat(str(number)) for number in range(9)])
    assert str(caught.value).startswith(start)
    assert WORDS in str(caught.value)
    assert server.stats.requests <= 4


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "Not Found"}, "does not have the requested path; correct base_url: Not Found"),
        (b"404 page not found", "does not have the requested path"),
        (b"<html><head><title>404 Not Found</title></head><body>nginx</body></html>", "not have the requested path"),
        (b"", "does not have the requested path"),
        (
            {"error": {"message": "Invalid URL (POST /v1/x)", "type": "invalid_request_error"}},
            "not have the requested path",
        ),
        ({"detail": "The model `judge-7b` does not exist."}, "no model judge-7b at http"),
        ({"error": "model 'judge-7b' not found, try pulling it first"}, "no model judge-7b at http"),
        ({"error": {"message": "?", "code": "model_not_found"}}, "no model judge-7b at http|or the server"),
        ({"error": "gone fishing"}, "no model judge-7b at .*, or the server at .* does not have the requested path"),
    ],
)
def test_a_wrong_address_is_told_from_an_unknown_model(kind: str, body: Any, words: str) -> None:
    with SmallProvider(always(Answer(body, 404))) as server, pytest.raises(FatalModelError, match=words):
        complete(server, kind, [chat()])


def test_the_key_is_masked_in_any_form(kind: str) -> None:
    for body, headers in (
        ({"detail": f"bad {KEY}"}, {}),
        (f"<p>bad {KEY}</p>".encode(), HTML),
        (f"bad {KEY}".encode(), TEXT),
    ):
        with SmallProvider(always(Answer(body, 400, headers))) as server:
            assert failure_of(server, kind).detail == "bad ***"


#: Refusals of structured output by servers.
NO_SCHEMA = [
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "response_format"], "msg": "Extra inputs"}]}),
    (422, {"detail": "response_format is not supported"}),
    (422, b"unknown field response_format"),
    (400, {"error": "json_schema is not supported by this model"}),
    (400, {"message": "This model does not support structured outputs"}),
    (400, {"error": {"message": "Invalid value", "param": "response_format"}}),
    (400, {"error": {"message": 'Unknown name "responseJsonSchema" at generation_config', "code": 400}}),
    (400, {"error": {"message": "failed to parse grammar", "code": 400}}),
    (400, {"title": "Bad Request", "detail": "guided_json: backend not available"}),
    (400, {"errors": {"response_format": ["unsupported"]}}),
    (501, {"error": {"detail": "guided decoding is not implemented"}}),
    (500, {"detail": "Structured-output backend xgrammar failed"}),
    (404, {"error": {"message": "No endpoints found that support response_format", "code": 404}}),
    (415, b"<html><body>response format json_schema unavailable</body></html>"),
    (400, "JSON-Schema größer als erlaubt".encode("latin-1")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), NO_SCHEMA)
def test_a_server_without_structured_output_is_asked_without_it_from_then_on(kind: str, status: int, body: Any) -> None:
    def respond(path: str, sent: Body, n_before: int) -> Answer:
        has_schema = "response_format" in sent or "responseJsonSchema" in sent.get("generationConfig", {})
        return Answer(body, status) if has_schema else canned(path, sent, n_before)

    with SmallProvider(respond) as server:
        outcomes = complete(
            server, kind, [chat(text, reply_schema={"type": "object"}) for text in "abc"], max_in_flight=1
        )
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert server.stats.requests == 4  # one refusal


@pytest.mark.parametrize("status", [429, 503])
def test_words_of_a_passing_fault_teach_nothing(kind: str, status: int) -> None:
    left = [Answer({"detail": "structured output engine is busy"}, status)]

    def respond(path: str, sent: Body, n_before: int) -> Answer:
        return left.pop() if left else canned(path, sent, n_before)

    with SmallProvider(respond) as server:
        complete(server, kind, [chat(reply_schema={"type": "object"})])
    has_schema = ["response_format" in sent or "responseJsonSchema" in str(sent) for sent in server.bodies]
    assert has_schema == [True, True]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "max_tokens"], "msg": "Extra inputs"}]}, 422),
        ({"error": "max_tokens: unknown field"}, 400),
        ({"message": "got an unexpected keyword argument 'max_tokens'"}, 500),
        (b"use max_completion_tokens instead of max_tokens", 400),
        ({"error": {"message": "Unsupported parameter", "param": "max_tokens"}}, 400),
    ],
)  # fmt: skip
def test_the_other_name_of_the_length_limit_is_learnt_from_any_form(body: Any, status: int) -> None:
    def respond(path: str, sent: Body, n_before: int) -> Answer:
        return Answer(body, status) if "max_tokens" in sent else canned(path, sent, n_before)

    with SmallProvider(respond) as server:
        outcomes = complete(
            server, "openai", [chat(text, sampling={"max_tokens": 9}) for text in "ab"], max_in_flight=1
        )
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert [sent.get("max_completion_tokens") for sent in server.bodies] == [None, 9, 9]


@pytest.mark.parametrize(
    "words",
    [
        "max_tokens is too large: 9000. This model supports at most 4096 completion tokens",
        "'max_tokens' or 'max_completion_tokens' is too large: 9000; the maximum context length is 4096",
        "max_tokens must be at least 1, got 0",
    ],
)
def test_a_limit_of_a_wrong_value_keeps_its_name(words: str) -> None:
    with SmallProvider(always(error_answer(400, words))) as server:
        [failure] = complete(server, "openai", [chat(sampling={"max_tokens": 9000})])
    assert failure == CallFailure("bad_request", words)
    assert server.stats.requests == 1


def test_calls_side_by_side_keep_what_each_has_learnt() -> None:
    def respond(path: str, sent: Body, n_before: int) -> Answer:
        if sent["messages"][0]["content"] == "a" and "response_format" in sent:
            return Answer({"detail": "no response_format"}, 422)
        if "max_tokens" in sent:
            return Answer({"detail": "unknown max_tokens"}, 422)
        return (
            Answer({"detail": "no response_format"}, 422) if "response_format" in sent else canned(path, sent, n_before)
        )

    requests = [chat(text, reply_schema={}, sampling={"max_tokens": 9}) for text in "ab" * 20]
    with SmallProvider(respond) as server:
        outcomes = complete(server, "openai", requests, max_in_flight=8)
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert server.stats.requests <= 40 + 2 * 8


@pytest.mark.parametrize("asked", [None, 0.0, -5.0, -1e9, 1e-9])
def test_no_pause_is_shorter_than_the_growing_own_one(monkeypatch: pytest.MonkeyPatch, asked: float | None) -> None:
    monkeypatch.setattr(connection, "_FIRST_PAUSE_S", 0.5)
    monkeypatch.setattr(connection, "_LONGEST_RETRY_AFTER_S", 120.0)
    for n_retries, own in enumerate(
        [0.5, 1, 2, 4, 8, 8, 8]
    ):  # doubled each time, at most 8 s, with a jitter of a quarter
        assert 0.75 * own <= _pause_s(n_retries, asked) <= 1.25 * own
    assert 6 <= _pause_s(10**6, asked) <= 10


def test_a_longer_pause_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_PAUSE_S", 0.5)
    monkeypatch.setattr(connection, "_LONGEST_RETRY_AFTER_S", 120.0)
    assert 30 <= _pause_s(0, 30.0) <= 33
    assert 120 <= _pause_s(0, 1e300) <= 132
    assert _pause_s(9, 1.0) >= 6


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": ["1", "3"]}, 3.0),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_the_pause_asked_for_reaches_the_retry(
    kind: str, headers: dict[str, str], pause_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float | None] = []
    monkeypatch.setattr(connection, "_pause_s", lambda _n_retries, seconds: asked.append(seconds) or 0.0)
    with SmallProvider(always(Answer({"detail": "busy"}, 429, headers))) as server:
        failure = failure_of(server, kind, max_retries=1)
    assert failure == CallFailure("rate_limited", "busy")
    assert asked == [pause_s] * 2


STREAM = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: [DONE]\n\n'
#: Responses of status 200 that are no replies: body, headers, reason, message, requests with one retry.
NO_REPLIES: dict[str, tuple[Any, dict[str, str], str, str, int]] = {
    "error_text": ({"error": WORDS}, {}, "unreadable_reply", WORDS, 2),
    "error_object": ({"error": {"message": WORDS}}, {}, "unreadable_reply", WORDS, 2),
    "detail": ({"detail": WORDS}, {}, "unreadable_reply", WORDS, 2),
    "error_429": ({"error": {"message": WORDS, "code": 429}}, {}, "rate_limited", WORDS, 2),
    "error_502": ({"error": {"message": WORDS, "code": 502}}, {}, "server_error", WORDS, 2),
    "error_400": ({"error": {"message": WORDS, "code": "400"}}, {}, "bad_request", WORDS, 1),
    "html": (f"<html><body>{WORDS}</body></html>".encode(), HTML, "unreadable_reply", WORDS, 2),
    "html_called_json": (f"<html><body>{WORDS}</body></html>".encode(), {}, "unreadable_reply", WORDS, 2),
    "text": (WORDS.encode(), TEXT, "unreadable_reply", WORDS, 2),
    "stream": (STREAM, {"content-type": "text/event-stream"}, "unreadable_reply", "data:", 2),
    "stream_called_json": (STREAM, {}, "unreadable_reply", "data:", 2),
    "empty": (b"", {}, "unreadable_reply", "not a reply", 2),
    "null": (b"null", {}, "unreadable_reply", "not a reply", 2),
    "number": (b"7", {}, "unreadable_reply", "not a reply", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_REPLIES)
def test_an_answer_that_is_no_reply_is_named_in_the_servers_words(kind: str, name: str) -> None:
    body, headers, reason, words, n_requests = NO_REPLIES[name]
    with SmallProvider(always(Answer(body, 200, headers))) as server:
        failure = failure_of(server, kind, max_retries=1)
    assert failure.reason == reason
    assert words in failure.detail
    assert server.stats.requests == n_requests


CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}
TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "search", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ({"choices": []}, "unreadable_reply", "no choices"),
        ({"choices": None, "message": WORDS}, "unreadable_reply", WORDS),
        ({"choices": [None]}, "unreadable_reply", "no message"),
        ({"choices": [{}]}, "unreadable_reply", "no message"),
        ({"choices": [{"message": {"content": 7}}]}, "unreadable_reply", "content is int"),
        ({"choices": [{**CHOICE, "error": {"message": WORDS, "code": 502}}]}, "server_error", WORDS),
        ({"choices": [{**CHOICE, "error": {"message": WORDS}}]}, "unreadable_reply", WORDS),
        ({"choices": [{**CHOICE, "message": {"content": None, "refusal": f"{WORDS}\n"}}]}, "refused", WORDS),
        ({"choices": [{**CHOICE, "message": {"content": None, "refusal": {"reason": WORDS}}}]}, "refused", WORDS),
        ({"choices": [{**CHOICE, "message": {"content": None, "tool_calls": [TOOL_CALL]}}]}, "tool_call", "search"),
        ({"choices": [{**CHOICE, "message": {"content": "", "function_call": {"name": "f"}}}]}, "tool_call", "f"),
        ({"choices": [{**CHOICE, "finish_reason": "content_filter"}]}, "content_filter", "filter"),
        (
            {"choices": [{**CHOICE, "finish_reason": "content_filter",
                          "content_filter_results": {"violence": {"filtered": True, "severity": "high"}}}]},
            "content_filter",
            "violence: severity: high",
        ),
    ],
)  # fmt: skip
def test_replies_of_openai_without_an_answer(body: Body, reason: str, words: str) -> None:
    with SmallProvider(always(Answer(body))) as server:
        failure = failure_of(server, "openai", max_retries=0)
    assert failure.reason == reason
    assert words in failure.detail


RATINGS = [{"category": "HARM_CATEGORY_HARASSMENT", "blocked": True, "probability": "HIGH"}]


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ({"candidates": []}, "unreadable_reply", "no candidates"),
        ({"candidates": None}, "unreadable_reply", "no candidates"),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter", "SAFETY"),
        ({"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": WORDS}}, "content_filter", WORDS),
        ({"candidates": [{"finishReason": "RECITATION"}]}, "content_filter", "RECITATION"),
        ({"candidates": [{"finishReason": "SAFETY", "safetyRatings": RATINGS}]}, "content_filter", "HARASSMENT"),
        ({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}, "tool_call", "MALFORMED_FUNCTION_CALL"),
        (
            {"candidates": [{"content": {"parts": [{"functionCall": {"name": "search", "args": {}}}]}}]},
            "tool_call",
            "search",
        ),
    ],
)
def test_replies_of_gemini_without_an_answer(body: Body, reason: str, words: str) -> None:
    with SmallProvider(always(Answer(body))) as server:
        failure = failure_of(server, "google-genai", max_retries=0)
    assert failure.reason == reason
    assert words in failure.detail


def test_a_filtered_prompt_is_no_bad_request(kind: str) -> None:
    error = {"message": WORDS, "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}
    with SmallProvider(always(Answer({"error": error}, 400))) as server:
        failure = failure_of(server, kind)
    assert (failure.reason, server.stats.requests) == ("content_filter", 1)
    assert WORDS in failure.detail


@pytest.mark.parametrize(
    "message",
    [
        {"content": "", "reasoning_content": "why"},
        {"content": None, "reasoning": "why"},
        {"content": None, "reasoning_content": "", "reasoning": "why"},
        {"reasoning": {"content": "why"}},
        {"content": "", "reasoning_details": [{"type": "reasoning.text", "text": "why"}]},
        {"content": "", "thinking": "why"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}]},
        {"content": [{"type": "reasoning", "summary": [{"text": "w"}, {"text": "hy"}]}, {"type": "text", "text": ""}]},
    ],
)
def test_reasoning_without_an_answer_is_kept_as_reasoning(message: Body) -> None:
    with SmallProvider(always(Answer({"choices": [{"message": message}]}))) as server:
        assert complete(server, "openai", [chat()]) == [ChatReply("", "why")]


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "thinking", "thinking": "why"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    with SmallProvider(always(Answer({"choices": [{"message": {"content": parts}}]}))) as server:
        assert complete(server, "openai", [chat()]) == [ChatReply("ab", "why")]


def test_thoughts_without_an_answer_are_kept_as_reasoning() -> None:
    body = reply("google-genai", content={"parts": [{"text": "why", "thought": True}]})
    with SmallProvider(always(Answer(body))) as server:
        [chat_reply] = complete(server, "google-genai", [chat()])
    assert isinstance(chat_reply, ChatReply)
    assert (chat_reply.text, chat_reply.reasoning) == ("", "why")


# Embeddings -------------------------------------------------------------------------------------------------------


def texts_of(kind: str, body: Body) -> list[str]:
    if kind == "openai":
        return list(body["input"])
    return [request["content"]["parts"][0]["text"] for request in body["requests"]]


def vectors_answer(kind: str, body: Body, vectors: list[Any]) -> Answer:
    if kind == "openai":
        answer = embeddings(body, vectors)
        return Answer(json.dumps(answer).encode())  # NaN too
    return Answer(json.dumps({"embeddings": [{"values": vector} for vector in vectors]}).encode())


NAN = float("nan")


def each(bad: Any) -> Spoil:
    """A server that returns this for each bad text, and vectors for the others."""
    return lambda kind, body, texts: vectors_answer(kind, body, [bad if is_bad(text) else [1.0, 2.0] for text in texts])


def whole(vector: Any) -> Spoil:
    """A server that returns this for every text of a batch with a bad text."""
    return lambda kind, body, texts: vectors_answer(kind, body, [vector] * len(texts))


def fails(answer: Answer) -> Spoil:
    """A server that answers a batch with a bad text in this way."""
    return lambda _kind, _body, _texts: answer


#: What a server does for a batch with a bad text.
SPOILS: dict[str, Spoil] = {
    "500": fails(error_answer(500, WORDS)),
    "503": fails(error_answer(503, WORDS)),
    "400": fails(error_answer(400, WORDS)),
    "422": fails(Answer({"detail": WORDS}, 422)),
    "413": fails(Answer(WORDS.encode(), 413, TEXT)),
    "error_within": fails(Answer({"error": {"message": WORDS}})),
    "dropped": fails(Answer(None, is_dropped=True)),
    "no_json": fails(Answer(b"<html>")),
    "no_data": fails(Answer({"data": [], "embeddings": []})),
    "null_data": fails(Answer({"data": None, "embeddings": None})),
    "all_null": whole(None),
    "all_empty": whole([]),
    "all_nan": whole([NAN, NAN]),
    "null": each(None),
    "empty": each([]),
    "nan": each([NAN, 1.0]),
    "zeros": each([0.0, 0.0]),
    "short": each([1.0]),
    "missing": lambda kind, body, texts: vectors_answer(kind, body, [[1.0, 2.0] for t in texts if not is_bad(t)]),
    "one_too_many": lambda kind, body, texts: vectors_answer(kind, body, [[1.0, 2.0] for _ in [*texts, ""]]),
}


def is_bad(text: str) -> bool:
    return text.startswith("bad")


def spoiled(kind: str, spoil: str) -> Respond:
    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        texts = texts_of(kind, body)
        if any(is_bad(text) for text in texts):
            return SPOILS[spoil](kind, body, texts)
        return vectors_answer(kind, body, [[1.0, 2.0]] * len(texts))

    return respond


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("bad_places", [(0, 11), (3, 4, 5)])
def test_a_bad_text_is_a_failure_of_its_own(kind: str, spoil: str, bad_places: tuple[int, ...]) -> None:
    texts = [f"{'bad' if place in bad_places else 'good'} {place}" for place in range(12)]
    with SmallProvider(spoiled(kind, spoil)) as server:
        outcomes = embed(server, kind, texts, max_retries=1)
    failed = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, CallFailure)]
    assert failed == list(bad_places)
    for place in bad_places:
        failure = outcomes[place]
        assert isinstance(failure, CallFailure)
        assert failure.detail
        assert failure.reason in {"bad_request", "bad_vector", "connection_lost", "server_error", "unreadable_reply"}
        assert WORDS in failure.detail or spoil not in ("500", "503", "400", "422", "413", "error_within")
    # Bisecting 12 texts gives at most 2 * 12 - 1 pieces, each sent twice if the fault is transient.
    assert server.stats.requests <= 2 * 23


@pytest.mark.parametrize("spoil", ["500", "null", "missing"])
def test_a_batch_of_bad_texts_leaves_other_batches_alone(kind: str, spoil: str) -> None:
    size = 128 if kind == "openai" else 100
    texts = [f"good {place}" for place in range(size)] + [f"bad {place}" for place in range(size)] + ["good x"] * 3
    with SmallProvider(spoiled(kind, spoil)) as server:
        outcomes = embed(server, kind, texts, max_retries=0, max_in_flight=1)
    assert [isinstance(outcome, EmbeddingReply) for outcome in outcomes] == [not is_bad(text) for text in texts]
    assert server.stats.requests <= 3 + 64


def test_every_other_text_bad(kind: str) -> None:
    texts = [f"{'bad' if place % 2 else 'good'} {place}" for place in range(100)]
    with SmallProvider(spoiled(kind, "500")) as server:
        outcomes = embed(server, kind, texts, max_retries=0)
    assert [isinstance(outcome, EmbeddingReply) for outcome in outcomes] == [not is_bad(text) for text in texts]
    assert server.stats.requests <= 2 * 100


@pytest.mark.parametrize("answer", [error_answer(500, "down"), error_answer(400, "no embeddings here"), Answer(b"<p>")])
def test_a_server_that_answers_nothing_is_not_asked_much_more(kind: str, answer: Answer) -> None:
    size = 128 if kind == "openai" else 100
    with SmallProvider(always(answer)) as server:
        outcomes = embed(server, kind, [f"text {place}" for place in range(50 * size)], max_retries=0, max_in_flight=4)
    assert all(isinstance(outcome, CallFailure) for outcome in outcomes)
    assert server.stats.requests <= 50 + 64 + 16  # batches, the bound, and jobs in progress when it was reached


@pytest.mark.parametrize("n_failed", [10**9, 50])
def test_an_outage_midway_is_not_multiplied(kind: str, n_failed: int) -> None:
    size, n_seen = (128 if kind == "openai" else 100), [0]

    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        n_seen[0] += 1
        if 10 < n_seen[0] <= 10 + n_failed:
            return error_answer(502, "down")
        return vectors_answer(kind, body, [[1.0, 2.0]] * len(texts_of(kind, body)))

    texts = [f"text {place}" for place in range(50 * size)]
    with SmallProvider(respond) as server:
        outcomes = embed(server, kind, texts, max_retries=0, max_in_flight=1)
    n_answered = sum(isinstance(outcome, EmbeddingReply) for outcome in outcomes)
    if n_failed > 50:
        assert n_answered == 10 * size
        assert server.stats.requests <= 50 + 64
    else:  # texts not yet sent when the outage ended are answered
        assert n_answered > 10 * size
        assert server.stats.requests <= 50 + 2 * 64


def test_retries_of_pieces_are_few(kind: str) -> None:
    texts = ["bad", *(f"good {place}" for place in range(7))]
    with SmallProvider(spoiled(kind, "500")) as server:
        outcomes = embed(server, kind, texts, max_retries=6)
    assert sum(isinstance(outcome, CallFailure) for outcome in outcomes) == 1
    # The batch 7 times; then each text at most once alone or in a half, and every known fault once more.
    assert server.stats.requests <= 7 + 2 * 8


def test_nothing_answered_is_lost_when_a_piece_ends_the_step() -> None:
    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        texts = body["input"]
        if texts == ["bad"]:
            return error_answer(402, "pay")
        return error_answer(400, "?") if "bad" in texts else vectors_answer("openai", body, [[1.0, 2.0]] * len(texts))

    got = []
    with SmallProvider(respond) as server:
        provider = OpenAICompatibleEmbedder("prov", settings(server, "openai", max_in_flight=1))
        with pytest.raises(FatalModelError, match="used up"):
            got.extend(provider.embed([EmbeddingRequest("e", text) for text in ("a", "b", "c", "bad")]))
        provider.close()
    assert {index for index, _ in got} >= {0}


def test_indices_tell_the_order() -> None:
    def shuffled(_path: str, body: Body, _n_before: int) -> Answer:
        answer = embeddings(body, [[float(text), 1.0] for text in body["input"]])
        answer["data"] = answer["data"][1:] + answer["data"][:1]
        return Answer(answer)

    with SmallProvider(shuffled) as server:
        outcomes = embed(server, "openai", ["0", "1", "2", "3"])
    assert [outcome.vector[0] for outcome in outcomes if isinstance(outcome, EmbeddingReply)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "index_of"),
    [("all zero", lambda _place: 0), ("from one on", lambda place: place + 1), ("as text", str)],
)
def test_indices_that_are_not_those_of_the_texts(name: str, index_of: Callable[[int], Any]) -> None:
    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        answer = embeddings(body, [[float(text), 1.0] for text in body["input"]])
        for place, item in enumerate(answer["data"]):
            item["index"] = index_of(place)
        return Answer(answer)

    with SmallProvider(respond) as server:
        outcomes = embed(server, "openai", ["0", "1", "2", "3"], max_retries=0)
    for place, outcome in enumerate(outcomes):  # never the vector of another text
        assert isinstance(outcome, CallFailure) or outcome.vector[0] == place
    assert name != "all zero" or all(isinstance(outcome, EmbeddingReply) for outcome in outcomes)


def test_embeddings_without_indices_are_in_the_order_of_the_texts() -> None:
    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        return Answer({"data": [{"embedding": [float(text), 1.0]} for text in body["input"]]})

    with SmallProvider(respond) as server:
        outcomes = embed(server, "openai", ["0", "1", "2"])
    assert [outcome.vector[0] for outcome in outcomes if isinstance(outcome, EmbeddingReply)] == [0, 1, 2]


def test_another_length_than_asked_for_is_no_reason_to_ask_all_texts_alone(kind: str) -> None:
    with SmallProvider(spoiled(kind, "500")) as server:
        outcomes = embed(server, kind, [f"good {place}" for place in range(1000)], dimensions=5)
    assert set(outcomes) == {CallFailure("bad_vector", "the vector has 2 numbers, not 5")}
    assert server.stats.requests <= 10 + 64

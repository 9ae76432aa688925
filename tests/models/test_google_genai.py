import logging
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from advcluster_dagster.models import connection
from advcluster_dagster.models.google_genai import GoogleGenaiChat, GoogleGenaiEmbedder
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
from tests.providers.small_provider import Answer, Body, Faults, SmallProvider, canned, gemini_reply

KEY = "AIza-not-a-real-key-8d1f"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(connection, "_LONGEST_RETRY_AFTER_S", 0.0)
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEST_KEY", KEY)


def settings(server: SmallProvider, **changes: object) -> Provider:
    base = {"kind": "google-genai", "base_url": server.url.removesuffix("/v1"), "api_key_env": "TEST_KEY"}
    return Provider.model_validate({**base, "max_retries": 2, **changes})


def chat(text: str, **fields: Any) -> ChatRequest:
    return ChatRequest("gemini-test", (Message("user", text),), **fields)


def complete(server: SmallProvider, requests: list[ChatRequest], **changes: object) -> list[ChatReply | CallFailure]:
    provider = GoogleGenaiChat("prov", settings(server, **changes))
    try:
        outcomes = dict(provider.complete(requests))
    finally:
        provider.close()
    return [outcomes[index] for index in range(len(requests))]


def embed(
    server: SmallProvider, texts: list[str], model: str = "gemini-embedding-001", **fields: int
) -> list[EmbeddingReply | CallFailure]:
    provider = GoogleGenaiEmbedder("prov", settings(server))
    try:
        outcomes = dict(provider.embed([EmbeddingRequest(model, text, **fields) for text in texts]))
    finally:
        provider.close()
    return [outcomes[index] for index in range(len(texts))]


def always(answer: Answer) -> Callable[[str, Body, int], Answer]:
    return lambda _path, _body, _n_before: answer


def in_turn(*answers: Answer) -> Callable[[str, Body, int], Answer]:
    left = list(answers)
    return lambda _path, _body, _n_before: left.pop(0) if len(left) > 1 else left[0]


def says(text: str, **candidate: Any) -> Answer:
    return Answer(gemini_reply({"contents": []}, text, **candidate))


def error(
    status: int, message: str, name: str = "INTERNAL", details: list[Any] | None = None, **headers: str
) -> Answer:
    body = {"error": {"code": status, "message": message, "status": name, "details": details or []}}
    return Answer(body, status, headers)


def test_the_wire_carries_the_request() -> None:
    messages = (Message("system", "be brief"), Message("user", "q"), Message("assistant", "a"), Message("user", "b"))
    sampling = {"temperature": 0.2, "top_k": 5, "seed": 3, "max_tokens": 9, "stop": "END", "reasoning_effort": "low"}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}
    with SmallProvider(always(says("hi"))) as server:
        [reply] = complete(server, [ChatRequest("gemini-test", messages, sampling, 7, schema)])
    assert isinstance(reply, ChatReply)
    [body] = server.bodies
    assert body["systemInstruction"]["parts"] == [{"text": "be brief"}]
    assert [(item["role"], item["parts"][0]["text"]) for item in body["contents"]] == [
        ("user", "q"), ("model", "a"), ("user", "b"),
    ]  # fmt: skip
    config = body["generationConfig"]
    thinking = config.pop("thinkingConfig")
    assert {name.lower().replace("_", ""): value for name, value in thinking.items()} == {
        "includethoughts": True, "thinkinglevel": "LOW",
    }  # fmt: skip
    assert config == {
        "temperature": 0.2, "topK": 5, "seed": 3, "maxOutputTokens": 9, "stopSequences": ["END"],
        "responseMimeType": "application/json", "responseJsonSchema": schema,
    }  # fmt: skip
    assert server.headers[0]["x-goog-api-key"] == KEY


def test_all_fields_of_a_reply_are_kept() -> None:
    parts = [{"text": "why", "thought": True}, {"text": "te"}, {"text": "xt"}]
    answer = says("", content={"role": "model", "parts": parts}, finishReason="MAX_TOKENS")
    answer.body["usageMetadata"] = {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 30}
    with SmallProvider(always(answer)) as server:
        [reply] = complete(server, [chat("x")])
    # Thoughts are billed like the answer: 2 + 30.
    assert reply == ChatReply("text", "why", "length", 5, 32, "gemini-test-001")


def test_what_a_server_does_not_say_is_none() -> None:
    with SmallProvider(always(Answer({"candidates": [{"content": {"parts": [{"text": "x"}]}}]}))) as server:
        assert complete(server, [chat("x")]) == [ChatReply("x")]


@pytest.mark.parametrize(
    ("answer", "reason", "n_requests"),
    [
        (error(429, "busy", "RESOURCE_EXHAUSTED"), "rate_limited", 3),
        (error(500, "busy"), "server_error", 3),
        (error(503, "busy", "UNAVAILABLE"), "server_error", 3),
        (Answer(b"<html>gateway</html>", 502), "server_error", 3),
        (Answer(None, is_dropped=True), "connection_lost", 3),
        (Answer(b"{]"), "unreadable_reply", 3),
        (Answer(b"[1, 2]"), "unreadable_reply", 3),
        (Answer(b"[" * 100_000), "unreadable_reply", 3),
        (Answer({"candidates": []}), "unreadable_reply", 3),
        (Answer({"candidates": [{"content": {"parts": "x"}}]}), "unreadable_reply", 3),
        (error(400, "context too long", "INVALID_ARGUMENT"), "bad_request", 1),
        (Answer({"promptFeedback": {"blockReason": "SAFETY"}}), "content_filter", 1),
        (says("", content={"role": "model", "parts": []}, finishReason="SAFETY"), "content_filter", 1),
    ],
)
@pytest.mark.usefixtures("_no_collection")
def test_what_fails_becomes_a_named_failure(answer: Answer, reason: str, n_requests: int) -> None:
    with SmallProvider(always(answer)) as server:
        [failure] = complete(server, [chat("x")])
    assert isinstance(failure, CallFailure)
    assert failure.reason == reason
    assert failure.detail
    assert "\n" not in failure.detail
    assert server.stats.requests == n_requests


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            error(400, "API key not valid.", "INVALID_ARGUMENT", [{"reason": "API_KEY_INVALID"}]),
            "key for model gemini-test was refused; check TEST_KEY",
        ),
        (error(401, f"no {KEY}", "UNAUTHENTICATED"), "key for model gemini-test was refused"),
        (error(403, f"{KEY} may\nnot", "PERMISSION_DENIED"), "access to model gemini-test denied; check TEST_KEY"),
        (error(404, "no such model", "NOT_FOUND"), "no model gemini-test at http"),
        (
            error(429, "quota", "RESOURCE_EXHAUSTED", [{"violations": [{"quotaId": "RequestsPerDayPerModel"}]}]),
            "quota for model gemini-test is used up .key in TEST_KEY",
        ),
        (error(429, "Quota exceeded, limit: 0, model: x", "RESOURCE_EXHAUSTED"), "is used up"),
    ],
)
def test_what_no_later_call_can_mend_stops_the_step(answer: Answer, words: str) -> None:
    with SmallProvider(always(answer)) as server, pytest.raises(FatalModelError, match=words) as caught:
        complete(server, [chat(str(number)) for number in range(20)], max_in_flight=2)
    assert str(caught.value).startswith("provider prov: ")
    assert str(caught.value).isprintable()
    assert KEY not in str(caught.value)
    assert server.stats.requests <= 4


def test_a_quota_per_minute_comes_back() -> None:
    details = [{"violations": [{"quotaId": "RequestsPerMinute"}]}, {"retryDelay": "21.5s"}, "?", {"violations": 3}]
    fault = error(429, "You exceeded your current quota", "RESOURCE_EXHAUSTED", details)
    with SmallProvider(in_turn(fault, says("ok"))) as server:
        assert isinstance(complete(server, [chat("x")])[0], ChatReply)


def test_no_server_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        provider = GoogleGenaiChat("prov", Provider(kind="google-genai", base_url=address, max_retries=1))
        with pytest.raises(FatalModelError, match=f"provider prov: no server answers at {address} .2 tries"):
            list(provider.complete([chat("x")]))
        provider.close()


def test_a_server_that_hangs_is_a_timeout() -> None:
    with SmallProvider(latency_s=30) as server:
        [failure] = complete(server, [chat("x")], timeout_s=0.05, max_retries=0)
    assert failure == CallFailure("timeout", "no answer within 0.05 s")


def test_the_key_comes_from_one_of_two_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "environment variable GEMINI_API_KEY or GOOGLE_API_KEY is not set"
    with pytest.raises(FatalModelError, match=message):
        GoogleGenaiChat("prov", Provider(kind="google-genai"))
    monkeypatch.setenv("GOOGLE_API_KEY", "from-google")
    with SmallProvider() as server:
        complete(server, [chat("x")], api_key_env=None)
        monkeypatch.setenv("GEMINI_API_KEY", "from-gemini")
        complete(server, [chat("x")], api_key_env=None)
    assert [headers["x-goog-api-key"] for headers in server.headers] == ["from-google", "from-gemini"]


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with SmallProvider(in_turn(error(400, f"bad key\n{KEY}"), says(f"your key is {KEY}"))) as server:
        provider = GoogleGenaiChat("prov", settings(server))
        [(_, failure)] = provider.complete([chat("x")])
        [(_, reply)] = provider.complete([chat("y")])
        provider.close()
    assert isinstance(failure, CallFailure)
    assert reply == ChatReply("your key is ***", None, "stop", 0, 9, "gemini-test-001")
    for text in (repr(failure), repr(reply), repr(provider), repr(vars(provider.connection)), caplog.text):
        assert KEY not in text


def test_a_setting_that_gemini_lacks_stops_with_one_line() -> None:
    for sampling, words in (({"top_z": 1}, "unknown setting 'top_z'; allowed: "), ({"top_p": "high"}, "top_p")):
        with SmallProvider() as server, pytest.raises(FatalModelError, match=words) as caught:
            complete(server, [chat("x", sampling=sampling)])
        assert "\n" not in str(caught.value)
        assert server.stats.requests == 0


def test_a_server_without_structured_output_is_asked_without_from_then_on() -> None:
    def respond(path: str, body: Body, n_before: int) -> Answer:
        if "responseJsonSchema" in body.get("generationConfig", {}):
            return error(400, 'Unknown name "responseJsonSchema"', "INVALID_ARGUMENT")
        return canned(path, body, n_before)

    with SmallProvider(respond) as server:
        outcomes = complete(server, [chat(text, reply_schema={"type": "object"}) for text in "abc"], max_in_flight=1)
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert server.stats.requests == 4


def test_faults_of_every_sort_leave_an_outcome_for_every_call() -> None:
    faults = Faults(fail_rate=0.2, drop_rate=0.1, malformed_rate=0.1)
    with SmallProvider(faults=faults) as server:
        outcomes = complete(server, [chat(str(number)) for number in range(200)], max_retries=1)
    assert len(outcomes) == 200
    assert server.stats.completed == sum(isinstance(outcome, ChatReply) for outcome in outcomes) > 150
    assert server.stats.repeated == 0


@pytest.mark.parametrize("model", ["gemini-embedding-001", "gemini-embedding-2", "text-embedding-004"])
def test_vectors_come_in_the_order_of_the_texts_in_batches(model: str) -> None:
    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        texts = [request["content"]["parts"][0]["text"] for request in body["requests"]]
        return Answer({"embeddings": [{"values": [float(text.split()[1]), 1.0]} for text in texts]})

    with SmallProvider(respond) as server:
        outcomes = embed(server, [f"text {number}" for number in range(250)], model, dimensions=2)
    assert sorted(len(body["requests"]) for body in server.bodies) == [50, 100, 100]
    assert server.bodies[0]["requests"][0]["outputDimensionality"] == 2
    vectors = [outcome.vector for outcome in outcomes if isinstance(outcome, EmbeddingReply)]
    np.testing.assert_array_equal(vectors, [[float(number), 1.0] for number in range(250)])


@pytest.mark.parametrize("bad", [[0.1], [], [1e39, 1.0], [float("nan"), 1.0]])
def test_a_vector_that_is_none(bad: list[float]) -> None:
    answer = Answer({"embeddings": [{"values": [0.0, 1.0]}, {"values": bad}]})
    with SmallProvider(always(answer)) as server:
        first, second = embed(server, ["a", "b"])
    assert isinstance(first, EmbeddingReply)
    assert isinstance(second, CallFailure)
    assert second.reason == "bad_vector"


def test_vectors_of_another_length_than_asked_for() -> None:
    with SmallProvider() as server:
        [failure] = embed(server, ["a"], dimensions=5)
    assert failure == CallFailure("bad_vector", "the vector has 3 numbers, not 5")


def test_too_few_vectors() -> None:
    with SmallProvider(always(Answer({"embeddings": [{"values": [1.0]}]}))) as server:
        outcomes = embed(server, ["a", "b"])
    # One vector for two texts is invalid, since its text is unknown; one per single text is valid.
    assert [len(body["requests"]) for body in server.bodies] == [2, 2, 2, 1, 1]
    assert all(isinstance(outcome, EmbeddingReply) for outcome in outcomes)

import base64
import contextlib
import gzip
import json
import logging
import socket
import sqlite3
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.files import export_replies
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.models import connection
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
    Faults,
    SmallProvider,
    canned,
    chat_completion,
    embeddings,
    error_answer,
)

KEY = "sk-not-a-real-key-8d1f"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(connection, "_LONGEST_RETRY_AFTER_S", 0.0)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("TEST_KEY", KEY)


def settings(server: SmallProvider, **changes: object) -> Provider:
    return Provider.model_validate({"base_url": server.url, "api_key_env": "TEST_KEY", "max_retries": 2, **changes})


def chat(text: str, **fields: object) -> ChatRequest:
    return ChatRequest("m", (Message("user", text),), **fields)  # type: ignore[arg-type]


def complete(server: SmallProvider, requests: list[ChatRequest], **changes: object) -> list[ChatReply | CallFailure]:
    provider = OpenAICompatibleChat("prov", settings(server, **changes))
    try:
        outcomes = dict(provider.complete(requests))
    finally:
        provider.close()
    return [outcomes[index] for index in range(len(requests))]


def embed(server: SmallProvider, texts: list[str], **fields: int) -> list[EmbeddingReply | CallFailure]:
    provider = OpenAICompatibleEmbedder("prov", settings(server))
    try:
        outcomes = dict(provider.embed([EmbeddingRequest("e", text, **fields) for text in texts]))
    finally:
        provider.close()
    return [outcomes[index] for index in range(len(texts))]


def always(answer: Answer) -> Callable[[str, Body, int], Answer]:
    return lambda _path, _body, _n_before: answer


def in_turn(*answers: Answer) -> Callable[[str, Body, int], Answer]:
    """Return the answers in order, whatever the request; repeat the last one."""
    left = list(answers)
    return lambda _path, _body, _n_before: left.pop(0) if len(left) > 1 else left[0]


def says(text: str, **message: object) -> Answer:
    return Answer(chat_completion({"model": "m", "messages": []}, text, **message))


def test_the_wire_carries_the_request_and_nothing_of_its_own() -> None:
    sampling = {"temperature": 0.2, "top_k": 5, "seed": 3, "max_completion_tokens": 9, "reasoning_effort": "low"}
    with SmallProvider(always(says("hi"))) as server:
        [reply] = complete(server, [chat("hello", sampling=sampling, trial=7)])
    assert isinstance(reply, ChatReply)
    assert reply.text == "hi"
    assert server.bodies == [{"model": "m", "messages": [{"role": "user", "content": "hello"}], **sampling}]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_all_fields_of_a_reply_are_kept() -> None:
    completion = chat_completion({"model": "m-2026", "messages": [{"content": "12345678"}]}, "text", reasoning="why")
    completion |= {"system_fingerprint": "fp", "provider": "upstream"}
    completion["choices"][0]["finish_reason"] = "length"
    with SmallProvider(always(Answer(completion))) as server:
        [reply] = complete(server, [chat("x")])
    # 8 characters of prompt and 4 of text, 4 per token.
    assert reply == ChatReply("text", "why", "length", 2, 1, "m-2026", "fp", "upstream")


def test_what_a_server_does_not_say_is_none() -> None:
    with SmallProvider(always(Answer({"choices": [{"message": {"content": "text"}}]}))) as server:
        assert complete(server, [chat("x")]) == [ChatReply("text")]


def test_no_requests_need_no_server() -> None:
    with SmallProvider() as server:
        assert complete(server, []) == []
        assert embed(server, []) == []
    assert server.stats.requests == 0


def test_as_many_calls_as_allowed_are_in_flight() -> None:
    all_here = threading.Barrier(4)

    def respond(path: str, body: Body, n_before: int) -> Answer:
        all_here.wait(timeout=30)  # passes only when four calls wait concurrently
        return canned(path, body, n_before)

    with SmallProvider(respond) as server:
        outcomes = complete(server, [chat(str(number)) for number in range(12)], max_in_flight=4)
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert (server.stats.max_in_flight, server.stats.completed, server.stats.repeated) == (4, 12, 0)


def test_outcomes_are_given_as_they_finish() -> None:
    has_first = threading.Event()

    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        text = body["messages"][0]["content"]
        assert text == "quick" or has_first.wait(timeout=30)
        return says(text)

    with SmallProvider(respond) as server:
        provider = OpenAICompatibleChat("prov", settings(server))
        outcomes = provider.complete([chat("slow"), chat("quick")])
        assert next(outcomes)[0] == 1
        has_first.set()
        assert [index for index, _ in outcomes] == [0]
        provider.close()


def test_calls_left_alone_end_with_their_consumer() -> None:
    with SmallProvider() as server:
        provider = OpenAICompatibleChat("prov", settings(server, max_in_flight=1))
        outcomes = provider.complete([chat(str(number)) for number in range(50)])
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
        provider.close()
        provider.close()
    assert server.stats.requests < 50


def test_transient_faults_are_tried_again() -> None:
    faults = [error_answer(status, "busy", headers={"retry-after": "1"}) for status in (429, 503)]
    with SmallProvider(in_turn(*faults, says("ok"))) as server:
        [reply] = complete(server, [chat("x")])
    assert isinstance(reply, ChatReply)
    assert server.stats.requests == 3
    with SmallProvider(in_turn(Answer(None, is_dropped=True), Answer(b"<html>"), says("ok"))) as server:
        [reply] = complete(server, [chat("x")])
    assert isinstance(reply, ChatReply)


@pytest.mark.parametrize(
    ("answer", "reason", "n_requests"),
    [
        (error_answer(429, "busy"), "rate_limited", 3),
        (error_answer(408, "busy"), "timeout", 3),
        (error_answer(409, "busy"), "conflict", 3),
        (error_answer(500, "busy"), "server_error", 3),
        (Answer(b"<html>gateway</html>", 502), "server_error", 3),
        (Answer(None, is_dropped=True), "connection_lost", 3),
        (Answer(b"{]"), "unreadable_reply", 3),
        (Answer(b"[1, 2]"), "unreadable_reply", 3),
        (Answer(b"[" * 100_000), "unreadable_reply", 3),
        (Answer({"error": {"message": "upstream"}}), "unreadable_reply", 3),
        (Answer({"choices": [{"message": None}]}), "unreadable_reply", 3),
        (Answer({"choices": [{"message": {"content": [{"a": 1}]}}]}), "unreadable_reply", 3),
        (error_answer(400, "context too long"), "bad_request", 1),
        (error_answer(422, "unprocessable"), "bad_request", 1),
        (says("", refusal="I will not"), "refused", 1),
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


def test_a_server_that_hangs_is_a_timeout() -> None:
    with SmallProvider(latency_s=30) as server:
        [failure] = complete(server, [chat("x")], timeout_s=0.05, max_retries=1)
    assert failure == CallFailure("timeout", "no answer within 0.05 s")
    assert server.stats.requests == 2


def test_token_counts_that_are_none_are_unknown() -> None:
    usage = {"prompt_tokens": 10**30, "completion_tokens": "many"}
    with SmallProvider(always(Answer({"choices": [{"message": {"content": "x"}}], "usage": usage}))) as server:
        assert complete(server, [chat("x")]) == [ChatReply("x")]


@pytest.mark.parametrize("value", ["nan", "inf", "-5", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_any_retry_after_is_survived(value: str) -> None:
    with SmallProvider(in_turn(error_answer(429, "busy", headers={"retry-after": value}), says("ok"))) as server:
        assert isinstance(complete(server, [chat("x")])[0], ChatReply)


def test_filtered_and_empty_replies() -> None:
    filtered = says("")
    filtered.body["choices"][0]["finish_reason"] = "content_filter"
    null = says("")
    null.body["choices"][0]["message"]["content"] = None
    with SmallProvider(in_turn(filtered, says(""), null)) as server:
        [failure, *empty] = complete(server, [chat("x"), chat("y"), chat("z")], max_in_flight=1)
    assert isinstance(failure, CallFailure)
    assert failure.reason == "content_filter"
    assert [reply.text for reply in empty] == ["", ""]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error_answer(401, f"Incorrect API key provided: {KEY}"), "key for model m was refused; check TEST_KEY"),
        (error_answer(403, f"{KEY} may\n\x1b[31mnot"), "access to model m denied; check TEST_KEY"),
        (error_answer(404, "no such model"), "no model m at http"),
        (error_answer(400, "unknown", code="model_not_found"), "no model m at http"),
        (error_answer(429, "pay", code="insufficient_quota"), "quota for model m is used up .key in TEST_KEY"),
        (error_answer(402, "pay"), "quota for model m is used up"),
    ],
)
def test_what_no_later_call_can_mend_stops_the_step(answer: Answer, words: str) -> None:
    with SmallProvider(always(answer)) as server, pytest.raises(FatalModelError, match=words) as caught:
        complete(server, [chat(str(number)) for number in range(20)], max_in_flight=2)
    assert str(caught.value).startswith("provider prov: ")
    assert str(caught.value).isprintable()
    assert KEY not in str(caught.value)
    assert server.stats.requests <= 4


def test_calls_in_flight_may_end_when_the_step_stops() -> None:
    both_here = threading.Barrier(2)
    has_failed = threading.Event()

    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        both_here.wait(timeout=30)
        if body["messages"][0]["content"] == "bad":
            has_failed.set()
            return error_answer(402, "pay")
        has_failed.wait(timeout=30)
        return says("paid for")

    got = []
    with SmallProvider(respond) as server:
        provider = OpenAICompatibleChat("prov", settings(server, max_in_flight=2))
        outcomes = provider.complete([chat("bad"), chat("good")])
        with pytest.raises(FatalModelError):
            got.extend(outcomes)
        provider.close()
    assert server.stats.requests == 2
    assert [index for index, _ in got] == [1]


def test_no_server_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = taken.getsockname()[1]
        provider = OpenAICompatibleChat(
            "prov", Provider(base_url=f"http://127.0.0.1:{port}/v1", api_key_env="TEST_KEY", max_retries=1)
        )
        with pytest.raises(FatalModelError, match=f"provider prov: no server answers at .*{port}/v1/ .2 tries"):
            list(provider.complete([chat("x"), chat("y")]))
        provider.close()


def test_a_key_is_needed_only_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    with pytest.raises(FatalModelError, match="provider prov: environment variable TEST_KEY is not set"):
        OpenAICompatibleChat("prov", Provider(api_key_env="TEST_KEY"))
    with SmallProvider() as server:
        assert isinstance(complete(server, [chat("x")])[0], ChatReply)
    assert server.headers[0]["authorization"] == "Bearer no-key"


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with SmallProvider(always(error_answer(400, f"bad key\n{KEY}"))) as server:
        provider = OpenAICompatibleChat("prov", settings(server))
        [(_, failure)] = provider.complete([chat("x")])
        provider.close()
    assert failure.reason == "bad_request"
    assert "bad key" in failure.detail
    for text in (repr(failure), repr(provider), repr(vars(provider)), repr(vars(provider.connection)), caplog.text):
        assert KEY not in text


def test_a_schema_is_asked_for_strictly() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    with SmallProvider() as server:
        complete(server, [chat("x", reply_schema=schema)])
    assert server.bodies[0]["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True},
    }  # fmt: skip


def test_a_server_without_structured_output_is_asked_without_from_then_on() -> None:
    def respond(path: str, body: Body, n_before: int) -> Answer:
        is_asked = "response_format" in body
        return error_answer(400, "response_format is not supported") if is_asked else canned(path, body, n_before)

    with SmallProvider(respond) as server:
        outcomes = complete(server, [chat(text, reply_schema={}) for text in "abc"], max_in_flight=1)
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert ["response_format" in body for body in server.bodies] == [True, False, False, False]


@pytest.mark.parametrize(
    ("sent", "known"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")]
)
def test_the_other_name_of_the_length_limit_is_used_from_a_refusal_on(sent: str, known: str) -> None:
    def respond(path: str, body: Body, n_before: int) -> Answer:
        refused = error_answer(400, f"Unsupported parameter: '{sent}' is not supported with this model.")
        return refused if sent in body else canned(path, body, n_before)

    with SmallProvider(respond) as server:
        outcomes = complete(server, [chat(text, sampling={sent: 9}) for text in "abc"], max_in_flight=1)
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert [body.get(known) for body in server.bodies] == [None, 9, 9, 9]


def test_a_server_that_knows_neither_name_nor_schema_refuses_once_each() -> None:
    def respond(path: str, body: Body, n_before: int) -> Answer:
        for word in ("response_format", "max_tokens", "max_completion_tokens"):
            if word in body:
                return error_answer(400, f"unknown parameter {word}")
        return canned(path, body, n_before)

    with SmallProvider(respond) as server:
        [failure] = complete(server, [chat("x", reply_schema={}, sampling={"max_tokens": 9})])
    assert isinstance(failure, CallFailure)
    assert failure.reason == "bad_request"
    assert server.stats.requests == 3


def test_a_storm_of_rate_limits_is_sat_out() -> None:
    lock, n_left = threading.Lock(), [60]

    def respond(path: str, body: Body, n_before: int) -> Answer:
        with lock:
            n_left[0] -= 1
            is_limited = n_left[0] >= 0
        return (
            error_answer(429, "slow down", headers={"retry-after": "1"}) if is_limited else canned(path, body, n_before)
        )

    with SmallProvider(respond) as server:
        outcomes = complete(server, [chat(str(number)) for number in range(40)], max_in_flight=20, max_retries=20)
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert (server.stats.completed, server.stats.requests) == (40, 100)


def test_a_stream_of_garbage_without_end_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pour() -> None:
            taken, _ = server.accept()
            with contextlib.suppress(OSError), taken:
                taken.recv(65536)
                taken.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
                while True:
                    taken.sendall(b"\x00garbage{[")

        threading.Thread(target=pour, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        provider = OpenAICompatibleChat("prov", Provider(base_url=address, timeout_s=0.2, max_retries=0))
        [(_, failure)] = provider.complete([chat("x")])
        provider.close()
    assert failure == CallFailure("timeout", "no answer within 0.2 s")


def test_a_key_that_a_model_repeats_is_masked_before_it_is_kept(tmp_path: Path) -> None:
    server = SmallProvider(always(says(f"you sent {KEY}", reasoning=f"it is {KEY}")))
    with server, Ledger(f"sqlite:///{tmp_path}/calls.sqlite") as ledger:
        with ModelCalls(ledger, "p", lambda: OpenAICompatibleChat("p", settings(server)), ("s", "a", "b")) as calls:
            [reply] = calls.chat([chat("x")])
        export_replies(ledger, "s", tmp_path / "replies.gz")
    assert isinstance(reply, ChatReply)
    assert (reply.text, reply.reasoning) == ("you sent ***", "it is ***")
    with sqlite3.connect(tmp_path / "calls.sqlite") as database:
        assert KEY not in "".join(database.iterdump())
    exported = gzip.decompress((tmp_path / "replies.gz").read_bytes()).decode()
    assert "you sent ***" in exported
    assert KEY not in exported
    assert "uthorization" not in exported


def test_faults_of_every_sort_leave_an_outcome_for_every_call() -> None:
    faults = Faults(fail_rate=0.2, drop_rate=0.1, malformed_rate=0.1)
    with SmallProvider(faults=faults) as server:
        outcomes = complete(server, [chat(str(number)) for number in range(200)], max_retries=1)
    assert len(outcomes) == 200
    assert server.stats.completed == sum(isinstance(outcome, ChatReply) for outcome in outcomes) > 150
    assert server.stats.repeated == 0


def test_vectors_come_in_the_order_of_the_texts_in_batches() -> None:
    texts = [f"text {number}" for number in range(300)]

    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        answer = embeddings(body, [[float(text.split()[1]), 1.0] for text in body["input"]])
        answer["data"].reverse()
        return Answer(answer)

    with SmallProvider(respond) as server:
        outcomes = embed(server, texts)
    assert sorted(len(body["input"]) for body in server.bodies) == [44, 128, 128]
    assert "dimensions" not in server.bodies[0]
    assert all(isinstance(outcome, EmbeddingReply) for outcome in outcomes)
    assert [outcome.vector.tolist() for outcome in outcomes] == [[float(number), 1.0] for number in range(300)]
    # Usage is per batch; the shares of its texts add up to it.
    n_tokens = sum(sum(len(text) for text in body["input"]) // 4 for body in server.bodies)
    assert sum(outcome.prompt_tokens for outcome in outcomes) == n_tokens


def test_base64_vectors_and_dimensions() -> None:
    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        assert body["encoding_format"] == "base64"
        packed = base64.b64encode(struct.pack("<3f", 0.1, 0.2, 0.3)).decode()
        return Answer(embeddings(body, [packed]))  # type: ignore[list-item]

    with SmallProvider(respond) as server:
        [reply] = embed(server, ["x"], dimensions=3)
    assert server.bodies[0]["dimensions"] == 3
    assert isinstance(reply, EmbeddingReply)
    assert reply.vector.tobytes() == np.array([0.1, 0.2, 0.3], dtype=np.float32).tobytes()


@pytest.mark.parametrize("bad", [[0.1], [float("nan"), 1.0], [1e39, 1.0]])
def test_a_bad_vector_is_a_failure_of_its_text_alone(bad: list[float]) -> None:
    answer = embeddings({"model": "e", "input": ["a", "b", "c"]}, [[0.0, 1.0], bad, [1.0, 0.0]])
    with SmallProvider(always(Answer(json.dumps(answer).encode()))) as server:
        first, second, third = embed(server, ["a", "b", "c"])
    assert isinstance(first, EmbeddingReply)
    assert isinstance(third, EmbeddingReply)
    assert isinstance(second, CallFailure)
    assert second.reason == "bad_vector"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"{]"),
        Answer({"data": []}),
        Answer({"data": [{"index": 5, "embedding": [1.0]}]}),
        Answer({"data": [{"index": 0, "embedding": []}]}),
        Answer({"data": [{"index": 0, "embedding": "?"}]}),
        Answer({"data": [{"index": 0, "embedding": [[1.0]]}]}),
    ],
)
def test_unreadable_embeddings(answer: Answer) -> None:
    with SmallProvider(always(answer)) as server:
        [failure] = embed(server, ["x"])
    assert isinstance(failure, CallFailure)
    assert failure.reason == "unreadable_reply"
    assert server.stats.requests == 3


def test_a_text_the_server_refuses_does_not_take_its_batch_along() -> None:
    def respond(path: str, body: Body, n_before: int) -> Answer:
        return error_answer(400, "empty input") if "" in body["input"] else canned(path, body, n_before)

    with SmallProvider(respond) as server:
        outcomes = embed(server, ["a", "b", "", "d"])
    assert [isinstance(outcome, EmbeddingReply) for outcome in outcomes] == [True, True, False, True]
    assert outcomes[2].reason == "bad_request"

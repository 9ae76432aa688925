"""Batches of both vendors over HTTP: submit, poll, collect, restart."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from advcluster_dagster.ledger.batches import Batch, open_batches
from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.models import batch_chat, connection
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError
from advcluster_dagster.pipeline.providers import in_batch_mode, open_chat_provider
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.study.study import Study
from tests.providers.batch_vendor import BatchVendor
from tests.providers.small_provider import SmallProvider, extraction_of

KEY = "sk-not-a-real-key-8d1f"
USE = ("s", "corpus", "f|d")
KINDS = ("openai", "google-genai")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(connection, "_LONGEST_RETRY_AFTER_S", 0.0)
    monkeypatch.setenv("TEST_KEY", KEY)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path}/calls.sqlite") as opened:
        yield opened


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def study_at(server: SmallProvider, kind: str, poll_s: float = 0.01) -> Study:
    base_url = server.url if kind == "openai" else server.url.removesuffix("/v1")
    provider = {
        "kind": kind, "base_url": base_url, "api_key_env": "TEST_KEY", "mode": "batch", "batch_poll_s": poll_s,
        "max_retries": 1,
    }  # fmt: skip
    model = {"provider": "prov"}
    return Study.model_validate(
        {
            "study": "s",
            "families": {"f": {"larger": {"model": "l", **model}, "smaller": {"model": "m", **model}}},
            "domains": {"math": ["b"]},
            "providers": {"prov": provider},
        }
    )


def chat(text: str, **fields: object) -> ChatRequest:
    return ChatRequest("m", (Message("user", text),), **fields)  # type: ignore[arg-type]


def ask(server: SmallProvider, kind: str, ledger: Ledger, requests: list[ChatRequest]) -> list[ChatReply | CallFailure]:
    study = study_at(server, kind)
    with ModelCalls(ledger, "prov", lambda: open_chat_provider("prov", study, ledger), USE) as calls:
        return calls.chat(requests)


def texts(outcomes: list[ChatReply | CallFailure]) -> list[str]:
    return [outcome.text if isinstance(outcome, ChatReply) else outcome.reason for outcome in outcomes]


def test_a_batch_is_waited_for_and_its_rows_come_back(kind: str, ledger: Ledger) -> None:
    vendor = BatchVendor(n_looks=3)
    schema = {"type": "object"}
    with SmallProvider(vendor) as server:
        outcomes = ask(server, kind, ledger, [chat(text, trial=1, reply_schema=schema) for text in "abc"])
    assert texts(outcomes) == [extraction_of(text) for text in "abc"]
    assert all(isinstance(outcome, ChatReply) and outcome.completion_tokens for outcome in outcomes)
    assert vendor.sent == [["a", "b", "c"]]
    assert next(iter(vendor.batches.values()))["n_looks"] == 4
    assert open_batches(ledger) == []


def test_the_wire_of_both_vendors(ledger: Ledger) -> None:
    schema = {"type": "object"}
    request = ChatRequest("m", (Message("system", "s"), Message("user", "u")), {"max_tokens": 5}, 0, schema)
    openai, google = BatchVendor(), BatchVendor()
    with SmallProvider(openai) as server:
        ask(server, "openai", ledger, [request])
    row = json.loads(openai.files["file-0"])
    assert row["custom_id"] == request.call_id
    assert (row["method"], row["url"], row["body"]["max_tokens"]) == ("POST", "/v1/chat/completions", 5)
    assert row["body"]["response_format"]["json_schema"]["schema"] == schema
    with SmallProvider(google) as server:
        ledger.retire([request.call_id])
        ask(server, "google-genai", ledger, [request])
    [body] = [body for body in server.bodies if body]
    [sent] = body["batch"]["inputConfig"]["requests"]["requests"]
    assert sent["metadata"] == {"key": request.call_id}
    assert sent["request"]["systemInstruction"]["parts"] == [{"text": "s"}]
    assert sent["request"]["generationConfig"] == {
        "maxOutputTokens": 5, "responseMimeType": "application/json", "responseJsonSchema": schema,
    }  # fmt: skip


def test_only_failed_rows_go_again(kind: str, ledger: Ledger) -> None:
    vendor = BatchVendor(fail_row=lambda prompt, n_before: (500, "try again") if prompt in "bd"[n_before:] else None)
    with SmallProvider(vendor) as server:
        outcomes = ask(server, kind, ledger, [chat(text) for text in "abcd"])
    assert texts(outcomes) == [extraction_of(text) for text in "abcd"]
    # b fails once, d twice.
    assert vendor.sent == [["a", "b", "c", "d"], ["b", "d"], ["d"]]


def test_what_fails_in_every_round_is_a_named_failure(kind: str, ledger: Ledger) -> None:
    faults = {"a": (500, "out of order"), "b": (400, f"too long for\n{KEY}")}
    vendor = BatchVendor(n_looks=0, fail_row=lambda prompt, _n_before: faults.get(prompt))
    with SmallProvider(vendor) as server:
        failed, bad, good = ask(server, kind, ledger, [chat(text) for text in "abc"])
    assert failed == CallFailure("server_error", "out of order")
    assert bad == CallFailure("bad_request", "too long for ***")
    assert isinstance(good, ChatReply)
    assert vendor.sent == [["a", "b", "c"], ["a"], ["a"], ["a"]]


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [(401, "bad key", "key for model m was refused"), (404, "no such model", "no model m")],
)
def test_a_fault_that_no_batch_can_mend_keeps_the_rest_and_is_asked_anew(
    kind: str, ledger: Ledger, status: int, said: str, words: str
) -> None:
    vendor = BatchVendor(fail_row=lambda prompt, n_before: (status, said) if prompt == "b" and not n_before else None)
    with SmallProvider(vendor) as server:
        with pytest.raises(FatalModelError, match=words):
            ask(server, kind, ledger, [chat(text) for text in "abc"])
        assert set(ledger.lookup(chat(text).call_id for text in "abc")) == {chat("a").call_id, chat("c").call_id}
        assert texts(ask(server, kind, ledger, [chat(text) for text in "abc"])) == [extraction_of(t) for t in "abc"]
    assert vendor.sent == [["a", "b", "c"], ["b"]]


def test_a_server_that_takes_no_schema_gets_none_in_the_next_batch(kind: str, ledger: Ledger) -> None:
    word = "response_format" if kind == "openai" else "responseJsonSchema"
    vendor = BatchVendor(fail_row=lambda _prompt, n_before: None if n_before else (400, f"unknown field {word}"))
    with SmallProvider(vendor) as server:
        outcomes = ask(server, kind, ledger, [chat(text, reply_schema={"type": "object"}) for text in "ab"])
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert vendor.sent == [["a", "b"], ["a", "b"]]
    sent = [*vendor.files.values(), *(json.dumps(body) for body in server.bodies)]
    assert sum(word in content for content in sent if "metadata" in content or "custom_id" in content) >= 1


def test_large_sets_go_in_several_batches(kind: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = BatchVendor()
    with SmallProvider(vendor) as server:
        study = study_at(server, kind)
        provider = open_chat_provider("prov", study, ledger)
        monkeypatch.setattr(provider._wire, "most_rows", 2)  # type: ignore[attr-defined]
        requests = [chat(text) for text in "abcde"] + [ChatRequest("other", (Message("user", "f"),))]
        assert sorted(index for index, _ in provider.complete(requests)) == [0, 1, 2, 3, 4, 5]
        assert list(provider.complete([])) == []
        provider.close()
    assert vendor.sent == [["a", "b"], ["c", "d"], ["e"], ["f"]]


def run_apart(server: SmallProvider, kind: str, folder: Path, prompts: str) -> subprocess.Popen[bytes]:
    """A process that submits and then waits indefinitely, as its poll interval is long."""
    code = (
        "import sys; from pathlib import Path\n"
        "from advcluster_dagster.ledger.ledger import Ledger\n"
        "from advcluster_dagster.study.study import Study\n"
        "from advcluster_dagster.pipeline.providers import open_chat_provider\n"
        "from tests.ledger.test_batches import chat\n"
        "ledger = Ledger(sys.argv[1]); study = Study.model_validate_json(sys.argv[2])\n"
        "list(open_chat_provider('prov', study, ledger).complete([chat(text) for text in sys.argv[3]]))\n"
    )
    study = study_at(server, kind, poll_s=1000).model_dump_json()
    url = f"sqlite:///{folder}/calls.sqlite"
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen([sys.executable, "-c", code, url, study, prompts], cwd=root, env={**os.environ})


def wait_until(is_so: Callable[[], bool]) -> None:
    import time

    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_process_leaves_its_batch_to_the_next(kind: str, tmp_path: Path, ledger: Ledger) -> None:
    vendor = BatchVendor(fail_row=lambda prompt, n_before: (500, "again") if prompt == "b" and not n_before else None)
    with SmallProvider(vendor) as server:
        process = run_apart(server, kind, tmp_path, "abc")
        try:
            wait_until(lambda: [state for _, _, state, _ in open_batches(ledger)] == ["submitted"])
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert texts(ask(server, kind, ledger, [chat(text) for text in "abcd"])) == [extraction_of(t) for t in "abcd"]
    # Only unsent calls are submitted now, and then the failed row.
    assert vendor.sent == [["a", "b", "c"], ["d"], ["b"]]


def test_two_steps_at_once_hand_each_call_over_once(kind: str, tmp_path: Path) -> None:
    vendor, both = BatchVendor(), threading.Barrier(2)

    def run(wanted: str) -> list[str]:
        with Ledger(f"sqlite:///{tmp_path}/calls.sqlite") as own:
            both.wait()
            return texts(ask(server, kind, own, [chat(text) for text in wanted]))

    with SmallProvider(vendor) as server, ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, ["abcd", "dcba"])
    assert first == second[::-1] == [extraction_of(text) for text in "abcd"]
    assert sorted(text for batch in vendor.sent for text in batch) == [*"abcd"]


def test_a_ledger_that_takes_no_reply_leaves_the_other_batches_with_the_vendor(kind: str, tmp_path: Path) -> None:
    """Otherwise the step would poll them for a day, and submit more."""
    vendor, full = BatchVendor(), sqlite3.OperationalError("database or disk is full")

    def refuse(*_: object) -> None:
        raise full

    with SmallProvider(vendor) as server, Ledger(f"sqlite:///{tmp_path}/calls.sqlite") as ledger:
        study = study_at(server, kind)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger, "record_many", refuse)
            provider = open_chat_provider("prov", study, ledger)
            patch.setattr(provider._wire, "most_rows", 1)  # type: ignore[attr-defined]
            collect = provider._wire.collect  # type: ignore[attr-defined]

            async def first_only(batch: Batch) -> object:
                return await collect(batch) if batch.call_ids == (chat("a").call_id,) else None

            patch.setattr(provider._wire, "collect", first_only)  # type: ignore[attr-defined]
            raises = pytest.raises(FatalModelError, match="1 replies were saved to")
            with ModelCalls(ledger, "prov", lambda: provider, USE) as calls, raises:
                calls.chat([chat(text) for text in "abc"])
        assert texts(ask(server, kind, ledger, [chat(text) for text in "abc"])) == [extraction_of(t) for t in "abc"]
    assert vendor.sent == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("is_listing", [True, False])
def test_a_process_killed_while_it_submitted(kind: str, tmp_path: Path, ledger: Ledger, is_listing: bool) -> None:
    vendor = BatchVendor(is_listing=is_listing)
    with SmallProvider(vendor) as server:
        study = study_at(server, kind)
        first = open_chat_provider("prov", study, ledger)
        with pytest.MonkeyPatch.context() as patch:  # created, but the process dies before storing the id
            patch.setattr(first._store, "submitted", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))  # type: ignore[attr-defined]
            with pytest.raises(KeyboardInterrupt):
                list(first.complete([chat("a")]))
        first.close()
        assert [(batch_id, state) for _, batch_id, state, _ in open_batches(ledger)] == [("", "submitting")]
        assert texts(ask(server, kind, ledger, [chat("a")])) == [extraction_of("a")]
    # If the vendor lists batches, it is found by its token; otherwise it has to be sent again.
    assert len(vendor.sent) == (1 if is_listing else 2)


def test_results_that_were_read_and_not_kept_are_read_again(kind: str, ledger: Ledger) -> None:
    vendor = BatchVendor()
    with SmallProvider(vendor) as server:
        study = study_at(server, kind)
        provider = open_chat_provider("prov", study, ledger)
        assert len(list(provider.complete([chat("a"), chat("b")]))) == 2  # nothing is written to the ledger
        provider.close()
        assert texts(ask(server, kind, ledger, [chat("a"), chat("b")])) == [extraction_of(text) for text in "ab"]
    assert len(vendor.sent) == 1


def test_a_retired_call_goes_with_a_batch_of_its_own(kind: str, ledger: Ledger) -> None:
    vendor = BatchVendor()
    with SmallProvider(vendor) as server:
        ask(server, kind, ledger, [chat("a"), chat("b")])
        ledger.retire([chat("a").call_id])
        ask(server, kind, ledger, [chat("a"), chat("b")])
    assert vendor.sent == [["a", "b"], ["a"]]


def test_a_batch_the_vendor_forgot_goes_again(kind: str, ledger: Ledger) -> None:
    vendor = BatchVendor(n_looks=10**6)
    with SmallProvider(vendor) as server:
        study = study_at(server, kind)
        provider = open_chat_provider("prov", study, ledger)
        requests = [chat("a")]
        store = provider._store  # type: ignore[attr-defined]
        store.submitted(store.open("m", [requests[0].call_id], 0), "batches/gone")
        vendor.n_looks = 0
        assert texts([outcome for _, outcome in provider.complete(requests)]) == [extraction_of("a")]
        provider.close()
    assert len(vendor.sent) == 1


def test_a_vendor_that_takes_no_batch_stops_with_one_line(kind: str, ledger: Ledger) -> None:
    def refuse(_path: str, _body: object, _n_before: int) -> object:
        from tests.providers.small_provider import error_answer

        return error_answer(500, "out of order")

    with (
        SmallProvider(refuse) as server,  # type: ignore[arg-type]
        pytest.raises(
            FatalModelError, match=r"provider prov: a batch of 1 calls of model m was not accepted .server_error"
        ),
    ):
        ask(server, kind, ledger, [chat("a")])


def test_looks_that_fail_are_put_up_with_for_a_while(
    kind: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = BatchVendor(n_looks=10**6)
    monkeypatch.setattr(batch_chat, "_MOST_FAILED_POLLS", 3)
    with SmallProvider(vendor) as server:
        study = study_at(server, kind)
        provider = open_chat_provider("prov", study, ledger)

        async def fail(_batch: object) -> None:
            raise ValueError("garbage")

        monkeypatch.setattr(provider._wire, "collect", fail)  # type: ignore[attr-defined]
        with pytest.raises(FatalModelError, match=r"cannot be polled .garbage.; it stays open, run again"):
            list(provider.complete([chat("a")]))
        provider.close()
    assert [state for _, _, state, _ in open_batches(ledger)] == ["submitted"]


def test_the_key_is_in_no_row_and_no_log(
    kind: str, tmp_path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor = BatchVendor(fail_row=lambda prompt, _n_before: (400, f"bad {KEY}") if prompt == "b" else None)
    with SmallProvider(vendor) as server:
        ask(server, kind, ledger, [chat("a"), chat("b")])
    with sqlite3.connect(tmp_path / "calls.sqlite") as database:
        dump = "\n".join(database.iterdump())
    assert "bad ***" in dump
    assert KEY not in dump
    assert KEY not in caplog.text


def test_batch_mode_of_a_whole_study_and_without_a_ledger(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with SmallProvider() as server:
        study = study_at(server, "openai")
    direct = study.model_copy(update={"providers": {}})
    batched = in_batch_mode(direct)
    assert {name: settings.kind for name, settings in batched.providers.items()} == dict(zip(KINDS, KINDS, strict=True))
    assert all(settings.mode == "batch" for settings in batched.providers.values())
    open_chat_provider("openai", batched, ledger).close()
    with pytest.raises(FatalModelError, match="provider openai has no batch mode"):
        open_chat_provider("openai", batched)

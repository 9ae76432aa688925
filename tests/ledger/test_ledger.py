import multiprocessing
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.ledger.ledger import Ledger, LedgerError, MeanUsage
from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.ledger.tables import SCHEMA_VERSION, UPGRADES, request_text
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, EmbeddingReply, EmbeddingRequest
from advcluster_dagster.science.prompting import Message


def request(text: str = "hello", trial: int = 0, model: str = "m") -> ChatRequest:
    return ChatRequest(model, (Message("user", text),), {"temperature": 0.5}, trial)


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder}/ledger/calls.sqlite"


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger(url_in(tmp_path)) as opened:
        yield opened


def test_a_chat_reply_comes_back_field_for_field(ledger: Ledger) -> None:
    reply = ChatReply("text \x00 é", "why", "stop", 7, 3, "m-1", "fp", "up", {"seed": 1})
    ledger.record(request(), reply, "p")
    assert ledger.lookup([request().call_id]) == {request().call_id: reply}


def test_a_reply_of_unknown_usage_stays_unknown(ledger: Ledger) -> None:
    ledger.record(request(), ChatReply("x"), "p")
    assert ledger.lookup([request().call_id])[request().call_id] == ChatReply("x")
    totals = ledger.totals_by_model()["m"]
    assert (totals.prompt_tokens, totals.completion_tokens) == (None, None)


def test_a_failure_is_kept_and_replayed(ledger: Ledger) -> None:
    failure = CallFailure("rate_limited", "try again")
    ledger.record(request(), failure, "p")
    assert ledger.lookup([request().call_id])[request().call_id] == failure


def test_a_vector_comes_back_bit_for_bit(ledger: Ledger) -> None:
    embedding_request = EmbeddingRequest("e", "text", 3)
    ledger.record(embedding_request, EmbeddingReply(np.array([0.1, -0.0, 3e-45], dtype=np.float32), 2), "p")
    outcome = ledger.lookup([embedding_request.call_id])[embedding_request.call_id]
    assert isinstance(outcome, EmbeddingReply)
    assert outcome.vector.dtype == np.float32
    assert outcome.vector.tobytes() == np.array([0.1, -0.0, 3e-45], dtype=np.float32).tobytes()
    assert outcome.prompt_tokens == 2


def test_unknown_calls_are_absent(ledger: Ledger) -> None:
    assert ledger.lookup([]) == {}
    assert ledger.lookup(["0" * 64]) == {}


def test_trials_are_different_calls(ledger: Ledger) -> None:
    ledger.record(request(trial=0), ChatReply("a"), "p")
    assert ledger.lookup([request(trial=1).call_id]) == {}


def test_more_ids_than_one_query_takes(ledger: Ledger) -> None:
    asked = [request(str(number)) for number in range(1201)]
    ledger.record_many([(call, ChatReply(str(number))) for number, call in enumerate(asked)], "p")
    outcomes = ledger.lookup(call.call_id for call in asked)
    assert [outcomes[call.call_id] for call in asked] == [ChatReply(str(number)) for number in range(1201)]


def test_a_second_reply_is_counted_and_the_first_stays(ledger: Ledger) -> None:
    assert ledger.record_many([(request(), ChatReply("first"))], "p") == set()
    assert ledger.record_many([(request(), ChatReply("second"))], "p") == {request().call_id}
    assert ledger.lookup([request().call_id])[request().call_id] == ChatReply("first")
    totals = ledger.totals_by_model()["m"]
    assert (totals.n_calls, totals.n_paid_twice) == (1, 1)


def test_a_retired_entry_answers_no_more_and_stays_on_disk(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(request(), CallFailure("timeout", "slow"), "p")
    assert ledger.retire([request().call_id, "0" * 64]) == 1
    assert ledger.lookup([request().call_id]) == {}
    for text in ("second", "third"):
        assert ledger.record_many([(request(), ChatReply(text))], "p") == set()
        assert ledger.lookup([request().call_id])[request().call_id] == ChatReply(text)
        assert ledger.retire([request().call_id]) == 1
    rows = sqlite3.connect(tmp_path / "ledger" / "calls.sqlite").execute(
        "select revision, is_retired, n_replies from calls order by revision"
    )
    assert rows.fetchall() == [(0, 1, 1), (1, 1, 1), (2, 1, 1)]
    assert ledger.totals_by_model() == {}


def test_totals_by_model_and_by_use(ledger: Ledger) -> None:
    calls = [
        (request("a"), ChatReply("x", prompt_tokens=10, completion_tokens=1)),
        (request("b"), ChatReply("x", prompt_tokens=20, completion_tokens=2)),
        (request("c", model="n"), CallFailure("timeout", "slow")),
    ]
    ledger.record_many(calls, "p")
    ids = [asked.call_id for asked, _ in calls]
    ledger.note_uses("s", "corpus", "f|d", ids[:2])
    ledger.note_uses("s", "corpus", "f|d", ids[:2])  # recorded once
    ledger.note_uses("s", "corpus", "f|e", ids[1:])
    ledger.note_uses("other", "corpus", "f|e", ids)
    ledger.note_uses("s", "nothing", "f|e", [])
    by_model = ledger.totals_by_model()
    # m: a + b = 10 + 20 prompt tokens, 1 + 2 completion tokens.
    assert (by_model["m"].n_calls, by_model["m"].prompt_tokens, by_model["m"].completion_tokens) == (2, 30, 3)
    assert (by_model["n"].n_calls, by_model["n"].n_failures, by_model["n"].prompt_tokens) == (1, 1, None)
    by_use = ledger.totals_by_use("s")
    assert set(by_use) == {("s", "corpus", "f|d"), ("s", "corpus", "f|e")}
    assert by_use["s", "corpus", "f|d"].prompt_tokens == 30
    assert (by_use["s", "corpus", "f|e"].n_calls, by_use["s", "corpus", "f|e"].prompt_tokens) == (2, 20)


def test_the_file_is_in_wal_mode_and_holds_plain_json(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(request(), ChatReply("x"), "p")
    connection = sqlite3.connect(tmp_path / "ledger" / "calls.sqlite")
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    assert connection.execute("select json_extract(request, '$.messages[0].content') from calls").fetchone() == (
        "hello",
    )
    assert connection.execute("select provider, created_at like '____-__-__T%+00:00' from calls").fetchone() == ("p", 1)


def test_reopening_keeps_everything(tmp_path: Path) -> None:
    with Ledger(url_in(tmp_path)) as first:
        first.record(request(), ChatReply("x"), "p")
    with Ledger(url_in(tmp_path)) as second:
        assert second.lookup([request().call_id]) == {request().call_id: ChatReply("x")}


def test_an_older_ledger_is_brought_up_to_date(tmp_path: Path) -> None:
    """Version 1 had no index of uses by asset."""
    with Ledger(url_in(tmp_path)) as first:
        first.record(request(), ChatReply("x"), "p")
    connection = sqlite3.connect(tmp_path / "ledger" / "calls.sqlite")
    connection.executescript("drop index call_uses_by_asset; update schema_version set version = 1")
    connection.close()
    for _ in range(2):  # the second finds nothing to do
        with Ledger(url_in(tmp_path)) as ledger, ledger.read() as opened:
            assert opened.exec_driver_sql("select version from schema_version").fetchall() == [(SCHEMA_VERSION,)]
            indexes = opened.exec_driver_sql("select name from sqlite_master where type = 'index'").scalars()
            assert "call_uses_by_asset" in set(indexes)
            assert ledger.lookup([request().call_id]) == {request().call_id: ChatReply("x")}


def test_every_older_version_has_its_upgrade() -> None:
    assert sorted(UPGRADES) == list(range(1, SCHEMA_VERSION))


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    Ledger(url_in(tmp_path)).close()
    connection = sqlite3.connect(tmp_path / "ledger" / "calls.sqlite")
    connection.execute("update schema_version set version = 99")
    connection.commit()
    with pytest.raises(LedgerError, match="have version 99, this release supports versions up to 3"):
        Ledger(url_in(tmp_path))


@given(text=st.text(), reasoning=st.none() | st.text())
def test_any_text_survives(text: str, reasoning: str | None) -> None:
    with Ledger("sqlite://") as ledger:
        ledger.record(request(text), ChatReply(text, reasoning), "p")
        assert ledger.lookup([request(text).call_id]) == {request(text).call_id: ChatReply(text, reasoning)}


def _write_many(url: str, worker: int) -> None:
    with Ledger(url) as ledger:
        for number in range(40):
            ledger.record(request(f"{worker} {number}"), ChatReply("own"), "p")
            ledger.record(request(f"shared {number}"), ChatReply("shared"), "p")
            ledger.note_uses("s", "a", f"w{worker}", [request(f"shared {number}").call_id])


def test_several_processes_open_and_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(url_in(tmp_path), worker)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    with Ledger(url_in(tmp_path)) as ledger:
        totals = ledger.totals_by_model()["m"]
        # 4 x 40 separate calls and 40 shared ones, each answered four times: 3 x 40 duplicates.
        assert (totals.n_calls, totals.n_paid_twice) == (200, 120)
        assert ledger.totals_by_use("s")["s", "a", "w3"].n_calls == 40


def _write_and_die(url: str) -> None:
    Ledger(url).record(request(), ChatReply("kept"), "p")
    os._exit(9)


def test_what_was_recorded_outlives_a_killed_process(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(url_in(tmp_path),))
    process.start()
    process.join()
    assert process.exitcode == 9
    with Ledger(url_in(tmp_path)) as ledger:
        assert ledger.lookup([request().call_id]) == {request().call_id: ChatReply("kept")}


def test_costs_are_kept_and_missing_is_not_nothing(ledger: Ledger) -> None:
    price = Price(2.0, 10.0)
    asked = [request(str(number)) for number in range(4)]
    replies = [
        ChatReply("x", prompt_tokens=1_000, completion_tokens=100),
        ChatReply("x"),
        CallFailure("timeout", "slow"),
    ]
    ledger.record_many(list(zip(asked, replies, strict=False)), "p", price)
    ledger.record(asked[3], replies[0], "p")  # of a model without a price
    ledger.note_uses("s", "a", "p", [call.call_id for call in asked])
    (totals,) = ledger.totals_by_asset_and_model("s").values()
    # 1,000 x 2 + 100 x 10 dollars per million.
    assert (totals.n_calls, totals.cost, totals.n_cost_unknown) == (4, pytest.approx(0.003), 3)
    assert ledger.cost_of(call.call_id for call in asked) == (pytest.approx(0.003), 3)
    assert ledger.cost_of([asked[1].call_id]) == (None, 1)
    assert ledger.cost_of([]) == (None, 0)
    assert ledger.totals_by_asset_and_model("nobody") == {}


def test_the_mean_of_earlier_replies_is_that_of_a_model_in_an_asset(ledger: Ledger) -> None:
    assert ledger.mean_usage("m", "a") == MeanUsage(None, None)
    one, other, elsewhere, untold = (request(text) for text in ("one", "other", "elsewhere", "untold"))
    n_characters = len(request_text(one)) + len(request_text(other))
    ledger.record(one, ChatReply("x", prompt_tokens=10, completion_tokens=20), "p")
    ledger.record(other, ChatReply("x", prompt_tokens=30, completion_tokens=40), "p")
    ledger.record(elsewhere, ChatReply("x", prompt_tokens=1, completion_tokens=1000), "p")
    ledger.record(untold, ChatReply("x"), "p")
    ledger.note_uses("s", "a", "p", [one.call_id, untold.call_id])
    ledger.note_uses("t", "a", "p", [one.call_id, other.call_id])  # whichever study it was, each call once
    ledger.note_uses("s", "b", "p", [elsewhere.call_id])
    assert ledger.mean_usage("m", "a") == MeanUsage(30.0, pytest.approx(40 / n_characters))

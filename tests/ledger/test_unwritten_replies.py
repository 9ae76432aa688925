"""Replies that the ledger cannot store: sending stops, and received replies are saved to files until imported."""

import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from advcluster_dagster.ledger import database as ledger_database
from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.ledger import Ledger, LedgerError
from advcluster_dagster.ledger.unwritten_replies import UnwrittenCall, UnwrittenFile
from advcluster_dagster.models.openai_compatible import OpenAICompatibleChat
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.study.models import Provider
from tests.providers.small_provider import Answer, Body, SmallProvider, chat_completion

USE = ("s", "corpus", "f|d")
KEY = "sk-not-a-real-key-8d1f"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, replaced by one of the test."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger/calls.sqlite"


def chat(text: str) -> ChatRequest:
    return ChatRequest("m", (Message("user", text),))


class Disk:
    """Simulates the disk of a ledger's database: SQLite refuses to grow a file past a number of pages."""

    def __init__(self, ledger: Ledger) -> None:
        self._most: int | None = None
        self._engine = ledger._engine
        sa.event.listen(self._engine, "begin", self._limit)

    def fill(self, n_pages_left: int = 0) -> None:
        with self._engine.connect() as opened:
            self._most = opened.exec_driver_sql("pragma page_count").scalar_one() + n_pages_left

    def empty(self) -> None:
        self._most = None

    def _limit(self, opened: sa.Connection) -> None:
        opened.connection.driver_connection.execute(f"pragma max_page_count = {self._most or 2**30}")


def answer(size: int) -> Any:
    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        return Answer(chat_completion(body, body["messages"][0]["content"] + "x" * size))

    return respond


@contextmanager
def remote(server: SmallProvider, n_in_flight: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAICompatibleChat]:
    monkeypatch.setenv("TEST_KEY", KEY)
    settings = Provider(base_url=server.url, api_key_env="TEST_KEY", max_in_flight=n_in_flight)
    yield OpenAICompatibleChat("prov", settings)


def stored_and_saved(ledger: Ledger, requests: Sequence[ChatRequest]) -> tuple[set[str], list[dict[str, Any]]]:
    """Ids of the calls in the ledger, and the calls saved to files."""
    saved = [json.loads(line) for path in ledger.unwritten.files() for line in path.read_text().splitlines()]
    return set(ledger.lookup(request.call_id for request in requests)), saved


def test_a_full_disk_stops_the_sending_and_loses_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [chat(f"{number} ") for number in range(200)]
    with SmallProvider(answer(20_000), latency_s=0.02) as server, Ledger(url) as ledger:
        disk = Disk(ledger)
        disk.fill(n_pages_left=120)  # room for some 20 of these replies
        with (
            remote(server, 8, monkeypatch) as provider,
            ModelCalls(ledger, "prov", lambda: provider, USE) as calls,
            pytest.raises(FatalModelError, match=r"database or disk is full; .* replies were saved to .*ledger/unk"),
        ):
            calls.chat(asked)
        stored, saved = stored_and_saved(ledger, asked)
        n_completed = server.stats.completed
        assert stored
        assert saved
        assert len(stored) + len(saved) == n_completed < 100  # of 200
        # Saved replies are imported once the ledger is writable; only the owner can read the file.
        (path,) = ledger.unwritten.files()
        assert path.parent.name == "ledger"
        assert path.stat().st_mode & 0o777 == 0o600
        assert KEY not in path.read_text()
        disk.empty()
        with remote(server, 8, monkeypatch) as provider, ModelCalls(ledger, "prov", lambda: provider, USE) as calls:
            replies = calls.chat(asked)
        assert [reply.text[:4].split()[0] for reply in replies] == [str(number) for number in range(200)]
        assert calls.stats.n_asked == 200 - n_completed
        assert server.stats.repeated == 0
        assert ledger.unwritten.files() == []
        totals = ledger.totals_by_use("s")[USE]
        assert (totals.n_calls, totals.n_paid_twice) == (200, 0)


def test_calls_in_flight_are_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger refuses the first reply while three calls are in flight: all four are saved to a file."""
    all_sent, refused_one = threading.Barrier(4), threading.Event()

    def respond(path: str, body: Body, n_before: int) -> Answer:
        number = int(body["messages"][0]["content"])
        if number < 4:
            all_sent.wait(30)
        if number > 0:
            refused_one.wait(30)
        return answer(20_000)(path, body, n_before)

    asked = [chat(str(number)) for number in range(50)]
    with SmallProvider(respond) as server, Ledger(url) as ledger:
        Disk(ledger).fill(n_pages_left=2)
        monkeypatch.setattr(ledger_database.time, "sleep", lambda _s: pytest.fail("a permanent fault was tried again"))  # type: ignore[attr-defined]
        stop = OpenAICompatibleChat.stop
        monkeypatch.setattr(OpenAICompatibleChat, "stop", lambda provider: (stop(provider), refused_one.set()))
        with (
            remote(server, 4, monkeypatch) as provider,
            ModelCalls(ledger, "p", lambda: provider, USE) as calls,
            pytest.raises(FatalModelError, match="no further calls were sent"),
        ):
            calls.chat(asked)
        stored, saved = stored_and_saved(ledger, asked)
    assert stored == set()
    assert len(saved) == server.stats.completed
    assert 4 <= server.stats.requests <= 5  # those in flight, and the one that replaced the first


class Echo:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        for index, request in enumerate(requests):
            self.asked.append(request.messages[0].content)
            yield index, ChatReply(request.messages[0].content)

    def close(self) -> None:
        pass


def refused(ledger: Ledger, *texts: str) -> str:
    """The message of a step whose replies the ledger cannot store."""
    full = sqlite3.OperationalError("database or disk is full")

    def refuse(*_: object) -> None:
        raise full

    with pytest.MonkeyPatch.context() as patch, ModelCalls(ledger, "p", Echo, USE) as calls:
        patch.setattr(ledger, "record_many", refuse)
        with pytest.raises(FatalModelError) as error:
            calls.chat([chat(text) for text in texts])
    return str(error.value)


def test_the_next_opening_takes_them_in(url: str) -> None:
    with Ledger(url) as ledger:
        line = refused(ledger, "a")
        (path,) = ledger.unwritten.files()
        assert f"1 replies were saved to {path}: free disk space and run again" in line
    with Ledger(url) as again:
        assert again.lookup([chat("a").call_id]) == {chat("a").call_id: ChatReply("a")}
        assert again.totals_by_use("s")[USE].n_calls == 1
        assert not path.exists()


def test_another_process_that_is_running_takes_them_in_before_it_asks(url: str) -> None:
    provider = Echo()
    with Ledger(url) as ledger, Ledger(url) as other:
        refused(ledger, "a")
        with ModelCalls(other, "p", lambda: provider, USE) as calls:
            calls.chat([chat("a"), chat("b")])
        assert provider.asked == ["b"]
        assert (calls.stats.n_asked, calls.stats.n_replayed) == (1, 1)


def test_a_full_disk_is_seen_before_anything_is_sent(url: str) -> None:
    provider = Echo()
    with Ledger(url) as ledger:
        refused(ledger, *(letter * 9000 for letter in "abcdefgh"))
        Disk(ledger).fill()
        message = "cannot be written: database or disk is full; no calls are sent"
        with ModelCalls(ledger, "p", lambda: provider, USE) as calls, pytest.raises(FatalModelError, match=message):
            calls.chat([chat("z")])
        assert provider.asked == []
        assert len(ledger.unwritten.files()) == 1


def test_where_the_ledgers_disk_takes_no_file_the_temporary_folder_does(
    url: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, folder = os.open, Path(url.removeprefix("sqlite:///")).parent

    def refuse(path: Any, *rest: Any, **more: Any) -> int:
        if Path(str(path)).parent == folder:
            raise OSError(28, "No space left on device")
        return real(path, *rest, **more)

    with Ledger(url) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            assert str(temporary) in refused(ledger, "a")
        assert [path.parent for path in ledger.unwritten.files()] == [temporary]
        with Ledger(f"sqlite:///{temporary}/../other.sqlite") as other:
            assert other.unwritten.files() == []
            assert other.lookup([chat("a").call_id]) == {}
    with Ledger(url) as again:
        assert list(again.lookup([chat("a").call_id])) == [chat("a").call_id]


def test_a_disk_that_fills_up_in_the_middle_of_a_line(
    url: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, n_left = os.write, [2000]

    def write(file: int, data: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{file}").startswith(str(temporary)):
            return real(file, data)
        if n_left[0] == 0:
            raise OSError(28, "No space left on device")
        n_written = real(file, data[: n_left[0]])
        n_left[0] -= n_written
        return n_written

    texts = [str(number) for number in range(20)]
    with Ledger(url) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            line = refused(ledger, *texts)
        first, second = ledger.unwritten.files()
        assert f"{first} and {second}" in line
        assert first.read_bytes().endswith(b"\n")
    with Ledger(url) as again:
        assert len(again.lookup(chat(text).call_id for text in texts)) >= 1
        assert again.totals_by_model()["m"].n_paid_twice == 0


def test_no_place_at_all_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with Ledger(url) as ledger, monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert "1 replies could not be saved anywhere and will be requested again" in refused(ledger, "a")


def test_a_file_read_twice_counts_once(url: str) -> None:
    """As after a crash between the commit and the removal of the file."""
    with Ledger(url) as ledger:
        refused(ledger, "a")
        (path,) = ledger.unwritten.files()
        text = path.read_bytes()
        assert ledger.import_unwritten() == 1
        path.write_bytes(text)
        ledger.import_unwritten()
        assert ledger.totals_by_model()["m"].n_paid_twice == 0


def test_a_file_that_is_being_written_is_left_alone(url: str) -> None:
    with Ledger(url) as ledger:
        refused(ledger, "a")
        (path,) = ledger.unwritten.files()
        call = json.loads(path.read_text())
        writing = UnwrittenFile(ledger.unwritten)
        path.unlink()
        writing.write([UnwrittenCall(call["row"], tuple(call["use"]))])
        with Ledger(url) as other:
            assert other.lookup([chat("a").call_id]) == {}
        writing.close()
        assert ledger.import_unwritten() == 1


def test_what_is_no_call_is_not_taken_in(url: str, temporary: Path) -> None:
    with Ledger(url) as ledger:
        refused(ledger, "a")
        (path,) = ledger.unwritten.files()
        line = json.loads(path.read_text())
        forged = {**line, "row": {**line["row"], "request": line["row"]["request"].replace('"a"', '"b"')}}
        path.write_text(f"{json.dumps(forged)}\n{json.dumps(line)}\n[1]\n" + json.dumps(line)[:30])
        assert ledger.import_unwritten() == 1
        assert ledger.unwritten.files() == []
        assert list(path.parent.glob("*.broken")) == [path.with_suffix(".broken")]
        assert list(ledger.lookup([chat("a").call_id, chat("b").call_id])) == [chat("a").call_id]
        # A symbolic link in the world-writable temporary folder is not followed.
        (temporary / "real.jsonl").write_text(f"{json.dumps(line)}\n")
        (temporary / f"unkept-replies-{ledger.unwritten.name}-1.jsonl").symlink_to(temporary / "real.jsonl")
        assert ledger.unwritten.files() == []


def test_a_database_that_is_read_only_is_said_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(url) as ledger:
        sa.event.listen(
            ledger._engine, "begin", lambda opened: opened.exec_driver_sql("pragma query_only = 1"), insert=True
        )
        monkeypatch.setattr(ledger_database.time, "sleep", lambda _s: pytest.fail("a permanent fault was tried again"))  # type: ignore[attr-defined]
        provider = Echo()
        with ModelCalls(ledger, "p", lambda: provider, USE) as calls, pytest.raises(FatalModelError, match="readonly"):
            calls.chat([chat("the database is locked")])  # the request's text must not be mistaken for the error
        assert provider.asked == []


def test_only_a_lock_is_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    tries = {"database is locked": 5, "disk I/O error": 0, "database disk image is malformed": 0}
    monkeypatch.setattr(ledger_database.time, "sleep", pauses.append)  # type: ignore[attr-defined]
    with Ledger(url) as ledger:
        for words, n_pauses in tries.items():
            fault = sqlite3.OperationalError(words)

            def fail(_connection: sa.Connection, fault: Exception = fault) -> None:
                raise fault

            pauses.clear()
            with pytest.raises((sqlite3.OperationalError, LedgerError)):
                ledger.write(fail)
            assert len(pauses) == n_pauses

"""Claims on calls in SQLite; the cases are shared with PostgreSQL (integration)."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from advcluster_dagster.ledger.call_claims import CallClaims, start_of
from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.claimed_requests import ClaimedRequests
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.tables import CLAIMS
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError
from tests.ledger import claiming
from tests.ledger.claiming import USE, Counting, chat, ids, rows_of


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/calls.sqlite"


@pytest.mark.parametrize("case", claiming.CASES, ids=lambda case: case.__name__)
def test_claims_in_sqlite(case: Callable[[str], None], url: str) -> None:
    case(url)


def test_a_process_that_hangs_is_given_up_after_a_lease(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claiming.a_process_that_hangs_is_given_up_after_a_lease(url, monkeypatch)


def test_processes_are_told_apart_by_their_start() -> None:
    assert start_of(os.getpid()) == start_of(os.getpid()) is not None
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        assert start_of(process.pid) != start_of(os.getpid())
    assert start_of(process.pid) is None


def test_a_step_that_ends_without_outcome_gives_its_claims_up(url: str) -> None:
    class Fatal(Counting):
        def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
            yield from super().complete(list(requests)[:1])
            raise FatalModelError("the quota is used up")

    with Ledger(url) as ledger, ModelCalls(ledger, "p", Fatal, USE) as calls:
        with pytest.raises(FatalModelError, match="quota"):
            calls.chat([chat("a"), chat("b")])
        assert rows_of(ledger, CLAIMS) == []
        assert list(ledger.lookup(ids("a", "b"))) == ids("a")


def test_what_another_gave_up_is_asked_here(url: str) -> None:
    provider = Counting()
    with Ledger(url) as ledger, ModelCalls(ledger, "p", lambda: provider, USE) as calls:
        other_claims = CallClaims(ledger)
        other_claims.__enter__()
        other_claims.take(ids("b"))
        leaving = threading.Thread(target=lambda: (_until(lambda: "c" in provider.asked), other_claims.__exit__()))
        leaving.start()
        replies = calls.chat([chat("a"), chat("b"), chat("c")])
        leaving.join()
    assert [reply.text for reply in replies] == ["A", "B", "C"]
    assert provider.asked == ["a", "c", "b"]


def test_a_reply_that_another_process_got_is_replayed(url: str) -> None:
    provider, progress = Counting(), []
    with (
        Ledger(url) as ledger,
        ModelCalls(
            ledger, "p", lambda: provider, USE, on_progress=lambda done, total: progress.append((done, total))
        ) as calls,
        CallClaims(ledger) as other_claims,
    ):
        other_claims.take(ids("b"))

        def answer() -> None:
            _until(lambda: "c" in provider.asked)
            ledger.record(chat("b"), ChatReply("theirs"), "p")

        answering = threading.Thread(target=answer)
        answering.start()
        replies = calls.chat([chat("a"), chat("b"), chat("c")])
        answering.join()
    assert [reply.text for reply in replies] == ["A", "theirs", "C"]
    assert (calls.stats.n_asked, calls.stats.n_replayed) == (2, 1)
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_requests_are_claimed_as_they_are_reached(url: str) -> None:
    asked = [chat(str(number)) for number in range(100)]
    with Ledger(url) as ledger, CallClaims(ledger) as claims:
        requests = ClaimedRequests(asked, claims)
        assert next(iter(requests)) == asked[0]
        n_claimed = len(rows_of(ledger, CLAIMS))
        assert 1 <= n_claimed <= 32
        assert requests[40] == asked[40]
        assert len(rows_of(ledger, CLAIMS)) <= 64
        assert list(requests) == list(requests) == requests[:] == asked
        assert len(rows_of(ledger, CLAIMS)) == len(requests) == 100
        requests.stop(FatalModelError("full"))
        assert requests[99] == asked[99]
        with pytest.raises(FatalModelError, match="full"):
            list(requests)


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)

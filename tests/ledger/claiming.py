"""Cases for claims on calls, run against SQLite (test_call_claims) and PostgreSQL (integration).

Each case is given the URL of an empty ledger.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from advcluster_dagster.ledger import call_claims
from advcluster_dagster.ledger.call_claims import CallClaims, Claimed
from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.tables import CLAIMS, OWNERS
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest
from advcluster_dagster.science.prompting import Message
from tests.studies import ROOT

USE = ("s", "corpus", "f|d")


def chat(text: str) -> ChatRequest:
    return ChatRequest("m", (Message("user", text),))


def ids(*texts: str) -> list[str]:
    return [chat(text).call_id for text in texts]


def claimed(granted: Sequence[str] = (), answered: Sequence[str] = ()) -> Claimed:
    return Claimed(frozenset(ids(*granted)), frozenset(ids(*answered)))


def rows_of(ledger: Ledger, table: sa.Table) -> list[sa.RowMapping]:
    with ledger.read() as connection:
        return list(connection.execute(sa.select(table)).mappings())


def set_owner(ledger: Ledger, owner: str, **values: object) -> None:
    ledger.write(lambda connection: connection.execute(OWNERS.update().where(OWNERS.c.owner == owner).values(values)))


def a_call_is_claimed_once_and_free_after_its_owners_end(url: str) -> None:
    with Ledger(url) as ledger, Ledger(url) as other, CallClaims(other) as other_claims:
        with CallClaims(ledger) as claims:
            assert claims.take(ids("a", "b")) == claimed(["a", "b"])
            assert other_claims.take(ids("b", "c")) == claimed(["c"])
            assert claims.take(ids("a")) == claimed()  # a step claims a call only once
            assert claims.take([]) == claimed()
        assert other_claims.take(ids("b")) == claimed(["b"])
        assert len(rows_of(ledger, OWNERS)) == 1
    with Ledger(url) as ledger:
        assert rows_of(ledger, OWNERS) == rows_of(ledger, CLAIMS) == []


def a_recorded_outcome_ends_its_claim(url: str) -> None:
    with Ledger(url) as ledger, CallClaims(ledger) as claims, CallClaims(ledger) as other_claims:
        claims.take(ids("a", "b"))
        ledger.record_many([(chat("a"), ChatReply("x"))], "p", use=USE)
        assert [row["call_id"] for row in rows_of(ledger, CLAIMS)] == ids("b")
        assert other_claims.take(ids("a", "b", "c")) == claimed(["c"], answered=["a"])
        assert {row["call_id"] for row in rows_of(ledger, CLAIMS)} == set(ids("b", "c"))
        assert ledger.totals_by_use("s")[USE].n_calls == 1
        ledger.retire(ids("a"))
        assert other_claims.take(ids("a")) == claimed(["a"])


_CLAIM_AND_DIE = """
import os, sys
from advcluster_dagster.ledger.call_claims import CallClaims
from advcluster_dagster.ledger.ledger import Ledger
claims = CallClaims(Ledger(sys.argv[1])).__enter__()
print(len(claims.take(sys.argv[2:]).granted), flush=True)
sys.stdin.readline()
os.kill(os.getpid(), 9)
"""


def a_dead_process_on_this_machine_holds_nothing(url: str) -> None:
    command = [sys.executable, "-c", _CLAIM_AND_DIE, url, *ids("a", "b")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(command, env=environment, **pipes) as process,
        Ledger(url) as ledger,
        CallClaims(ledger) as claims,
    ):
        assert process.stdout.readline() == "2\n"
        assert claims.take(ids("a", "c")) == claimed(["c"])
        process.stdin.write("die\n")
        process.stdin.flush()
        claims.wait(ids("a", "b"))  # also while the process is a zombie
        assert claims.take(ids("a", "b")) == claimed(["a", "b"])
        assert len(rows_of(ledger, OWNERS)) == 1


def an_owner_on_another_machine_lives_as_long_as_its_lease(url: str) -> None:
    with Ledger(url) as ledger, CallClaims(ledger, beat_s=1000) as other_claims, CallClaims(ledger) as claims:
        other_claims.take(ids("a"))
        set_owner(ledger, other_claims.owner, place="elsewhere", pid=1, process_start="never")
        assert claims.take(ids("a")) == claimed()
        with ledger.read() as connection:
            now = claims._now(connection)
        set_owner(ledger, other_claims.owner, expires_at=now + 5 * call_claims.LEASE_S)  # before a clock was set back
        assert claims.take(ids("a")) == claimed(["a"])
        set_owner(ledger, claims.owner, place="elsewhere", expires_at=now - 1)
        with CallClaims(ledger) as third:
            assert third.take(ids("a")) == claimed(["a"])


def an_owner_renews_its_lease(url: str) -> None:
    with Ledger(url) as ledger, CallClaims(ledger, beat_s=0.01) as claims:
        (before,) = rows_of(ledger, OWNERS)
        deadline = time.monotonic() + 30
        while (now := rows_of(ledger, OWNERS)[0])["n_beats"] < before["n_beats"] + 3:
            assert time.monotonic() < deadline
        assert now["expires_at"] > before["expires_at"]
        assert now["owner"] == claims.owner


def a_process_that_hangs_is_given_up_after_a_lease(url: str, monkeypatch) -> None:
    with Ledger(url) as ledger, CallClaims(ledger, beat_s=1000) as other_claims, CallClaims(ledger) as claims:
        other_claims.take(ids("a"))
        set_owner(ledger, other_claims.owner, expires_at=0.0)  # the clock jumped: on the same machine it is ignored
        assert claims.take(ids("a")) == claimed()
        now = time.monotonic()
        monkeypatch.setattr(call_claims.time, "monotonic", lambda: now + call_claims.LEASE_S + 1)  # type: ignore[attr-defined]
        assert claims.take(ids("a")) == claimed(["a"])


def claims_without_an_owner_are_free(url: str) -> None:
    with Ledger(url) as ledger, CallClaims(ledger) as claims:
        ledger.write(lambda connection: connection.execute(CLAIMS.insert(), {"call_id": ids("a")[0], "owner": "gone"}))
        claims.wait(ids("a"))
        assert claims.take(ids("a")) == claimed(["a"])


class Counting:
    """Answers each call with its upper-case text and records it; slow enough for two steps to overlap."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        for index, request in enumerate(requests):
            with self._lock:
                self.asked.append(request.messages[0].content)
            time.sleep(0.001)
            yield index, ChatReply(request.messages[0].content.upper())

    def close(self) -> None:
        pass


def two_steps_at_once_ask_each_call_once(url: str) -> None:
    provider, texts = Counting(), [str(number) for number in range(300)]
    both = threading.Barrier(2)

    def run(order: Sequence[str]) -> tuple[list[str], int, int]:
        with Ledger(url) as ledger, ModelCalls(ledger, "p", lambda: provider, USE) as calls:
            both.wait()
            replies = calls.chat([chat(text) for text in order])
            return [reply.text for reply in replies], calls.stats.n_asked, calls.stats.n_replayed

    with ThreadPoolExecutor(2) as pool:
        (first, *counts), (second, *other) = pool.map(run, [texts, texts[::-1]])
    assert first == second[::-1] == texts
    assert sorted(provider.asked, key=int) == texts
    assert counts[0] + other[0] == 300
    assert counts[1] + other[1] == 300
    with Ledger(url) as ledger:
        assert ledger.totals_by_model()["m"].n_paid_twice == 0
        assert rows_of(ledger, CLAIMS) == rows_of(ledger, OWNERS) == []


CASES: list[Callable[..., None]] = [
    a_call_is_claimed_once_and_free_after_its_owners_end,
    a_recorded_outcome_ends_its_claim,
    a_dead_process_on_this_machine_holds_nothing,
    an_owner_on_another_machine_lives_as_long_as_its_lease,
    an_owner_renews_its_lease,
    claims_without_an_owner_are_free,
    two_steps_at_once_ask_each_call_once,
]

"""History and ledger in a real PostgreSQL server."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
import sqlalchemy as sa

from advcluster_dagster.ledger.batches import BatchStore, open_batches
from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.ledger.tables import CALLS, USES
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    FatalModelError,
)
from advcluster_dagster.science.prompting import Message
from tests.ledger import claiming
from tests.ledger.test_old_repeats import OldLedger, old_request, replayed
from tests.servers import postgres_server
from tests.studies import ROOT, given_study

pytestmark = pytest.mark.integration
#: Enough to cover runs, checks and model calls; steps are slow, because Dagster opens a connection for every event.
FIRST_HALF = (
    "benchmark_questions", "larger_traces", "smaller_traces", "graded_trials", "pass_rate_table",
    "analysis_question_set", "trace_pairs", "advantage_corpus",
)  # fmt: skip
VARIABLE = "ADVCLUSTER_TEST_DATABASE"


@pytest.fixture(scope="module")
def server():
    with postgres_server() as url:
        yield url


@pytest.fixture
def database(server, request, monkeypatch):
    """An empty database for this test, configured by the environment."""
    name = f"t{abs(hash(request.node.nodeid)):x}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f'create database "{name}"'))
    admin.dispose()
    url = f"{server.rsplit('/', 1)[0]}/{name}"
    monkeypatch.setenv(VARIABLE, url)
    return url


def in_postgres(small):
    (small.home.root / "platform.yaml").write_text(f"database_url_env: {VARIABLE}\n", encoding="utf-8")
    return type(small)(type(small.home)(small.home.root), small.name)


def chat(text, trial=0):
    return ChatRequest("m", (Message("user", text),), {}, trial, None)


def reply(text):
    return ChatReply(text, prompt_tokens=3, completion_tokens=5)


def test_a_study_in_postgres_gives_the_tables_of_one_in_files(database, given_once, tmp_path):
    small = in_postgres(given_study(tmp_path / "home"))
    outcome = small.run(FIRST_HALF, domains=["sums"])
    assert outcome.failures == {}
    made = {name: digest for name, digest in small.hashes().items() if digest is not None}
    assert {name.split("@")[0] for name in made} == {
        *FIRST_HALF,
        "grading_panel",
        "panel_votes",
        "panel_agreements",
        "first_errors",
        "extraction_failures",
        "evidence_checks",
    }
    assert made == {name: given_once.hashes()[name] for name in made}
    again = small.run(FIRST_HALF, domains=["sums"])
    assert (again.n_runs, again.n_asked) == (0, 0)
    written = [path.name for path in small.home.root.rglob("*") if path.suffix in (".db", ".sqlite")]
    assert written == []
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        n_runs, n_calls = (
            connection.execute(sa.text(f"select count(*) from {table}")).scalar() for table in ("runs", "calls")
        )
    engine.dispose()
    assert n_runs == outcome.n_runs
    assert n_calls == outcome.n_asked > 0


def test_the_url_and_its_password_stay_in_the_environment(database, tmp_path):
    small = in_postgres(given_study(tmp_path / "home"))
    with small.instance():
        pass
    for path in small.home.root.rglob("*.yaml"):
        assert "no-secret" not in path.read_text(encoding="utf-8")


OPENER = """
import sys
from pathlib import Path
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.orchestration.instance import open_instance
from advcluster_dagster.storage.home import Home

home = Home(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
with open_instance(home) as instance:
    assert instance.get_runs_count() == 0
assert Platform(home).ledger.lookup(["x"]) == {}
"""


def test_two_processes_make_the_tables_at_once(database, tmp_path):
    small = in_postgres(given_study(tmp_path / "home"))
    command = [sys.executable, "-c", OPENER, str(small.home.root)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    openers = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for opener in openers:
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        opener.stdin.write("go\n")
        opener.stdin.flush()
    for opener in openers:
        opener.communicate(timeout=120)
    assert [opener.returncode for opener in openers] == [0, 0]


@pytest.fixture
def ledger(database):
    with Ledger(database) as ledger:
        yield ledger


def test_the_ledger_keeps_counts_and_retires(ledger):
    requests = [chat(str(number)) for number in range(3)]
    vector = EmbeddingRequest("e", "text", None)
    outcomes = [reply("a\x00b"), CallFailure("refused", "no"), reply("ü")]
    for request, outcome in zip(requests, outcomes, strict=True):
        ledger.record(request, outcome, "p")
    ledger.record(vector, EmbeddingReply(np.array([1, 2], dtype=np.float32), 7), "p")
    known = ledger.lookup([request.call_id for request in (*requests, vector)])
    assert [known[request.call_id] for request in requests] == outcomes
    assert known[vector.call_id].vector.tolist() == [1, 2]
    assert ledger.record_many([(requests[0], reply("again"))], "p") == {requests[0].call_id}
    ledger.note_uses("s", "a", "f/d", known)
    ledger.note_uses("s", "a", "f/d", known)
    totals = ledger.totals_by_use("s")["s", "a", "f/d"]
    assert (totals.n_calls, totals.n_failures, totals.n_paid_twice) == (4, 1, 1)
    assert totals.prompt_tokens == 3 + 3 + 7
    assert ledger.mean_usage("m", "a").completion_tokens == 5.0
    assert ledger.retire([requests[1].call_id]) == 1
    ledger.record(requests[1], reply("now"), "p")
    assert ledger.lookup([requests[1].call_id])[requests[1].call_id].text == "now"


def test_writers_of_the_same_calls_in_other_orders_all_end(ledger):
    requests = [chat(str(number)) for number in range(200)]
    orders = [requests, requests[::-1], requests[100:] + requests[:100], requests[1::2] + requests[::2]]

    def write(order):
        for start in range(0, len(order), 50):
            ledger.record_many([(request, reply("r")) for request in order[start : start + 50]], "p")
            ledger.note_uses("s", "a", "f/d", [request.call_id for request in order[start : start + 50]])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, orders))
    totals = ledger.totals_by_use("s")["s", "a", "f/d"]
    assert (totals.n_calls, totals.n_paid_twice) == (200, 600)


@pytest.mark.parametrize("case", claiming.CASES, ids=lambda case: case.__name__)
def test_claims_in_postgres(case, database):
    case(database)


def test_a_process_that_hangs_is_given_up_after_a_lease(database, monkeypatch):
    claiming.a_process_that_hangs_is_given_up_after_a_lease(database, monkeypatch)


def test_an_older_ledger_is_brought_up_to_date(database, tmp_path):
    """Repeats of broken replies are numbered on migration; two processes may open it at once."""
    old = OldLedger(tmp_path / "old.sqlite")
    old.add(old_request("a"), "x")
    old.add(old_request("a", ("x", "no number")), "7")
    rows = {table: _rows_of(tmp_path / "old.sqlite", table) for table in ("calls", "call_uses")}
    with Ledger(database) as ledger:
        ledger.write(lambda connection: _make_older(connection, rows))
    with ThreadPoolExecutor(2) as pool:
        for opened in pool.map(Ledger, [database, database]):
            opened.close()
    with Ledger(database) as ledger:
        assert [result.record for result in replayed(ledger, ["a"])] == [7]


def _rows_of(path, table):
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"select * from {table}")]


def _make_older(connection, rows):
    for row in rows["calls"]:
        connection.execute(CALLS.insert(), row | {"is_retired": bool(row["is_retired"])})
    connection.execute(USES.insert(), rows["call_uses"])
    connection.execute(sa.text("update schema_version set version = 2"))


def test_replies_that_the_server_refuses_are_taken_in_later(database, tmp_path):
    """The database becomes read-only for a while."""
    folder = tmp_path / "home" / "ledger"
    with Ledger(database, folder) as ledger, ModelCalls(ledger, "p", claiming.Counting, claiming.USE) as calls:
        _set_read_only(database, True)
        ledger.close()  # the setting holds for new connections
        with pytest.raises(FatalModelError, match=r"cannot be written: cannot execute .* in a read-only transaction"):
            calls.chat([chat("a")])
        _set_read_only(database, False)
        ledger.close()
        record = ledger.record_many

        def refuse(*given):
            _set_read_only(database, True)
            ledger.close()
            return record(*given)

        ledger.record_many = refuse
        with pytest.raises(FatalModelError, match=r"read-only transaction; .* 1 replies were saved to .*/ledger/"):
            calls.chat([chat("a")])
    _set_read_only(database, False)
    with Ledger(database, folder) as again:
        assert list(again.lookup([chat("a").call_id])) == [chat("a").call_id]
        assert again.unwritten.files() == []


def _set_read_only(database, is_read_only):
    name = database.rsplit("/", 1)[1]
    engine = sa.create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("set default_transaction_read_only = off"))
        setting = "on" if is_read_only else "off"
        connection.execute(sa.text(f'alter database "{name}" set default_transaction_read_only = {setting}'))
    engine.dispose()


def test_batches_are_kept(ledger):
    store = BatchStore(ledger, "server")
    batch = store.open("m", ["b", "a"], 0)
    assert open_batches(ledger) == [("server", "", "submitting", 2)]
    store.submitted(batch, "id-1")
    ((stored, call_ids),) = store.batches_of(["a", "b", "c"])
    assert (stored.batch_id, stored.call_ids, call_ids) == ("id-1", ("b", "a"), {"a", "b"})
    store.end(stored, "collected")
    assert open_batches(ledger) == []


def test_costs_and_the_lock_of_a_studys_cap(database):
    price = Price(1_000_000.0, 1_000_000.0)  # a dollar per token
    with Ledger(database) as ledger, Ledger(database) as other:
        ledger.record_many([(chat("a"), reply("x")), (chat("b"), CallFailure("timeout", "slow"))], "p", price)
        ledger.record(chat("c"), ChatReply("of an older version", prompt_tokens=1, completion_tokens=2), "p")
        ledger.record(chat("d"), ChatReply("y" * 40), "p", price)  # 40 characters and their quotes and field names
        ledger.note_uses("s", "a", "p", [chat(text).call_id for text in "abcd"])
        (totals,) = other.totals_by_asset_and_model("s").values()
        assert (totals.n_calls, totals.cost, totals.n_cost_unknown) == (4, 8.0, 3)
        assert other.cost_of([chat("a").call_id]) == (8.0, 0)
        assert other.mean_usage("m", "a").completion_tokens == 3.5  # of 5 and 2
        (part,) = other.spending("s")
        assert (part.provider, part.model, part.kind, part.known) == ("p", "m", "chat", 8.0)
        assert part.completion_tokens > 2 + 10
        order = []

        def wait():
            with other.session_lock("spending of s"):
                order.append("other")

        with ThreadPoolExecutor(1) as pool:
            with ledger.session_lock("spending of s"), ledger.session_lock("spending of t"):
                waiting = pool.submit(wait)
                query = sa.text("select count(*) from pg_locks where locktype = 'advisory' and not granted")
                while not _count(ledger, query):
                    pass
                order.append("first")
            waiting.result()
        assert order == ["first", "other"]


def _count(ledger, query):
    with ledger.read() as connection:
        return connection.execute(query).scalar()

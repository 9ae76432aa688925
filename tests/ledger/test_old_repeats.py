"""Ledgers and reply files of versions 1 and 2, whose ids of repeats depend on the wording of the fault."""

import gzip
import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.entries import entries_used
from advcluster_dagster.ledger.files import export_replies, import_replies
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.tables import SCHEMA_VERSION
from advcluster_dagster.ledger.validated import InvalidReply, Validated, ask_validated
from advcluster_dagster.models.protocol import ChatRequest, call_id_of
from advcluster_dagster.science.prompting import Message, ReplyFault

USE = ("s", "corpus", "f|d")
TABLES_OF_VERSION_2 = """
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE calls (
    call_id VARCHAR(64) NOT NULL, revision INTEGER NOT NULL, kind TEXT NOT NULL, model TEXT NOT NULL,
    provider TEXT NOT NULL, request TEXT NOT NULL, reply TEXT, failure TEXT, prompt_tokens INTEGER,
    completion_tokens INTEGER, cost FLOAT, created_at TEXT NOT NULL, n_replies INTEGER NOT NULL,
    is_retired BOOLEAN NOT NULL, PRIMARY KEY (call_id, revision)
);
CREATE TABLE call_uses (
    study VARCHAR(250) NOT NULL, asset VARCHAR(250) NOT NULL, partition VARCHAR(250) NOT NULL,
    call_id VARCHAR(64) NOT NULL, PRIMARY KEY (study, asset, partition, call_id)
);
CREATE INDEX call_uses_by_asset ON call_uses (asset, call_id);
INSERT INTO schema_version VALUES (2);
"""


def old_correction(fault: str) -> str:
    return (
        f"Your reply could not be used: {fault}. Reply again to the request above, in exactly the format it asks for"
        " and with nothing else."
    )


def old_request(text: str, *broken: tuple[str, str]) -> dict[str, Any]:
    """A request: the original one, then the broken replies with their faults as worded then."""
    messages = [{"role": "system", "content": "judge"}, {"role": "user", "content": text}]
    for reply, fault in broken:
        messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": old_correction(fault)}]
    asked = {"kind": "chat", "model": "m", "messages": messages, "sampling": {"seed": 1}, "trial": 2}
    return asked | {"reply_schema": None}


def old_id(asked: Mapping[str, Any]) -> str:
    canonical = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class OldLedger:
    """A ledger file as written by the previous version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(TABLES_OF_VERSION_2)

    def add(self, asked: Mapping[str, Any], reply: str, is_retired: bool = False, at: int = 0) -> str:
        values = {"text": reply, "reasoning": None, "finish_reason": "stop", "sampling": {}}
        row = (
            old_id(asked), 0, "chat", "m", "p", json.dumps(asked), json.dumps(values), None, 10, 2, 0.5,
            f"2026-01-01T00:00:0{at}+00:00", 1, is_retired,
        )  # fmt: skip
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(row))})", row)
            connection.execute("INSERT INTO call_uses VALUES (?, ?, ?, ?)", (*USE, row[0]))
            connection.commit()
        return row[0]

    def open(self) -> Ledger:
        return Ledger(f"sqlite:///{self.path}")


@pytest.fixture
def old(tmp_path: Path) -> OldLedger:
    return OldLedger(tmp_path / "calls.sqlite")


def first(text: str) -> ChatRequest:
    return ChatRequest("m", (Message("system", "judge"), Message("user", text)), {"seed": 1}, 2)


def parse(text: str) -> int:
    if not text.isdigit():
        raise ReplyFault("another wording of the fault")
    return int(text)


def replayed(ledger: Ledger, texts: Sequence[str], max_repeats: int = 2) -> list[Validated[int] | InvalidReply]:
    """The ledger's outcomes of these requests, without calls."""
    with ModelCalls(ledger, "p", lambda: pytest.fail("a model was asked"), USE) as calls:
        return ask_validated(calls, [first(text) for text in texts], parse, max_repeats)


def test_the_id_of_a_first_call_is_as_it_was() -> None:
    assert first("a").call_id == old_id(old_request("a")) == call_id_of(first("a").identity)
    assert first("a").call_id == "5e62122e1f23c719aa5c10c7b8e982c6f1a7542cb975516c7d411159b9cb3015"


def test_replies_under_an_older_wording_are_used(old: OldLedger) -> None:
    old.add(old_request("a"), "x")
    old.add(old_request("a", ("x", "no number")), "y")
    old.add(old_request("a", ("x", "no number"), ("y", "still none (it was cut off)")), "7")
    old.add(old_request("b"), "2")
    old.add(old_request("c"), "<think>why</think> " + "z" * 5000)
    old.add(old_request("c", ("z" * 2000, "no number")), " \n")
    old.add(old_request("c", ("z" * 2000, "no number"), ("(no reply)", "the reply is empty")), "w")
    with old.open() as ledger:
        outcomes = replayed(ledger, ["a", "b", "c"])
        assert [result.record for result in outcomes[:2] if isinstance(result, Validated)] == [7, 2]
        assert isinstance(outcomes[2], InvalidReply)
        assert (outcomes[2].raw_reply, len(outcomes[2].call_ids)) == ("w", 3)
        # Every use is recorded under the request's new id.
        entries = entries_used(ledger, USE)
        assert len(entries) == 7
        assert all(call_id_of(entry.request) == entry.call_id for entry in entries)
        totals = ledger.totals_by_use("s")[USE]
        assert (totals.n_calls, totals.prompt_tokens, totals.cost) == (7, 70, 3.5)
        with ledger.read() as connection:
            assert connection.exec_driver_sql("select version from schema_version").scalar() == SCHEMA_VERSION == 3
    with old.open() as again:
        assert replayed(again, ["a", "b", "c"]) == outcomes


def test_of_several_wordings_the_newest_that_shows_the_kept_reply_answers(old: OldLedger) -> None:
    old.add(old_request("a"), "x")
    old.add(old_request("a", ("x", "wording 1")), "1", at=1)
    old.add(old_request("a", ("x", "wording 2")), "2", at=3)
    old.add(old_request("a", ("other", "wording 2")), "3", at=4)  # the answer to a reply that is no longer active
    old.add(old_request("a", ("x", "wording 3")), "4", is_retired=True, at=5)
    with old.open() as ledger:
        [result] = replayed(ledger, ["a"])
        assert isinstance(result, Validated)
        assert (result.record, result.n_repeats) == (2, 1)
        # The others are on disk with known costs: five calls of 0.50.
        assert ledger.spending("s")[0].known == 2.5
        with ledger.read() as connection:
            rows = connection.exec_driver_sql(f"select is_retired from calls where call_id = '{result.call_id}'").all()
            assert sorted(is_retired for (is_retired,) in rows) == [0, 1, 1, 1]


def test_a_repeat_of_a_retired_call_answers_nothing(old: OldLedger) -> None:
    old.add(old_request("a"), "x", is_retired=True)
    old.add(old_request("a", ("x", "no number")), "1")
    old.add(old_request("b", ("x", "no number")), "1")  # whose first call is unknown
    with old.open() as ledger:
        numbered = [call_id_of({**old_request(text, ("x", "f")), "repeat": 1}) for text in "ab"]
        assert ledger.lookup(numbered) == {}
        assert ledger.spending("s")[0].known == 1.5


def test_a_prompt_that_only_looks_like_a_repeat_is_left_alone(old: OldLedger) -> None:
    quoted = old.add(old_request(old_correction("quoted")), "7")
    spoken = old_request("a") | {"messages": [{"role": "user", "content": old_correction("alone")}]}
    with old.open() as ledger:
        assert list(ledger.lookup([quoted])) == [quoted]
    assert call_id_of(spoken) == old_id(spoken)


def test_a_ledger_without_repeats_is_brought_up_to_date(old: OldLedger) -> None:
    with old.open() as ledger:
        assert entries_used(ledger, USE) == []


def write_file(path: Path, version: int, calls: Sequence[tuple[dict[str, Any], str]]) -> None:
    lines = [
        {"call_id": old_id(asked), "provider": "p", "request": asked, "reply": {"text": reply}, "created_at": "2026"}
        for asked, reply in calls
    ]
    header = {"format": "advcluster replies", "version": version, "study": "s", "n_calls": len(lines), "n_failures": 0}
    with gzip.open(path, "wt") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in [header, *sorted(lines, key=lambda line: line["call_id"])])


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_older_versions_are_read(tmp_path: Path, version: int) -> None:
    path = tmp_path / "old.gz"
    broken = ("x", "no number")
    calls = [(old_request("a"), "x"), (old_request("a", broken), "y"), (old_request("a", broken, ("y", "no")), "7")]
    write_file(path, version, calls)
    with Ledger(f"sqlite:///{tmp_path}/new.sqlite") as ledger:
        assert import_replies(ledger, path).n_known == 0
        assert import_replies(ledger, path).n_known == 3
        [result] = replayed(ledger, ["a"])
        assert isinstance(result, Validated)
        assert result.record == 7
        # A new export can be read by another ledger.
        export_replies(ledger, "s", tmp_path / "new.gz")
        with Ledger(f"sqlite:///{tmp_path}/third.sqlite") as third:
            assert import_replies(third, tmp_path / "new.gz").n_calls == 3
            assert replayed(third, ["a"]) == [result]


def test_a_ledgers_own_repeat_stays(tmp_path: Path) -> None:
    write_file(tmp_path / "one.gz", 2, [(old_request("a"), "x"), (old_request("a", ("x", "one")), "1")])
    write_file(tmp_path / "two.gz", 2, [(old_request("a"), "x"), (old_request("a", ("x", "two")), "2")])
    with Ledger(f"sqlite:///{tmp_path}/new.sqlite") as ledger:
        import_replies(ledger, tmp_path / "one.gz")
        assert import_replies(ledger, tmp_path / "two.gz").n_known == 2
        [result] = replayed(ledger, ["a"])
        assert isinstance(result, Validated)
        assert result.record == 1


def test_retiring_a_call_retires_its_repeats(old: OldLedger) -> None:
    """Also retires repeats that a study with fewer repeats would not reach, since their reply is retired."""
    old.add(old_request("a"), "x")
    repeats = [("x", "no"), ("y", "no")]
    old.add(old_request("a", *repeats[:1]), "y")
    old.add(old_request("a", *repeats), "z")
    with old.open() as ledger:
        assert ledger.retire([first("a").call_id]) == 3

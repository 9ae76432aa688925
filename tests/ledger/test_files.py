import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.files import ReplyFile, export_replies, import_replies
from advcluster_dagster.ledger.ledger import Ledger, LedgerError
from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    sha256_of_json,
)
from advcluster_dagster.science.prompting import Message

CHAT = ChatRequest("m", (Message("user", "höw"),), {"temperature": 0.1}, 3, {"type": "object"})
FAILED = ChatRequest("m", (Message("user", "no"),))
TEXT = EmbeddingRequest("e", "text", 3)
REPLY = ChatReply("é\n", "why", "stop", 7, 3, "m-1", "fp", "up", {"seed": 1})
FAILURE = CallFailure("timeout", "no answer within 5 s")
VECTOR = np.array([0.1, -0.0, 3e-45], dtype=np.float32)


def open_ledger(folder: Path, name: str) -> Ledger:
    return Ledger(f"sqlite:///{folder}/{name}.sqlite")


@pytest.fixture
def filled(tmp_path: Path):
    with open_ledger(tmp_path, "filled") as ledger:
        ledger.record_many([(CHAT, REPLY), (FAILED, FAILURE), (TEXT, EmbeddingReply(VECTOR, 2))], "p")
        other = ChatRequest("m", (Message("user", "of another study"),))
        ledger.record(other, REPLY, "p")
        ledger.note_uses("s", "corpus", "f|d", [CHAT.call_id, FAILED.call_id])
        ledger.note_uses("s", "vectors", "f|d", [CHAT.call_id, TEXT.call_id])
        ledger.note_uses("t", "corpus", "f|d", [other.call_id])
        yield ledger


@pytest.fixture
def exported(tmp_path: Path, filled: Ledger) -> Path:
    export_replies(filled, "s", tmp_path / "replies.jsonl.gz")
    return tmp_path / "replies.jsonl.gz"


def test_another_ledger_answers_as_the_first(tmp_path: Path, filled: Ledger, exported: Path) -> None:
    with open_ledger(tmp_path, "other") as other:
        assert import_replies(other, exported) == ReplyFile("s", n_calls=3, n_failures=1, n_known=0)
        with ModelCalls(other, "p", lambda: pytest.fail("opened"), ("s", "corpus", "f|d"), offline=True) as calls:
            assert calls.chat([CHAT, FAILED]) == [REPLY, FAILURE]
            [embedded] = calls.embed([TEXT])
        assert isinstance(embedded, EmbeddingReply)
        assert embedded.vector.tobytes() == VECTOR.tobytes()
        assert other.totals_by_model() == filled.totals_by_model() | {
            "m": other.totals_by_model()["m"],  # the first ledger also has a call of another study
        }
        assert other.totals_by_model()["m"].prompt_tokens == 7


def test_a_second_import_changes_nothing_and_a_second_export_is_equal(tmp_path: Path, exported: Path) -> None:
    with open_ledger(tmp_path, "other") as other:
        import_replies(other, exported)
        assert import_replies(other, exported).n_known == 3
        other.note_uses("s", "a", "b", [CHAT.call_id, FAILED.call_id, TEXT.call_id])
        assert other.totals_by_model()["m"].n_paid_twice == 0
        export_replies(other, "s", tmp_path / "again.gz")
    assert (tmp_path / "again.gz").read_bytes() == exported.read_bytes()


def test_a_ledgers_own_answer_stays_and_a_retired_one_is_replaced(tmp_path: Path, exported: Path) -> None:
    with open_ledger(tmp_path, "other") as other:
        other.record(CHAT, ChatReply("own"), "p")
        other.record(FAILED, ChatReply("retired"), "p")
        other.retire([FAILED.call_id])
        assert import_replies(other, exported).n_known == 1
        outcomes = other.lookup([CHAT.call_id, FAILED.call_id])
    assert outcomes == {CHAT.call_id: ChatReply("own"), FAILED.call_id: FAILURE}


def test_costs_travel_and_files_of_version_1_have_none(tmp_path: Path, filled: Ledger) -> None:
    filled.retire([CHAT.call_id])
    filled.record(CHAT, REPLY, "p", Price(1_000_000.0, 0.0))  # 7 prompt tokens of a dollar each
    export_replies(filled, "s", tmp_path / "new.gz")
    with gzip.open(tmp_path / "new.gz", "rt") as file:
        lines = [json.loads(line) for line in file]
    assert lines[0]["version"] == 3
    lines[0]["version"] = 1
    for line in lines:
        line.pop("cost", None)
    with gzip.open(tmp_path / "old.gz", "wt") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)
    for name, cost in (("new", 7.0), ("old", None)):
        with open_ledger(tmp_path, name) as other:
            import_replies(other, tmp_path / f"{name}.gz")
            assert other.cost_of([CHAT.call_id])[0] == cost


def test_a_study_without_calls(tmp_path: Path, filled: Ledger) -> None:
    with pytest.raises(LedgerError, match="study nobody: the ledger holds no calls"):
        export_replies(filled, "nobody", tmp_path / "x.gz")
    with pytest.raises(LedgerError, match="cannot be written"):
        export_replies(filled, "s", tmp_path / "missing" / "x.gz")
    assert not list(tmp_path.glob("x.gz*"))


def change(number: int, **changes: Any) -> Callable[[list[str]], list[str]]:
    def edit(lines: list[str]) -> list[str]:
        lines[number - 1] = json.dumps(json.loads(lines[number - 1]) | changes)
        return lines

    return edit


def chat_line(**reply: Any) -> Callable[[list[str]], list[str]]:
    """Replace the calls by a single chat call with this reply."""

    def edit(lines: list[str]) -> list[str]:
        line = {
            "call_id": CHAT.call_id, "provider": "p", "request": CHAT.identity, "reply": reply, "created_at": "2026",
        }  # fmt: skip
        header = json.loads(lines[0]) | {"n_calls": 1, "n_failures": 0}
        return [json.dumps(header), json.dumps(line)]

    return edit


def vector_line(vector: Any) -> Callable[[list[str]], list[str]]:
    """Replace the calls by a single embedding call with this vector."""

    def edit(lines: list[str]) -> list[str]:
        line = {
            "call_id": TEXT.call_id, "provider": "p", "request": TEXT.identity, "created_at": "2026",
            "reply": {"vector": vector, "prompt_tokens": None},
        }  # fmt: skip
        return [json.dumps(json.loads(lines[0]) | {"n_calls": 1, "n_failures": 0}), json.dumps(line)]

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda lines: [], "line 1: not a header"),
        (lambda lines: lines[1:], "line 1: not a header"),
        (change(1, version=4), r"line 1: not a header of a reply file \(versions 1 to 3\)"),
        (change(1, n_calls=4), "line 4: the header declares 4 calls and 1 failures, the file has 3 and 1"),
        (lambda lines: lines[:-1], "line 3: the header declares 3 calls"),
        (lambda lines: [*lines, lines[-1]], "line 5: call .* is out of order"),
        (lambda lines: [*lines[:3], lines[3][:40]], "line 4: "),
        (lambda lines: [*lines[:2], "[" * 100_000], "line 3: "),
        (change(2, request={"kind": "chat", "model": "m"}), "line 2: call_id .* does not match the request"),
        (
            change(2, request={"kind": "x"}, call_id=sha256_of_json({"kind": "x"})),
            "line 2: the request is neither a chat nor an embedding call",
        ),
        (change(3, reply=None, failure=None), "line 3: a call has either a reply or a failure"),
        (change(3, extra=1), "line 3: .*extra"),
        (chat_line(text=5), "line 2: "),
        (chat_line(text="x", surprise=1), "line 2: "),
        (chat_line(text="\ud800"), "line 2: "),
        (vector_line("?"), "line 2: "),
        (vector_line(""), "line 2: the vector is empty or holds NaN"),
        (vector_line("AADAfw=="), "line 2: the vector is empty or holds NaN"),  # the bytes of a float32 NaN
    ],
)
@pytest.mark.usefixtures("_no_collection")
def test_a_broken_file_names_its_line_and_changes_nothing(
    tmp_path: Path, exported: Path, edit: Callable[[list[str]], list[str]], words: str
) -> None:
    lines = edit(gzip.decompress(exported.read_bytes()).decode().splitlines())
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    with open_ledger(tmp_path, "other") as other:
        with pytest.raises(LedgerError, match=words) as caught:
            import_replies(other, broken)
        assert other.totals_by_model() == {}
    assert str(caught.value).startswith(f"{broken}, line ")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_archive(tmp_path: Path, exported: Path) -> None:
    cut, plain = tmp_path / "cut.gz", tmp_path / "plain.gz"
    cut.write_bytes(exported.read_bytes()[:-20])
    plain.write_text("hello")
    with open_ledger(tmp_path, "other") as other:
        for path in (cut, plain):
            with pytest.raises(LedgerError, match=r"cannot be decompressed .*; nothing was imported"):
                import_replies(other, path)
        with pytest.raises(LedgerError, match="no such file"):
            import_replies(other, tmp_path / "none.gz")
        assert other.totals_by_model() == {}

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    FatalModelError,
)
from advcluster_dagster.science.prompting import Message

USE = ("s", "corpus", "f|d")


class Echo:
    """Answers in reverse order with the request's text, or with its entry in ``special``."""

    def __init__(self, special: dict[str, Any] | None = None) -> None:
        self.special = special or {}
        self.asked: list[str] = []
        self.n_closed = 0

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        for index, request in reversed(list(enumerate(requests))):
            text = request.messages[0].content
            self.asked.append(text)
            outcome = self.special.get(text, ChatReply(text.upper(), prompt_tokens=10, completion_tokens=2))
            if isinstance(outcome, Exception):
                raise outcome
            yield index, outcome

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Iterator[tuple[int, EmbeddingReply | CallFailure]]:
        for index, request in enumerate(requests):
            yield index, EmbeddingReply(np.array([len(request.text)], dtype=np.float32), 1)

    def close(self) -> None:
        self.n_closed += 1


def chat(text: str, trial: int = 0) -> ChatRequest:
    return ChatRequest("m", (Message("user", text),), trial=trial)


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger(f"sqlite:///{tmp_path}/calls.sqlite") as opened:
        yield opened


def test_outcomes_stand_in_the_order_of_the_requests(ledger: Ledger) -> None:
    with ModelCalls(ledger, "p", Echo, USE) as calls:
        assert [reply.text for reply in calls.chat([chat("a"), chat("b"), chat("c")])] == ["A", "B", "C"]
    assert ledger.totals_by_use("s")[USE].n_calls == 3


def test_no_requests_open_no_provider(ledger: Ledger) -> None:
    provider = Echo()
    with ModelCalls(ledger, "p", lambda: provider, USE) as calls:
        assert calls.chat([]) == []
    assert provider.n_closed == 0


def test_a_second_step_replays_without_opening_the_provider(ledger: Ledger) -> None:
    failure = CallFailure("timeout", "slow")
    provider = Echo({"b": failure})
    with ModelCalls(ledger, "p", lambda: provider, USE) as calls:
        first = calls.chat([chat("a"), chat("b")])
    assert provider.n_closed == 1
    with ModelCalls(ledger, "p", lambda: pytest.fail("opened"), ("s", "corpus", "f|e")) as calls:
        assert calls.chat([chat("a"), chat("b")]) == first == [ChatReply("A", None, None, 10, 2), failure]
    assert (calls.stats.n_asked, calls.stats.n_replayed, calls.stats.n_failed) == (0, 2, 1)
    assert (calls.stats.prompt_tokens, calls.stats.asked_prompt_tokens) == (10, 0)
    assert set(ledger.totals_by_use("s")) == {USE, ("s", "corpus", "f|e")}


def test_only_what_is_missing_is_asked(ledger: Ledger) -> None:
    provider = Echo()
    progress: list[tuple[int, int]] = []
    with ModelCalls(
        ledger, "p", lambda: provider, USE, on_progress=lambda done, total: progress.append((done, total))
    ) as calls:
        calls.chat([chat("a")])
        assert calls.missing([chat("a"), chat("b"), chat("b")]) == [chat("b")]
        calls.chat([chat("a"), chat("b")])
    assert provider.asked == ["a", "b"]
    # 2 asked with 10 + 2 tokens each, and one of them replayed: 3 x 10 in total, 2 x 10 by this step.
    assert (calls.stats.prompt_tokens, calls.stats.asked_prompt_tokens) == (30, 20)
    assert (calls.stats.completion_tokens, calls.stats.asked_completion_tokens) == (6, 4)
    assert progress == [(1, 1), (2, 2)]


def test_costs_of_asked_and_replayed_calls(ledger: Ledger) -> None:
    price = Price(100_000.0, 500_000.0)  # a call of Echo's has 10 + 2 tokens: 1 + 1 dollars
    failure = CallFailure("timeout", "slow")
    with ModelCalls(ledger, "p", lambda: Echo({"c": failure}), USE, price=price) as calls:
        calls.chat([chat("a"), chat("b"), chat("c")])
    assert (calls.stats.cost, calls.stats.asked_cost, calls.stats.n_cost_unknown) == (4.0, 4.0, 1)
    with ModelCalls(ledger, "p", lambda: Echo(), USE, price=price) as calls:
        calls.chat([chat("a"), chat("d")])
    assert (calls.stats.cost, calls.stats.asked_cost, calls.stats.n_cost_unknown) == (4.0, 2.0, 0)
    with ModelCalls(ledger, "p", lambda: Echo(), ("s", "corpus", "f|e")) as calls:
        calls.chat([chat("e")])  # no price
    assert (calls.stats.cost, calls.stats.asked_cost, calls.stats.n_cost_unknown) == (None, None, 1)


def test_equal_requests_are_asked_once_and_trials_apart(ledger: Ledger) -> None:
    provider = Echo()
    with ModelCalls(ledger, "p", lambda: provider, USE) as calls:
        assert len(calls.chat([chat("a"), chat("a"), chat("a", trial=1)])) == 3
    assert provider.asked == ["a", "a"]
    assert calls.stats.n_asked == 2


def test_offline_names_the_first_missing_call(ledger: Ledger) -> None:
    with ModelCalls(ledger, "p", Echo, USE) as calls:
        calls.chat([chat("a")])
    with ModelCalls(ledger, "p", lambda: pytest.fail("opened"), USE, offline=True) as calls:
        assert calls.chat([chat("a")])[0] == ChatReply("A", None, None, 10, 2)
        with pytest.raises(FatalModelError, match=f"offline: call {chat('b').call_id} of model m .*and 1 more"):
            calls.chat([chat("a"), chat("b"), chat("c")])


def test_what_was_done_before_a_fatal_fault_is_kept(ledger: Ledger) -> None:
    provider = Echo({"a": FatalModelError("the quota is used up")})  # sent last: Echo answers in reverse order
    with (
        ModelCalls(ledger, "p", lambda: provider, USE) as calls,
        pytest.raises(FatalModelError, match="the quota is used up"),
    ):
        calls.chat([chat("a"), chat("b"), chat("c")])
    assert set(ledger.lookup(chat(text).call_id for text in "abc")) == {chat("b").call_id, chat("c").call_id}
    assert ledger.totals_by_use("s")[USE].n_calls == 2
    assert calls.stats.n_asked == 2


def test_everything_is_on_disk_before_it_is_used(ledger: Ledger) -> None:
    asked = [chat(str(number)) for number in range(300)]
    with ModelCalls(ledger, "p", Echo, USE) as calls:
        replies = calls.chat(asked)
    outcomes = ledger.lookup(request.call_id for request in asked)
    assert [outcomes[request.call_id] for request in asked] == replies


def test_a_ledger_that_cannot_write_stops_the_step(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ledger, "record_many", refuse)
    with ModelCalls(ledger, "p", Echo, USE) as calls, pytest.raises(FatalModelError, match="disk full"):
        calls.chat([chat("a")])


def test_another_process_that_was_faster_is_believed(ledger: Ledger) -> None:
    class Slow(Echo):
        def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
            asked = list(requests)
            ledger.record(chat("a"), ChatReply("theirs"), "p")  # although it is claimed here
            return super().complete(asked)

    with ModelCalls(ledger, "p", Slow, USE) as calls:
        assert calls.chat([chat("a")]) == [ChatReply("theirs")]
    assert ledger.totals_by_model()["m"].n_paid_twice == 1


def test_a_provider_that_leaves_a_call_out_is_an_error(ledger: Ledger) -> None:
    class Forgetful(Echo):
        def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
            return super().complete(requests[:-1])

    with (
        ModelCalls(ledger, "p", Forgetful, USE) as calls,
        pytest.raises(RuntimeError, match="provider p: 1 outcomes for 2 calls"),
    ):
        calls.chat([chat("a"), chat("b")])


def test_lone_surrogates_do_not_get_through(ledger: Ledger) -> None:
    special = {"a": ChatReply("x\ud800", "y\udfff"), "b": CallFailure("bad_request", "z\ud800")}
    with ModelCalls(ledger, "p", lambda: Echo(special), USE) as calls:
        assert calls.chat([chat("a"), chat("b")]) == [ChatReply("x?", "y?"), CallFailure("bad_request", "z?")]


def test_embeddings_go_the_same_way(ledger: Ledger) -> None:
    asked = [EmbeddingRequest("e", "long text"), EmbeddingRequest("e", "x")]
    with ModelCalls(ledger, "p", Echo, USE) as calls:
        assert [reply.vector.tolist() for reply in calls.embed(asked)] == [[9.0], [1.0]]
        assert calls.missing(asked) == []
        assert [reply.vector.tolist() for reply in calls.embed(asked)] == [[9.0], [1.0]]
    assert (calls.stats.n_asked, calls.stats.n_replayed, calls.stats.prompt_tokens) == (2, 2, 4)

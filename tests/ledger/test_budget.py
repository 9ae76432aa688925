"""Cost caps: the budget, and steps that reach a cap, against a server and batch vendors."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.ledger.budget import Budget, Cap, Reservation
from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.models import connection
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    FatalModelError,
)
from advcluster_dagster.pipeline.providers import open_chat_provider, open_embedding_provider, with_budget
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.study.study import Study
from tests.providers.batch_vendor import BatchVendor
from tests.providers.small_provider import Answer, Body, SmallProvider, canned, chat_completion, error_answer

USE = ("s", "corpus", "f|d")
#: A dollar per token, to keep sums simple.
DOLLAR = Price(1_000_000.0, 1_000_000.0)


def chat(text: str, **sampling: int) -> ChatRequest:
    return ChatRequest("m", (Message("user", text),), sampling)


def cap(limit: float, **changes: float) -> Cap:
    return Cap("--max-cost", limit, "raise it", **changes)


def budget(*caps: Cap, price: Price = DOLLAR, known: float | None = None) -> Budget:
    return Budget("m", price, caps, known)


@pytest.mark.parametrize(
    ("request_", "known", "expected"),
    [
        (chat("a" * 40, max_tokens=5), None, 15),  # 40 characters are 10 tokens
        (chat("a" * 40, max_tokens=5), 100.0, 15),  # bounded by the token limit
        (chat("a" * 40, max_tokens=7, max_completion_tokens=5), None, 15),
        (chat("a" * 40), 30.0, 40),
        (chat("a" * 40), None, 4010),
    ],
)
def test_what_a_call_is_expected_to_cost(request_: ChatRequest, known: float | None, expected: float) -> None:
    assert budget(known=known).expected_chat(request_) == pytest.approx(expected)


def test_replies_teach_what_the_next_costs() -> None:
    gate = budget(known=10.0)
    for n_tokens in (20, 40):
        gate.charge(Reservation(1.0), ChatReply("", prompt_tokens=1, completion_tokens=n_tokens))
    assert gate.expected_chat(chat("abcd")) == pytest.approx(1 + 30)  # the mean of 20 and 40, above the 10 known before


@pytest.mark.parametrize(
    ("outcome", "cost"),
    [
        (ChatReply("", prompt_tokens=2, completion_tokens=1), 3.0),
        (ChatReply("", prompt_tokens=2), 7.0),  # not reported: the expected cost is kept
        (ChatReply(""), 7.0),
        (CallFailure("bad_request", ""), 0.0),
        (CallFailure("server_error", ""), 0.0),
        (CallFailure("timeout", ""), 7.0),  # may have been answered, and charged
        (CallFailure("content_filter", ""), 7.0),
    ],
)
def test_what_an_outcome_puts_on_the_bill(outcome: ChatReply | CallFailure, cost: float) -> None:
    bill = Reservation(7.0)
    budget().charge(bill, outcome)
    assert bill.cost == cost


def test_a_call_waits_for_those_in_flight_and_ends_the_step_when_none_is() -> None:
    limit = cap(10.0)
    gate = budget(limit)
    assert gate.reserve(6.0)
    assert not gate.reserve(5.0)  # 6 + 5 > 10, but the first may turn out cheaper
    gate.settle(Reservation(6.0, 2.0))
    assert (limit.spent, limit.reserved) == (2.0, 0.0)
    assert gate.reserve(8.0)  # exactly
    gate.settle(Reservation(8.0, 8.0))
    with pytest.raises(FatalModelError) as error:
        gate.reserve(0.5)
    assert str(error.value) == (
        "--max-cost of $10.00 stops the step: $10.00 spent, the next call of model m is expected to cost $0.5000;"
        " completed calls are kept; raise it"
    )


def test_the_tighter_of_two_caps_holds() -> None:
    wide, tight = cap(100.0), Cap("spending.max_cost of study s", 100.0, "raise it", spent=99.0)
    with pytest.raises(FatalModelError, match=r"spending.max_cost of study s of .100.00 stops the step: .99.00 spent"):
        budget(wide, tight).reserve(2.0)
    assert (wide.reserved, wide.n_in_flight) == (0.0, 0)


def test_nothing_may_be_spent() -> None:
    with pytest.raises(FatalModelError, match=r"--max-cost of .0.00 stops the step: nothing spent yet"):
        budget(cap(0.0)).reserve(1.0)


@given(st.lists(st.tuples(st.floats(0.001, 3.0), st.floats(0.0, 1.0)), max_size=60), st.integers(1, 5))
def test_a_cap_is_never_passed_by_calls_that_cost_at_most_what_was_expected(
    calls: list[tuple[float, float]], n_at_once: int
) -> None:
    limit = cap(10.0)
    gate, in_flight = budget(limit), list[Reservation]()
    for expected, share in calls:
        try:
            while not gate.reserve(expected) or len(in_flight) >= n_at_once:
                gate.settle(in_flight.pop(0))
        except FatalModelError:
            assert not in_flight
            break
        in_flight.append(Reservation(expected, expected * share))
        assert limit.spent + limit.reserved <= limit.limit * (1 + 1e-6)
        while len(in_flight) >= n_at_once:
            gate.settle(in_flight.pop(0))
    for bill in in_flight:
        gate.settle(bill)
    assert limit.n_in_flight == 0
    assert limit.reserved == 0.0
    assert limit.spent <= limit.limit * (1 + 1e-6)


def test_those_that_wait_end_when_the_cap_is_reached() -> None:
    limit = cap(10.0)

    async def work() -> list[BaseException | str]:
        allowed, stop, gate = budget(limit), asyncio.Event(), asyncio.Event()

        async def call(expected: float) -> str:
            async with allowed.spend(lambda: expected, stop) as bill:
                bill.sent()
                await gate.wait()
            return "answered"

        tasks = [asyncio.create_task(call(expected)) for expected in (9.0, 5.0, 5.0)]
        asyncio.get_running_loop().call_soon(gate.set)
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(work())
    assert first == "answered"
    assert all(isinstance(end, FatalModelError | asyncio.CancelledError) for end in others)
    assert (limit.spent, limit.n_in_flight) == (9.0, 0)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(connection, "_LONGEST_RETRY_AFTER_S", 0.0)
    monkeypatch.setenv("TEST_KEY", "sk-not-a-real-key-8d1f")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path}/calls.sqlite") as opened:
        yield opened


def study_at(server: SmallProvider, kind: str = "openai", **changes: object) -> Study:
    base_url = server.url if kind == "openai" else server.url.removesuffix("/v1")
    model = {"provider": "prov"}
    provider = {"kind": kind, "base_url": base_url, "api_key_env": "TEST_KEY", "max_retries": 1, **changes}
    return Study.model_validate(
        {
            "study": "s",
            "families": {"f": {"larger": {"model": "l", **model}, "smaller": {"model": "m", **model}}},
            "domains": {"math": ["b"]},
            "providers": {"prov": provider},
        }
    )


def ask(
    study: Study, ledger: Ledger, requests: Sequence[ChatRequest], *caps: Cap, price: Price = DOLLAR
) -> list[ChatReply | CallFailure]:
    def opened():  # type: ignore[no-untyped-def]
        return with_budget(open_chat_provider("prov", study, ledger), lambda: budget(*caps, price=price))

    with ModelCalls(ledger, "prov", opened, USE, price=price) as calls:
        return calls.chat(requests)


def reply_of(n_tokens: int):  # type: ignore[no-untyped-def]
    """Answers with the given completion tokens; a prompt token is four characters."""
    return lambda _path, body, _n_before: Answer(chat_completion(body, "abcd" * n_tokens))


def test_calls_stop_before_the_cap_and_what_is_done_is_kept(ledger: Ledger) -> None:
    # Each call: a prompt of 1 token, a reply of at most 4 and actually 2: reserved at 5 dollars, costs 3.
    limit = cap(20.0)
    requests = [chat(f"n{number:03}", max_tokens=4) for number in range(30)]
    with SmallProvider(reply_of(2)) as server:
        with pytest.raises(FatalModelError, match=r"--max-cost of .20.00 stops the step: .18.00 spent, the next call"):
            ask(study_at(server), ledger, requests, limit)
        # After 6 calls 18 are spent, and 18 + 5 > 20; a 6th fits, for 15 + 5 = 20.
        assert server.stats.requests == 6
        assert len(ledger.lookup(request.call_id for request in requests)) == 6
        assert ledger.totals_by_use("s")[USE].cost == pytest.approx(18.0)
        # The next run has a new cap, and sends only missing calls.
        ask(study_at(server), ledger, requests, cap(72.0 + 2.0))
        assert server.stats.requests == 30


def test_far_below_the_cap_nothing_waits(ledger: Ledger) -> None:
    limit = cap(10_000.0)
    with SmallProvider(reply_of(2), latency_s=0.05) as server:
        ask(study_at(server), ledger, [chat(str(number), max_tokens=4) for number in range(16)], limit)
        assert server.stats.max_in_flight > 4
    assert limit.spent == pytest.approx(16 * 2)  # a prompt of one or two characters is less than a token
    assert limit.n_in_flight == 0


def test_calls_that_fail_and_calls_that_are_tried_again(ledger: Ledger) -> None:
    def respond(_path: str, body: Body, _n_before: int) -> Answer:
        text = body["messages"][-1]["content"]
        if text == "bad!":
            return error_answer(400, "too long")
        return Answer(chat_completion(body, "abcd"))

    limit = cap(100.0)
    with SmallProvider(respond) as server:
        failed, good = ask(study_at(server), ledger, [chat("bad!", max_tokens=4), chat("good", max_tokens=4)], limit)
    assert isinstance(failed, CallFailure)
    assert isinstance(good, ChatReply)
    assert (limit.spent, limit.n_in_flight) == (2.0, 0)  # 1 + 1 token; a refusal is not charged
    totals = ledger.totals_by_use("s")[USE]
    assert (totals.cost, totals.n_cost_unknown) == (2.0, 1)


def test_a_fatal_fault_of_the_vendor_leaves_no_reservation(ledger: Ledger) -> None:
    limit = cap(1000.0)
    with (
        SmallProvider(lambda _path, _body, _n_before: error_answer(401, "wrong key")) as server,
        pytest.raises(FatalModelError, match="key for model m was refused"),
    ):
        ask(study_at(server), ledger, [chat(str(number), max_tokens=4) for number in range(20)], limit)
    assert (limit.n_in_flight, limit.reserved) == (0, 0.0)


def test_embeddings_stop_at_the_cap(ledger: Ledger) -> None:
    # One call takes 128 texts of 4 characters: 128 dollars.
    requests = [EmbeddingRequest("e", f"t{number:03}") for number in range(400)]
    limit, price = cap(300.0), Price(1_000_000.0)

    def opened():  # type: ignore[no-untyped-def]
        return with_budget(open_embedding_provider("prov", study), lambda: budget(limit, price=price))

    with SmallProvider(canned) as server:
        study = study_at(server)
        with (
            ModelCalls(ledger, "prov", opened, USE, price=price) as calls,
            pytest.raises(FatalModelError, match="--max-cost"),
        ):
            calls.embed(requests)
        assert server.stats.requests <= 3
    outcomes = ledger.lookup(request.call_id for request in requests)
    assert all(isinstance(outcome, EmbeddingReply) for outcome in outcomes.values())
    assert len(outcomes) == limit.spent == ledger.totals_by_use("s")[USE].cost
    assert limit.spent <= 300


@pytest.mark.parametrize("kind", ["openai", "google-genai"])
def test_a_batch_holds_what_fits_and_the_rest_follows(kind: str, ledger: Ledger) -> None:
    # A prompt of 1 token and at most 199 of reply: 200 reserved each, so 5 of 8 fit under 1,000 at first. The vendor's
    # reply has some 50 tokens, so that after the first batch there is room for the rest.
    vendor = BatchVendor(n_looks=0)
    requests = [chat(f"n{number:03}", max_tokens=199) for number in range(8)]
    limit = cap(1000.0)
    with SmallProvider(vendor) as server:
        ask(study_at(server, kind, mode="batch", batch_poll_s=0.01), ledger, requests, limit)
    assert [len(prompts) for prompts in vendor.sent] == [5, 3]
    assert limit.spent == pytest.approx(ledger.totals_by_use("s")[USE].cost)
    assert (limit.n_in_flight, limit.reserved) == (0, 0.0)


def test_a_batch_that_reaches_the_cap_keeps_what_came(ledger: Ledger) -> None:
    vendor = BatchVendor(n_looks=0)
    requests = [chat(f"n{number:03}", max_tokens=199) for number in range(8)]
    limit = cap(250.0)
    with SmallProvider(vendor) as server, pytest.raises(FatalModelError, match=r"--max-cost of .250.00 stops the step"):
        ask(study_at(server, mode="batch", batch_poll_s=0.01), ledger, requests, limit)
    # One call fits at first; after it less than 200 of 250 is left.
    assert [len(prompts) for prompts in vendor.sent] == [1]
    assert len(ledger.lookup(request.call_id for request in requests)) == 1
    assert limit.n_in_flight == 0


def test_a_batch_that_an_earlier_process_sent_counts(ledger: Ledger) -> None:
    vendor = BatchVendor(n_looks=0)
    requests = [chat(f"n{number:03}", max_tokens=199) for number in range(3)]
    with SmallProvider(vendor) as server:
        study = study_at(server, mode="batch", batch_poll_s=0.01)
        provider = open_chat_provider("prov", study, ledger)
        assert len(list(provider.complete(requests[:2]))) == 2  # nothing is written to the ledger
        provider.close()
        limit = cap(1000.0)
        ask(study, ledger, requests, limit)
    assert [len(prompts) for prompts in vendor.sent] == [2, 1]
    assert limit.spent == pytest.approx(ledger.totals_by_use("s")[USE].cost)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 4), st.integers(1, 12))
def test_however_long_the_replies_the_cap_holds(limit: int, n_tokens: int, n_in_flight: int) -> None:
    """Replies never longer than allowed: 1 + 4 dollars at most."""
    requests = [chat(f"n{number:03}", max_tokens=4) for number in range(15)]
    held = cap(float(limit))
    with Ledger("sqlite:///:memory:") as ledger, SmallProvider(reply_of(n_tokens)) as server:
        provider = with_budget(
            open_chat_provider("prov", study_at(server, max_in_flight=n_in_flight), ledger), lambda: budget(held)
        )
        try:
            n_answered = len(list(provider.complete(requests)))
            assert n_answered == 15
        except FatalModelError:
            assert held.spent + 5 > limit
        finally:
            provider.close()
    assert held.spent <= limit
    assert held.n_in_flight == 0

"""Caps that apply to a step: a study's cap with its spending so far, under a lock; models without a price."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from advcluster_dagster.ledger.budget import Budget
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.prices import Price, PriceTable, load_prices
from advcluster_dagster.ledger.spending_limits import open_budget, refuse_unpriced, run_cap, spent_by_study
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.study.models import Model
from advcluster_dagster.study.study import Study

PRICES = "models:\n  judge: {prompt: 1000000, completion: 1000000}\n"
DOLLAR = Price(1_000_000.0, 1_000_000.0)
JUDGE = Model(model="judge", provider="own")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path}/calls.sqlite") as opened:
        yield opened


@pytest.fixture
def prices(tmp_path: Path) -> PriceTable:
    (tmp_path / "prices.yaml").write_text(PRICES)
    return load_prices(tmp_path / "prices.yaml")


def study(model: str = "judge", **spending: float) -> Study:
    imported = {"provider": "imported"}
    return Study.model_validate(
        {
            "study": "s",
            "families": {"f": {"larger": {"model": "l", **imported}, "smaller": {"model": "m", **imported}}},
            "domains": {"math": ["b"]},
            "providers": {"own": {"base_url": "http://127.0.0.1:1/v1"}},
            "judges": {"extractor": {"model": model, "provider": "own"}},
            "spending": spending,
        }
    )


def request(text: str) -> ChatRequest:
    return ChatRequest("judge", (Message("user", text),))


def reply(n_prompt: int | None, n_completion: int | None) -> ChatReply:
    return ChatReply("x" * 8, prompt_tokens=n_prompt, completion_tokens=n_completion)


def test_what_a_study_spent_counts_every_reply_that_was_paid_for(ledger: Ledger, prices: PriceTable) -> None:
    assert spent_by_study(ledger, study(), prices) == 0.0
    asked = [request(text) for text in "abcde"]
    ledger.record(asked[0], reply(1, 2), "own", DOLLAR)  # 3
    ledger.retire([asked[0].call_id])
    ledger.record(asked[0], reply(2, 2), "own", DOLLAR)  # 4, sent again
    ledger.record(asked[0], reply(9, 9), "own", DOLLAR)  # two processes sent it at once: 4 more
    ledger.record(asked[1], reply(5, 1), "own")  # from a ledger without costs: 6 at the current price
    ledger.record(asked[2], CallFailure("timeout", ""), "own", DOLLAR)  # nothing
    ledger.record(asked[3], reply(100, 100), "own", DOLLAR)  # of another study
    ledger.note_uses("s", "a", "p", [call.call_id for call in asked[:3]])
    ledger.note_uses("s", "a", "q", [asked[0].call_id])  # used twice, paid once
    ledger.note_uses("t", "a", "p", [asked[3].call_id])
    assert spent_by_study(ledger, study(), prices) == pytest.approx(3 + 4 + 4 + 6)
    # A reply without reported tokens: four characters per token.
    ledger.record(asked[4], reply(None, None), "own", DOLLAR)
    ledger.note_uses("s", "a", "p", [asked[4].call_id])
    more = spent_by_study(ledger, study(), prices) - 17
    assert 10 < more < 200
    # Without a price there is nothing to count.
    ledger.record(ChatRequest("nameless", (Message("user", "f"),)), reply(7, 7), "own")
    assert spent_by_study(ledger, study(), prices) == pytest.approx(17 + more)


def test_a_cap_needs_every_models_price(prices: PriceTable, tmp_path: Path) -> None:
    refuse_unpriced(study(), prices)
    with pytest.raises(FatalModelError) as error:
        refuse_unpriced(study("nameless"), prices)
    assert str(error.value) == (
        "study s: a cost cap requires the price of every model; unknown for nameless; add it to"
        f" {tmp_path / 'prices.yaml'} (0 for your own server) or remove the cap"
    )


def opened(ledger: Ledger, prices: PriceTable, declared: Study, *limits: float, model: Model = JUDGE) -> Budget | None:
    lock = prices.own_file.with_name("s.lock")
    return open_budget(model, False, declared, "a", ledger, prices, [run_cap(limit) for limit in limits], lock)


def is_locked(prices: PriceTable) -> bool:
    handle = os.open(prices.own_file.with_name("s.lock"), os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(handle)


def test_without_a_cap_and_for_models_that_cost_nothing_there_is_no_gate(ledger: Ledger, prices: PriceTable) -> None:
    assert opened(ledger, prices, study()) is None
    assert opened(ledger, prices, study("nameless")) is None
    embedded = Model(model="analyst", provider="embedded")
    assert opened(ledger, prices, study(max_cost=1.0), 5.0, model=embedded) is None
    assert not is_locked(prices)


def test_a_studys_cap_starts_at_what_was_spent_and_is_held_under_a_lock(ledger: Ledger, prices: PriceTable) -> None:
    ledger.record(request("a"), reply(1, 2), "own", DOLLAR)
    ledger.note_uses("s", "a", "p", [request("a").call_id])
    gate = opened(ledger, prices, study(max_cost=5.0), 100.0)
    assert gate is not None
    assert [(limit.name, limit.spent) for limit in gate.caps] == [
        ("--max-cost", 0.0),
        ("spending.max_cost of study s", 3.0),
    ]
    assert gate.completion_tokens == 2.0  # the mean reply of the model in this asset
    assert is_locked(prices)
    gate.release()
    assert not is_locked(prices)


def test_a_model_without_a_price_takes_no_lock(ledger: Ledger, prices: PriceTable) -> None:
    for declared, limits in ((study("nameless", max_cost=5.0), ()), (study("nameless"), (1.0,))):
        with pytest.raises(FatalModelError, match="unknown for nameless"):
            opened(ledger, prices, declared, *limits)
    assert not is_locked(prices)

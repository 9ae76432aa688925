import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.models.limits import Adaptation, Bucket, Gate


def test_a_bucket_lets_its_rate_through() -> None:
    bucket = Bucket(per_minute=120)  # 2 per second, capacity of one second
    assert [bucket.reserve(1, now=0.0) for _ in range(4)] == [0.0, 0.0, 0.5, 1.0]
    # 1.5 s later 3 units were added: the debt of 2 is paid and 1 is available.
    assert bucket.reserve(1, now=1.5) == 0.0
    assert bucket.reserve(1, now=1.5) == 0.5


def test_a_slow_bucket_holds_one_unit() -> None:
    bucket = Bucket(per_minute=6)
    assert [bucket.reserve(1, now=5.0) for _ in range(2)] == [0.0, 10.0]


def test_more_than_a_bucket_holds_leaves_a_debt() -> None:
    bucket = Bucket(per_minute=600)  # 10 per second
    assert bucket.reserve(30, now=0.0) == 0.0
    # 20 owed and 10 to refill the bucket: 3 s.
    assert bucket.reserve(30, now=0.0) == 3.0


def test_what_a_call_really_took_is_put_right() -> None:
    bucket = Bucket(per_minute=600)
    assert bucket.reserve(10, now=0.0) == 0.0
    bucket.correct(10)  # it took 20: 10 owed
    assert bucket.reserve(5, now=0.0) == 1.5
    bucket.correct(-100)  # never more than a second's worth
    assert bucket.reserve(10, now=0.0) == 0.0


@given(st.floats(1, 1e6), st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e4)), min_size=1, max_size=50))
def test_no_minute_gets_more_than_its_rate(per_minute: float, calls: list[tuple[float, float]]) -> None:
    bucket = Bucket(per_minute)
    now, total, used_at = 0.0, 0.0, 0.0
    for gap, amount in calls:
        now += gap
        used_at = now + bucket.reserve(amount, now)
        before, total = total, total + amount
    # All units before the last call came from the initial bucket and its refill since.
    capacity = max(per_minute / 60, 1.0)
    assert before <= (capacity + used_at * per_minute / 60) * (1 + 1e-9) + 1e-6


def test_scattered_rate_limiting_changes_nothing() -> None:
    adaptation = Adaptation(64)
    for number in range(3000):
        assert not adaptation.note("rate_limited" if number % 10 == 0 else "answered")
    assert adaptation.allowed == 64


def test_a_storm_halves_and_calm_brings_back() -> None:
    adaptation = Adaptation(64)
    storms = [adaptation.note("rate_limited") for _ in range(8)]
    assert storms == [False] * 7 + [True]
    assert adaptation.allowed == 32
    for _ in range(200):
        adaptation.note("rate_limited")
    assert adaptation.allowed == 1
    n_calls = 0
    while adaptation.allowed < 64:
        adaptation.note("answered")
        n_calls += 1
    # From 1 the limit grows by a quarter and one per round: some hundred calls, not some thousand.
    assert 50 < n_calls < 500


def test_other_faults_neither_slow_down_nor_speed_up() -> None:
    adaptation = Adaptation(64)
    for _ in range(8):
        adaptation.note("rate_limited")
    for _ in range(100):
        adaptation.note("failed")
    assert adaptation.allowed == 32


def test_a_gate_lets_in_as_many_as_allowed_and_retries_first() -> None:
    order: list[str] = []

    async def call(gate: Gate, name: str, is_retry: bool) -> None:
        await gate.enter(is_retry)
        order.append(name)
        gate.leave()

    async def run() -> None:
        gate = Gate(1)
        await gate.enter(is_retry=False)
        tasks = []
        for name in ("first", "second", "retry"):
            tasks.append(asyncio.create_task(call(gate, name, name == "retry")))
            await asyncio.sleep(0)
        assert order == []
        gate.leave()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert order == ["retry", "first", "second"]


def test_a_cancelled_wait_gives_its_place_to_the_next() -> None:
    async def run() -> None:
        gate = Gate(1)
        await gate.enter(is_retry=False)
        gone, granted = (asyncio.create_task(gate.enter(is_retry=False)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        gate.leave()
        granted_too_late = granted
        granted_too_late.cancel()  # it got the slot before it could run
        await asyncio.gather(granted, return_exceptions=True)
        await asyncio.wait_for(gate.enter(is_retry=False), 5)

    asyncio.run(run())


def test_a_gate_applies_both_limits_and_the_servers_pause() -> None:
    now = [100.0]
    gate = Gate(64, requests_per_minute=60, tokens_per_minute=6000, clock=lambda: now[0])
    assert gate.reserve(50) == 0.0
    assert gate.reserve(50) == 1.0  # one request per second
    assert gate.reserve(200) == pytest.approx(2.0)  # 100 tokens per second, all spent: 1 s for them, 2 s for requests
    gate.correct_tokens(n_expected=200, n_used=None)
    for _ in range(8):
        gate.note("rate_limited", retry_after_s=30.0)
    assert gate.reserve(0) == 30.0
    now[0] = 200.0
    assert gate.reserve(0) == 0.0

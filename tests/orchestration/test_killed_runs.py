"""Killed runs: the next run completes them and pays twice only for calls that were in flight."""

import pytest

from advcluster_dagster.contracts.registry import TABLES
from tests.providers.small_provider import SmallProvider, analyst
from tests.studies import given_study, ledger_rows, questions_asked, run_until

pytestmark = pytest.mark.integration  # slow: whole runs, end to end

IN_FLIGHT = 4


def _judges(provider):
    return {
        "judges": {
            **{judge: {"model": "analyst", "provider": "small"} for judge in ("extractor", "summariser", "reviewer")},
            "embedder": {"model": "wordllama-256", "provider": "small"},
        },
        "providers": {
            "small": {"base_url": provider.url, "api_key_env": "SMALL_KEY", "max_in_flight": IN_FLIGHT},
        },
    }


def test_a_run_killed_at_two_moments_asks_only_for_what_was_in_flight(given_once, tmp_path, monkeypatch):
    monkeypatch.setenv("SMALL_KEY", "none")
    command = ["run", "given", "--select", ",".join(TABLES)]
    n_described = given_once.table("advantage_corpus")["advantage"].n_unique()
    with SmallProvider(analyst(0), latency_s=0.05) as provider:
        small = given_study(tmp_path / "home", **_judges(provider))
        moments = (
            lambda: len(ledger_rows(small.home)) >= 5,  # of the first domain's 8 extractions
            lambda: len(ledger_rows(small.home)) >= 16 + n_described + 3,  # while clusters are named
        )
        for is_far_enough in moments:
            assert run_until(command, small.home, is_far_enough)
        assert not run_until(command, small.home, lambda: False)
        asked = questions_asked(provider.bodies)
    assert small.states() == {"fresh", "no sources"}
    assert small.hashes() == given_once.hashes()
    rows = ledger_rows(small.home)
    assert {n_replies for _, n_replies, _ in rows} == {1}
    n_groupings = small.study.themes.n_repeats - 1  # equal requests, repeated as often as the study says
    n_repeated = sum(asked.values()) - len(asked)
    assert n_repeated <= IN_FLIGHT * len(moments) + n_groupings
    assert len(asked) == len(rows) - n_groupings

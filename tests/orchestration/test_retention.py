import pytest

from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.orchestration.retention import prune, runs_in_use
from tests.studies import SmallHome, ledger_rows


def run_ids(home: SmallHome) -> set[str]:
    with home.instance() as instance:
        return {run.run_id for run in instance.get_runs()}


def kept_house(home: SmallHome, keep_days: float) -> tuple[int, int]:
    with home.instance() as instance:
        done = prune(home.platform, home.study, instance, keep_days)
    return done.n_removed, done.n_needed


def test_young_runs_stay(given: SmallHome) -> None:
    before = run_ids(given)
    assert kept_house(given, keep_days=1) == (0, 0)
    assert run_ids(given) == before


def test_runs_that_made_what_stands_stay_however_old(given: SmallHome) -> None:
    """Everything is fresh, so every run wrote a current result."""
    before, status = run_ids(given), given.status()
    assert kept_house(given, keep_days=0) == (0, len(before))
    assert run_ids(given) == before
    assert given.status() == status


@pytest.mark.integration
def test_a_run_whose_tables_were_made_again_goes(given: SmallHome) -> None:
    first = run_ids(given)
    states = given.states()
    given.change(trials=1)
    given.run()
    second = run_ids(given) - first
    with given.instance() as instance:
        needed = runs_in_use(instance, given.study)
    ledger = ledger_rows(given.home)
    n_removed, n_needed = kept_house(given, keep_days=0)
    assert n_removed == len((first | second) - needed) > 0
    assert n_needed == len(needed)
    assert run_ids(given) == needed
    assert second <= needed
    assert given.states() == states
    assert ledger_rows(given.home) == ledger  # nothing paid for is lost


def test_packing_gives_back_what_was_deleted(given: SmallHome) -> None:
    with Ledger(given.home.ledger_url) as ledger:
        with ledger.read() as connection:
            connection.exec_driver_sql("create table filler as select zeroblob(1000000) as content")
        with ledger.read() as connection:
            connection.exec_driver_sql("drop table filler")
        rows = ledger_rows(given.home)
        assert ledger.pack() >= 1_000_000
        assert ledger.pack() == 0
        assert ledger_rows(given.home) == rows

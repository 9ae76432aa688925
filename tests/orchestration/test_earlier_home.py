"""A home that an earlier version of the program made: it opens, says what changed, and a run pays for nothing again.

``tests/cases/homes/given.zip`` is the finished study `given` (two domains, all sections at their defaults) as of
November 2026, without its pages and the logs of its runs. Where a change makes other rows on purpose, name the tables
in CHANGED; where a prompt changes, calls are paid again on purpose, and a new home takes the place of this one.
"""

import zipfile

import pytest
from polars.testing import assert_frame_equal

from advcluster_dagster.storage.home import Home
from tests.studies import ROOT, SmallHome, changed_tables

#: Tables whose rows are other ones since that version.
CHANGED: set[str] = set()


@pytest.fixture
def earlier(tmp_path):
    with zipfile.ZipFile(ROOT / "tests" / "cases" / "homes" / "given.zip") as packed:
        packed.extractall(tmp_path)
    return SmallHome(Home(tmp_path / "earlier"), "given")


def test_its_rerun_makes_no_model_call_and_equal_tables(earlier):
    before = earlier.hashes()
    assert len(before) > 40
    rows = {table: earlier.table(table) for table in {name.split("@")[0] for name in before}}
    status = earlier.status()
    stale = {step: each for step, each in status.items() if each.state == "stale"}
    assert stale  # the code is another one
    assert any("code changed" in text for each in stale.values() for text in each.texts)
    with earlier.instance() as instance:
        assert len(instance.get_runs()) == 6
    outcome = earlier.run()
    assert outcome.failures == {}
    assert outcome.n_asked == 0
    after = earlier.hashes()
    for table in sorted(changed_tables(before, after) - CHANGED):
        assert_frame_equal(earlier.table(table), rows[table], check_exact=True)  # says which values differ
    assert changed_tables(before, after) <= CHANGED
    assert earlier.states() == {"fresh"}

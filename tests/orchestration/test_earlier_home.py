"""A home that an earlier version of the program made: it opens, says what changed, and a run pays for nothing again.

``tests/cases/homes/given.zip`` is the finished study `given` (two domains, all sections at their defaults) as of
November 2026, without its pages and the logs of its runs. Where a change makes other rows on purpose, name the tables
in CHANGED; where a prompt changes, calls are paid again on purpose, and a new home takes the place of this one.
"""

import zipfile

import pytest
from polars.testing import assert_frame_equal

from advcluster_dagster.assets.registry import tables_behind
from advcluster_dagster.contracts.registry import TABLES
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
    # Rows after the projection depend in their last bits on the processor, and are compared without their hashes.
    exact = [table for table in TABLES if table in names_of(before) and "candidate_clusterings" not in needed_by(table)]
    assert len(exact) > 20
    stale = [step for step in earlier.status().values() if step.state == "stale"]
    assert any("code changed" in text for step in stale for text in step.texts)
    with earlier.instance() as instance:
        assert len(instance.get_runs()) == 6
    outcome = earlier.run(exact)
    assert (outcome.failures, outcome.n_asked) == ({}, 0)
    after = earlier.hashes()
    assert {table for table in changed_tables(before, after) if table in exact} <= CHANGED
    clusterings = earlier.table("candidate_clusterings")
    assert earlier.run().failures == {}
    assert_frame_equal(earlier.table("candidate_clusterings"), clusterings, rel_tol=1e-3)
    assert earlier.states() == {"fresh"}


def names_of(hashes):
    return {name.split("@")[0] for name, content_hash in hashes.items() if content_hash is not None}


def needed_by(table):
    return {table, *tables_behind(table)}

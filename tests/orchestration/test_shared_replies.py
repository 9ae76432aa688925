"""A study's replies as one file: it reproduces the tables offline, and a missing reply stops the run."""

import pytest
import sqlalchemy as sa

from advcluster_dagster.ledger.files import export_replies, import_replies
from advcluster_dagster.ledger.tables import USES
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.study.partition import Partition
from tests.studies import SIMULATED, ledger_rows, write_study

pytestmark = pytest.mark.integration  # slow: whole runs, end to end


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A finished study whose traces and judgements all come from models, and the file of its replies."""
    root = tmp_path_factory.mktemp("shared")
    small = write_study(root / "home", SIMULATED)
    assert small.run().failures == {}
    written = export_replies(small.platform.ledger, "made", root / "replies.gz")
    assert written.n_calls == len(ledger_rows(small.home)) > 0
    return small, root / "replies.gz"


@pytest.fixture
def elsewhere(shared, tmp_path):
    """An empty home with only the study file and the replies."""
    small = write_study(tmp_path / "elsewhere", SIMULATED)
    assert import_replies(small.platform.ledger, shared[1]).n_known == 0
    return small


def _offline(small):
    return small.run(platform=Platform(small.home, offline=True))


def test_a_file_of_replies_gives_equal_tables_offline(shared, elsewhere):
    assert _offline(elsewhere).failures == {}
    hashes = shared[0].hashes()
    assert elsewhere.hashes() == hashes
    assert None not in hashes.values()
    assert ledger_rows(elsewhere.home) == ledger_rows(shared[0].home)


def test_one_missing_reply_stops_there_with_one_line_and_the_rest_is_kept(shared, elsewhere):
    done, _ = shared
    place = Partition("orion", "math")
    with done.platform.ledger.read() as connection:
        missing = connection.execute(
            sa.select(sa.func.min(USES.c.call_id)).where(USES.c.asset == "advantage_corpus")
        ).scalar_one()
    assert elsewhere.platform.ledger.retire([missing]) == 1
    failures = _offline(elsewhere).failures
    assert set(failures) == {place}
    line = failures[place]
    assert line.startswith(f"extracted_advantages: offline: call {missing} of model ")
    assert line.endswith(" and 0 more are not in the ledger; run without the offline setting to send them")
    made = {name: value for name, value in elsewhere.hashes().items() if value is not None}
    assert made.items() <= done.hashes().items()
    assert "trace_pairs@orion/math" in made
    assert "advantage_corpus@orion/math" not in made
    # Only the missing reply is requested, and all tables are as before.
    n_before = len(ledger_rows(elsewhere.home))
    assert elsewhere.run().failures == {}
    assert elsewhere.hashes() == done.hashes()
    assert len(ledger_rows(elsewhere.home)) == n_before + 1

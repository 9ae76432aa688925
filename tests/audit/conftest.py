"""A study to audit: `made`, whose traces were sampled through the ledger; those of `given` were imported."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from advcluster_dagster.audit.records import Place
from advcluster_dagster.audit.verify import Verification, verify
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from tests.studies import SIMULATED, SmallHome, made_once, write_study

HERE = Partition("orion", "math")


@pytest.fixture(scope="session")
def finished_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        assert write_study(root, SIMULATED).run().failures == {}

    return made_once(tmp_path_factory, "audited", make)


@pytest.fixture
def made(finished_made: Path, tmp_path: Path) -> SmallHome:
    """The study `made` with all its tables, a copy to do with as a test likes."""
    shutil.copytree(finished_made, tmp_path / "made")
    return SmallHome(Home(tmp_path / "made"), "made")


@pytest.fixture(scope="module")
def made_intact(finished_made: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    """As `made`, one copy for the tests of a module that only read it."""
    root = tmp_path_factory.mktemp("made") / "home"
    shutil.copytree(finished_made, root)
    return SmallHome(Home(root), "made")


def audited(small: SmallHome, roots: Sequence[Place] = ()) -> Verification:
    """The verification of a study."""
    with small.instance() as instance, Ledger(small.home.ledger_url) as ledger:
        return verify(small.home, small.study, instance, ledger, roots)


def lines(found: Verification) -> list[str]:
    return [broken.line for broken in found.breaks]


def change_rows(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Write other rows into a file, its stamp as it was: what a person who edits a table by hand would do."""
    metadata = pq.read_metadata(path).metadata
    rows = change(pl.read_parquet(path)).to_arrow()
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({"advcluster_stamp": metadata[b"advcluster_stamp"].decode()})


def flip(path: Path, place: int, bit: int = 0) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(bytes(content))

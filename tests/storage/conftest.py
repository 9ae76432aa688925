from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import Stamp, stage_table, table_path
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

IMPORTED = {"provider": "imported"}
STUDY = {
    "study": "sums",
    "trials": 2,
    "families": {
        "f": {"larger": {"model": "f-large", **IMPORTED}, "smaller": {"model": "f-small", **IMPORTED}},
        "g": {"larger": {"model": "g-large", **IMPORTED}, "smaller": {"model": "g-small", **IMPORTED}},
    },
    "domains": {"math": ["addition"], "biology": ["cells"]},
}


@pytest.fixture
def study() -> Study:
    return Study.model_validate(STUDY)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def lake(home: Home) -> UPath:
    return home.lake


def pairs(*indexes: int, question: str = "q") -> pl.DataFrame:
    """Rows of ``trace_pairs`` without partition columns."""
    return pl.DataFrame(
        {
            "pair_id": [f"{question}:{index}" for index in indexes],
            "question_id": [question] * len(indexes),
            "pair_index": list(indexes),
            "larger_trial": list(indexes),
            "smaller_trial": list(indexes),
            "smaller_verdict": ["wrong"] * len(indexes),
        },
        schema_overrides={
            "pair_index": pl.Int64,
            "larger_trial": pl.Int64,
            "smaller_trial": pl.Int64,
            "smaller_verdict": pl.String,
        },
    )


@pytest.fixture(name="pairs")
def pairs_fixture() -> Callable[..., pl.DataFrame]:
    return pairs


@pytest.fixture
def publish(lake: UPath, study: Study) -> Callable[..., Any]:
    """Put a frame in its place as one partition of a table of the study."""

    def publish(table: str, frame: pl.DataFrame, partition: Partition, stamp: Stamp | None = None) -> UPath:
        path = table_path(lake, study.study, table, partition)
        stage_table(TABLES[table], frame, partition, path, stamp or Stamp()).publish()
        return path

    return publish

"""A small study with model calls, finished once, as the starting point of automation tests."""

import shutil
from pathlib import Path

import pytest

from advcluster_dagster.demo.simulation.questions import simulated_questions
from advcluster_dagster.storage.home import Home
from tests.studies import SIMULATED, SmallHome, made_once, write_lines, write_study

_COLUMNS = ("question_id", "question", "prompt", "answer", "answer_type")


@pytest.fixture(scope="session")
def _finished_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        assert write_study(root, SIMULATED).run(assets=()).failures == {}

    return made_once(tmp_path_factory, "made", make)


@pytest.fixture
def made(_finished_made: Path, tmp_path: Path) -> SmallHome:
    """A copy of the study `made` with all its tables and its report, which the test may modify."""
    shutil.copytree(_finished_made, tmp_path / "made")
    return SmallHome(Home(tmp_path / "made"), "made")


def drop(home: Home, study: str, domain: str, name: str, n_questions: int) -> Path:
    """Drop a benchmark of generated questions, which the simulated families can answer."""
    path = home.root / "benchmarks" / study / domain / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = simulated_questions(name, domain, 0).head(n_questions)
    write_lines(path, rows.select(_COLUMNS).to_dicts())
    return path

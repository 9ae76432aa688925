"""Fixtures of finished studies, created once per session for all test workers."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from advcluster_dagster.storage.home import Home
from tests.studies import SmallHome, given_study, made_once, run_until

# No deadline: on a busy machine an example may take long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "begins_first: takes long, so it starts first and the others run beside it")
    # We accept using parts of Dagster that are beta in the pinned version.
    for category in ("BetaWarning", "PreviewWarning"):
        config.addinivalue_line("filterwarnings", f"ignore::dagster.{category}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long tests first, and those that wait for the finished demonstration last."""

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("begins_first"):
            return 0
        return 2 if "finished_demo" in getattr(item, "fixturenames", ()) else 1

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def _no_home_of_a_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep tests from reading or writing the project's own data."""
    monkeypatch.setenv("ADVCLUSTER_HOME", str(tmp_path / "own-home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "own-home" / "dagster"))


@pytest.fixture
def _no_collection() -> Iterator[None]:
    """Disable garbage collection in deeply nested tests.

    A finaliser run near the stack limit would fail, and with it whichever test runs.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The demonstration, run once from the command line. Read-only: copy it to make changes."""

    def make(root: Path) -> None:
        assert not run_until(["demo"], Home(root), lambda: False, timeout_s=400)

    return Home(made_once(tmp_path_factory, "demo", make))


@pytest.fixture(scope="session")
def _finished_given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        outcome = given_study(root).run()
        assert outcome.failures == {}

    return made_once(tmp_path_factory, "given", make)


@pytest.fixture
def given(_finished_given: Path, tmp_path: Path) -> SmallHome:
    """A copy of the study `given` with all its tables, which the test may modify."""
    shutil.copytree(_finished_given, tmp_path / "given")
    return SmallHome(Home(tmp_path / "given"), "given")


@pytest.fixture(scope="module")
def given_once(_finished_given: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    """A copy of the study `given` with all its tables, shared by the read-only tests of a module."""
    root = tmp_path_factory.mktemp("given") / "home"
    shutil.copytree(_finished_given, root)
    return SmallHome(Home(root), "given")


@pytest.fixture(scope="session", autouse=True)
def _environment_is_put_back() -> Iterator[None]:
    """Restore DAGSTER_HOME, which opening an instance sets for the process, also in session fixtures."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)

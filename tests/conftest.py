"""What tests of the whole platform share: finished studies, made once per session whatever the number of workers."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from advcluster_dagster.storage.home import Home
from tests.studies import SmallHome, given_study, made_once, run_until

# A test does not time: on a busy machine an example may take long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "begins_first: takes long, so it starts first and the others run beside it")
    # Parts of Dagster that are beta in the pinned version are used knowingly.
    for category in ("BetaWarning", "PreviewWarning"):
        config.addinivalue_line("filterwarnings", f"ignore::dagster.{category}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first; those that wait for the finished demonstration last."""

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("begins_first"):
            return 0
        return 2 if "finished_demo" in getattr(item, "fixturenames", ()) else 1

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def _no_home_of_a_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the project's own data."""
    monkeypatch.setenv("ADVCLUSTER_HOME", str(tmp_path / "own-home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "own-home" / "dagster"))


@pytest.fixture
def _no_collection() -> Iterator[None]:
    """For tests that nest deeper than the stack: a finaliser that the collector ran down there would fail, and with it
    whichever test ran.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The demonstration, run once by the command line. Only to be read: copy it to change anything."""

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
    """The study `given` with all its tables, a copy to do with as a test likes."""
    shutil.copytree(_finished_given, tmp_path / "given")
    return SmallHome(Home(tmp_path / "given"), "given")


@pytest.fixture(scope="module")
def given_once(_finished_given: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    """As `given`, one copy for the tests of a module that only read it."""
    root = tmp_path_factory.mktemp("given") / "home"
    shutil.copytree(_finished_given, root)
    return SmallHome(Home(root), "given")


@pytest.fixture(scope="session", autouse=True)
def _environment_is_put_back() -> Iterator[None]:
    """Opening an instance sets DAGSTER_HOME for the process, fixtures of a session included."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)

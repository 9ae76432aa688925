"""Executor and launcher selected by the setting ``executor``."""

import importlib.util

import dagster as dg
import pytest

from advcluster_dagster.orchestration.executors import executor_of, launcher_settings
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.files import SettingsError


def home_with(tmp_path, text):
    (tmp_path / "platform.yaml").write_text(text, encoding="utf-8")
    return Home(tmp_path)


def test_without_settings_steps_run_in_process(tmp_path):
    assert executor_of(Home(tmp_path)) is dg.in_process_executor
    assert launcher_settings(Home(tmp_path)) == {}


def test_multiprocess(tmp_path):
    executor = executor_of(home_with(tmp_path, "executor: multiprocess\nmax_concurrent_steps: 3"))
    assert executor.name == "multiprocess"
    assert launcher_settings(Home(tmp_path)) == {}


@pytest.mark.parametrize("executor", ["ray", "kubernetes"])
def test_a_missing_package_is_one_line(tmp_path, monkeypatch, executor):
    home = home_with(tmp_path, f"executor: {executor}")
    monkeypatch.setattr("advcluster_dagster.orchestration.executors.find_spec", lambda name: None)
    message = (
        rf"^platform.yaml: executor {executor} needs a package: pip install -c constraints.txt -e '.\[{executor}\]' in "
    )
    for use in (executor_of, launcher_settings):
        with pytest.raises(SettingsError, match=message):
            use(home)


@pytest.mark.integration
@pytest.mark.parametrize(("setting", "name"), [("ray", "ray"), ("kubernetes", "k8s")])
def test_an_installed_package_gives_its_executor(tmp_path, setting, name):
    assert importlib.util.find_spec(f"dagster_{name}")
    home = home_with(tmp_path, f"executor: {setting}\nmax_concurrent_steps: 3")
    assert executor_of(home).name == name

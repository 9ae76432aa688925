"""Runs whose process died are distinguished from runs in progress."""

import os
import socket
import subprocess
import sys

import dagster as dg
import psutil
import pytest

from advcluster_dagster.orchestration.instance import mark_dead_runs, open_instance
from advcluster_dagster.orchestration.run_process import PROCESS_TAG, claim_run, process_tag
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.files import SettingsError
from tests.studies import ROOT

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def _add_run(instance, tag, status=STARTED):
    run = dg.DagsterRun("job", status=status, tags={PROCESS_TAG: tag} if tag else {})
    instance.add_run(run)
    return run.run_id


def _ended_process():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    started = psutil.Process(process.pid).create_time()
    process.wait()
    return f"{socket.gethostname()}:{process.pid}:{started:.0f}"


def _other(tag, place, value):
    parts = tag.rsplit(":", 2)
    parts[place] = value
    return ":".join(parts)


def test_a_run_whose_process_is_gone_is_marked_failed_at_the_next_start(home):
    with open_instance(home) as instance:
        run_id = _add_run(instance, _ended_process())
        assert instance.get_run_by_id(run_id).status == STARTED
    with open_instance(home) as instance:
        assert instance.get_run_by_id(run_id).status == FAILURE
        messages = [record.message for record in instance.all_logs(run_id)]
        assert any("the run's process died; run it again" in message for message in messages)


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        (process_tag(), STARTED),
        (_other(process_tag(), 0, "another-host"), STARTED),
        (_other(process_tag(), 2, "1000"), FAILURE),  # the process id was reused
        (None, STARTED),  # not claimed yet: its process may be starting
    ],
    ids=["living", "elsewhere", "another process of that number", "unclaimed"],
)
def test_who_counts_as_dead(home, tag, status):
    with open_instance(home) as instance:
        run_id = _add_run(instance, tag)
        assert mark_dead_runs(instance) == (status == FAILURE)
        assert instance.get_run_by_id(run_id).status == status


def test_an_unclaimed_run_is_dead_to_the_only_server(home):
    with open_instance(home) as instance:
        run_id = _add_run(instance, None, dg.DagsterRunStatus.STARTING)
        assert mark_dead_runs(instance, is_only_server=True) == 1
        assert instance.get_run_by_id(run_id).status == FAILURE


def test_a_run_that_takes_up_a_dead_one_is_claimed_anew(home):
    with open_instance(home) as instance:
        run_id = _add_run(instance, _ended_process())
        claim_run(instance, instance.get_run_by_id(run_id), "in_process")
        assert instance.get_run_by_id(run_id).tags[PROCESS_TAG] == process_tag()
        assert mark_dead_runs(instance) == 0


def test_ended_runs_stay_as_they_are(home):
    with open_instance(home) as instance:
        run_id = _add_run(instance, _ended_process(), dg.DagsterRunStatus.SUCCESS)
        assert mark_dead_runs(instance) == 0
        assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.SUCCESS


def test_settings_are_written_once_and_then_left_to_people(home):
    with open_instance(home) as instance:
        assert instance.is_persistent
    settings = home.dagster / "dagster.yaml"
    settings.write_text(settings.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    with open_instance(home):
        assert settings.read_text(encoding="utf-8").endswith("# mine\n")


def _with(home, text):
    home.root.mkdir(parents=True, exist_ok=True)
    (home.root / "platform.yaml").write_text(text, encoding="utf-8")
    return Home(home.root)


def test_settings_follow_the_platforms_until_a_person_edits_them(home):
    settings = home.dagster / "dagster.yaml"
    for n_runs in (2, 7):
        with open_instance(_with(home, f"max_concurrent_runs: {n_runs}")):
            assert f"max_concurrent_runs: {n_runs}" in settings.read_text(encoding="utf-8")
    settings.write_text(settings.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    with open_instance(_with(home, "max_concurrent_runs: 7")):
        pass
    with pytest.raises(SettingsError, match=r"dagster.yaml: edited by hand, and platform.yaml has changed since"):
        open_instance(_with(home, "max_concurrent_runs: 3"))


def test_a_persons_own_settings_are_left_unless_they_lack_the_database(home, monkeypatch):
    settings = home.dagster / "dagster.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    with open_instance(_with(home, "max_concurrent_runs: 3")):
        assert settings.read_text(encoding="utf-8") == "telemetry: {enabled: false}\n"
    monkeypatch.setenv("HISTORY_URL", "postgresql+psycopg2://me:secret@nowhere/db")
    with pytest.raises(SettingsError, match=r"platform\.yaml configures PostgreSQL, but this edited file does not"):
        open_instance(_with(home, "database_url_env: HISTORY_URL"))


def test_unclaimed_runs_of_a_cluster_are_left_to_it(home, monkeypatch):
    with open_instance(home) as instance:
        run_id = _add_run(instance, None, dg.DagsterRunStatus.STARTING)
        monkeypatch.setattr("advcluster_dagster.orchestration.instance.DefaultRunLauncher", type("Another", (), {}))
        assert mark_dead_runs(instance, is_only_server=True) == 0
        assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.STARTING


_OPEN = """
import sys
from pathlib import Path
from advcluster_dagster.orchestration.instance import open_instance
from advcluster_dagster.storage.home import Home
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    with open_instance(Home(Path(sys.argv[1]) / str(number))) as instance:
        assert instance.get_runs_count() == 0
"""


def test_processes_that_make_the_history_at_once(tmp_path):
    n_homes = 5
    command = [sys.executable, "-c", _OPEN, str(tmp_path), str(n_homes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    openers = [subprocess.Popen(command, env=environment, **pipes) for _ in range(3)]
    for opener in openers:
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        opener.stdin.write("go\n")
        opener.stdin.flush()
    for opener in openers:
        opener.communicate(timeout=120)
    assert [opener.returncode for opener in openers] == [0, 0, 0]


def test_a_class_of_an_earlier_version_is_named_with_the_remedy(home):
    home.dagster.mkdir(parents=True)
    (home.dagster / "dagster.yaml").write_text(
        "event_log_storage:\n  module: advcluster_dagster.storage.event_log\n  class: KeptOpenSqliteEventLogStorage\n"
        "  config: {base_dir: .}\n"
    )
    with (
        pytest.raises(SettingsError, match=r"dagster\.yaml: .*Couldn't import module .*; correct the name, or remove"),
        open_instance(home),
    ):
        pass

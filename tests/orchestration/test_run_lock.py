"""Only one command at a time runs a study: a second one names the first, or waits for it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest

from advcluster_dagster.orchestration.instance import open_instance
from advcluster_dagster.orchestration.run_lock import StudyIsRunningError, only_run
from advcluster_dagster.orchestration.run_process import PROCESS_TAG, STUDY_TAG, process_tag
from tests.studies import ROOT, given_study

_HOLD = """
import sys
from pathlib import Path
from advcluster_dagster.orchestration.instance import open_instance
from advcluster_dagster.orchestration.run_lock import only_run
from advcluster_dagster.storage.home import Home
home = Home(Path(sys.argv[1]))
with open_instance(home) as instance, only_run(home, "given", instance, "advcluster run given"):
    print("holds", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held_elsewhere(home) -> Iterator[subprocess.Popen]:
    """Another process runs the study `given` during the block."""
    command = [sys.executable, "-c", _HOLD, str(home.root)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stdout.readline() == "holds\n"
        try:
            yield process
        finally:
            process.kill()


def typed(home, *words) -> subprocess.Popen:
    environment = {**os.environ, "ADVCLUSTER_HOME": str(home.root), "PYTHONPATH": str(ROOT)}
    environment.pop("DAGSTER_HOME", None)
    program = [sys.executable, "-c", "from advcluster_dagster.cli.main import main; main()", *words]
    return subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def home(tmp_path):
    return given_study(tmp_path / "home").home


@pytest.mark.integration
def test_a_second_command_names_the_first_and_one_that_waits_runs_after_it(home):
    with held_elsewhere(home) as first:
        with typed(home, "run", "given", "--select", "benchmark_questions") as second:
            (line,) = second.stderr.read().splitlines()
        assert second.returncode == 1
        assert re.fullmatch(
            rf"error study given is being run by advcluster run given \(process {first.pid} on {socket.gethostname()},"
            r" since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00\); wait for it with --wait, or stop it",
            line,
        )
        with typed(home, "run", "given", "--select", "benchmark_questions", "--wait") as waiting:
            assert f"(process {first.pid} on" in waiting.stderr.readline()
            assert waiting.poll() is None
            first.stdin.write("done\n")
            first.stdin.flush()
            output = waiting.stderr.read()
        assert waiting.returncode == 0
        assert "2 steps in 2 runs, 0 model calls" in output


def test_a_killed_command_blocks_nobody(home):
    with open_instance(home) as instance:
        with held_elsewhere(home) as first:
            with (
                pytest.raises(StudyIsRunningError, match=f"process {first.pid}"),
                only_run(home, "given", instance, "advcluster run given"),
            ):
                pass
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            with only_run(home, "given", instance, "advcluster run given"):
                pass
        with only_run(home, "given", instance, "advcluster run given"):  # also after an earlier run in this process
            pass


def test_another_study_and_another_home_are_free(home, tmp_path):
    other = given_study(tmp_path / "other").home
    with open_instance(home) as instance, held_elsewhere(home), only_run(home, "demo", instance, "advcluster demo"):
        pass
    with open_instance(other) as instance, held_elsewhere(home), only_run(other, "given", instance, "run"):
        pass


def _add_run(instance, tag, study="given"):
    tags = {STUDY_TAG: study} | ({PROCESS_TAG: tag} if tag else {})
    run = dg.DagsterRun("job", status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.add_run(run)
    return run.run_id


def test_a_run_of_the_ui_is_named_until_its_process_is_gone(home):
    with open_instance(home) as instance, subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as server:
        run_id = _add_run(instance, process_tag(server.pid))
        message = rf"run by run {run_id[:8]} of the UI or its daemon \(process {server.pid} on"
        with pytest.raises(StudyIsRunningError, match=message), only_run(home, "given", instance, "run"):
            pass
        server.communicate(b"\n")
        with only_run(home, "given", instance, "run"):
            pass
        assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize(
    ("tag", "study"),
    [
        (process_tag(), "given"),  # of this process
        (process_tag(), "other"),
        ("another-host:1:1", "given"),  # whose end nobody would see here
        (None, "given"),
    ],
    ids=["own", "own, other study", "another host", "untagged"],
)
def test_runs_that_block_nobody(home, tag, study):
    with open_instance(home) as instance:
        _add_run(instance, tag, study)
        with only_run(home, "given", instance, "run"):
            pass


def test_waiting_is_told_once(home):
    lines = []
    with open_instance(home) as instance, held_elsewhere(home) as first:

        def release(line):
            lines.append(line)
            first.stdin.write("done\n")
            first.stdin.flush()

        with only_run(home, "given", instance, "run", must_wait=True, on_wait=release):
            pass
    assert len(lines) == 1
    assert "waiting for it to end" in lines[0]

"""One signal ends a command within ten seconds; calls in flight are recorded, and the next run repeats none."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from advcluster_dagster.contracts.registry import TABLES
from tests.providers.small_provider import SmallProvider, analyst
from tests.studies import ROOT, given_study

SELECTED = ["run", "given", "--select", ",".join(TABLES)]
IN_FLIGHT = 2
N_EXTRACTIONS = 16  # eight pairs in each of two domains

pytestmark = pytest.mark.integration


def _judges(provider):
    return {
        "judges": {
            **{judge: {"model": "analyst", "provider": "small"} for judge in ("extractor", "summariser", "reviewer")},
            "embedder": {"model": "wordllama-256", "provider": "small"},
        },
        "providers": {
            "small": {"base_url": provider.url, "api_key_env": "SMALL_KEY", "max_in_flight": IN_FLIGHT},
        },
    }


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A study whose judges take a third of a second per call, and their provider."""
    monkeypatch.setenv("SMALL_KEY", "none")
    with SmallProvider(analyst(0), latency_s=0.3) as provider:
        yield given_study(tmp_path / "home", **_judges(provider)), provider


def stop(small, number, is_far_enough):
    """Exit status, final lines, seconds from the signal to the end, and remaining processes."""
    environment = {**os.environ, "ADVCLUSTER_HOME": str(small.home.root), "PYTHONPATH": str(ROOT)}
    environment.pop("DAGSTER_HOME", None)
    program = [sys.executable, "-c", "from advcluster_dagster.cli.main import main; main()", *SELECTED]
    process = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while process.poll() is None and not is_far_enough():
            time.sleep(0.01)
        assert process.poll() is None, process.stderr.read()
        children = psutil.Process(process.pid).children(recursive=True)
        before = time.monotonic()
        process.send_signal(number)
        _, words = process.communicate(timeout=30)
        left = psutil.wait_procs(children, timeout=5)[1]
        lines = [line for line in words.splitlines() if line.startswith(("Stopped", "error", "failed"))]
        return process.returncode, lines, time.monotonic() - before, left
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_no_step_of_the_run_begins_behind_a_signal(slow):
    """The taxonomy's steps of a family are one run: naming is stopped, and reviews are not requested."""
    small, provider = slow
    ended, _, seconds, left = stop(small, signal.SIGTERM, lambda: provider.stats.requests > N_EXTRACTIONS + 2)
    assert (ended, left) == (143, [])
    assert seconds < 10
    assert provider.stats.requests <= N_EXTRACTIONS + 3 + IN_FLIGHT


def test_a_second_signal_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALL_KEY", "none")
    with SmallProvider(analyst(0), latency_s=60.0) as provider:
        small = given_study(tmp_path / "home", **_judges(provider))
        environment = {**os.environ, "ADVCLUSTER_HOME": str(small.home.root), "PYTHONPATH": str(ROOT)}
        program = [sys.executable, "-c", "from advcluster_dagster.cli.main import main; main()", *SELECTED]
        with subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL, start_new_session=True) as process:
            while process.poll() is None and provider.stats.requests < 1:
                time.sleep(0.01)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)  # two signals at once could arrive as one
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) in (130, 143)

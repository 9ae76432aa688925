"""SIGINT and SIGTERM in every stage that calls models: replies are kept, and the next run finishes the study."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from advcluster_dagster.contracts.registry import TABLES
from tests.providers.small_provider import Answer, SmallProvider, analyst, chat_completion
from tests.studies import (
    GIVEN,
    ROOT,
    SmallHome,
    bring_questions,
    ledger_rows,
    questions_asked,
    reply_to,
    write_study,
)

pytestmark = pytest.mark.integration

IN_FLIGHT = 2
LATENCY_S = 0.4
PROGRAM = [sys.executable, "-c", "from advcluster_dagster.cli.main import main; main()"]
SELECTED = ["run", "given", "--select", ",".join(TABLES)]
STOPPED = "Stopped. Completed work is kept; run again to continue."
#: Models called in each stage. Each stage has more calls than may be in flight at once.
STAGES = {
    "sampling": ("f-large",),
    "votes of the panel": ("vote-a", "vote-b"),
    "extraction": ("extractor",),
    "naming": ("summariser",),
    "reviews": ("reviewer",),
}


@dataclass
class Server:
    """Both models of the family, two panel members and the judges; only the models in ``slow`` are delayed."""

    slow: tuple[str, ...] = ()
    arrived: Counter[str] = field(default_factory=Counter)
    _judge: Any = field(default_factory=lambda: analyst(0))

    def __call__(self, path, body, _n_before):
        self.arrived[body["model"]] += 1
        if body["model"] in self.slow:
            time.sleep(LATENCY_S)  # latency of a model
        if body["model"] in ("f-large", "f-small"):
            reply = reply_to(json.dumps(body["messages"]), is_wrong=body["model"] == "f-small")
            return Answer(chat_completion(body, reply))
        if body["model"].startswith("vote-"):
            return Answer(chat_completion(body, json.dumps({"reason": "as seen", "same": True})))
        stand_in = "wordllama-256" if body["model"] == "embedder" else "analyst"
        # Equal reviews get equal answers, in random order.
        return self._judge(path, {**body, "model": stand_in}, 0)

    @property
    def n_slow(self):
        return sum(self.arrived[model] for model in self.slow)


def _served(name):
    return {"model": name, "provider": "small"}


def _study(root: Path, url: str) -> SmallHome:
    """The study `given` with one domain, whose traces also come from a provider."""
    small = write_study(
        root,
        GIVEN
        | {
            "clustering": {"pca_dims": [4], "max_clusters": 3, "n_dims_kept": 1, "n_reviews": 2},
            "families": {"f": {"larger": _served("f-large"), "smaller": _served("f-small")}},
            "domains": {"sums": ["additions"]},
            "grading": {"panel": [_served("vote-a"), _served("vote-b")], "n_agreement_pairs": 4},
            "judges": {name: _served(name) for name in ("extractor", "embedder", "summariser", "reviewer")},
            "providers": {"small": {"base_url": url, "api_key_env": "SMALL_KEY", "max_in_flight": IN_FLIGHT}},
        },
    )
    bring_questions(small, "sums")
    return small


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Content hashes of an uninterrupted run, and the number of times each request was sent in it."""
    with pytest.MonkeyPatch.context() as patch, SmallProvider(Server()) as provider:
        patch.setenv("SMALL_KEY", "none")
        small = _study(tmp_path_factory.mktemp("undisturbed") / "home", provider.url)
        assert small.run().failures == {}
        return small.hashes(), questions_asked(provider.bodies)


def _stop(small: SmallHome, number: int, is_far_enough):
    """Exit status, printed lines, seconds from the signal to the end, and remaining processes."""
    environment = {**os.environ, "ADVCLUSTER_HOME": str(small.home.root), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    environment.pop("DAGSTER_HOME", None)
    process = subprocess.Popen(
        [*PROGRAM, *SELECTED],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while process.poll() is None and not is_far_enough():
            time.sleep(0.01)
        assert process.poll() is None, process.stderr.read()
        children = psutil.Process(process.pid).children(recursive=True)
        before = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        seconds = time.monotonic() - before
        # With aiohttp installed, DuckDB's binding lists leaked objects at process exit.
        output_lines = out.splitlines() + err.partition("nanobind:")[0].splitlines()
        lines = [line for line in output_lines if not re.search(r": (\d+ steps|\d+ of \d+ model calls)$|steps\)", line)]
        return process.returncode, lines, seconds, psutil.wait_procs(children, timeout=5)[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"])
def test_a_run_stopped_in_every_stage_goes_on_each_time(
    tmp_path, monkeypatch, record_property, undisturbed, number, status
):
    """Five runs of a study, each stopped one stage later, and a sixth that completes."""
    monkeypatch.setenv("SMALL_KEY", "none")
    hashes, asked = undisturbed
    server = Server()
    with SmallProvider(server) as provider:
        small = _study(tmp_path / "home", provider.url)
        for stage, models in STAGES.items():
            server.slow = models
            ended, lines, seconds, left = _stop(small, number, lambda: server.n_slow > IN_FLIGHT)
            record_property(f"{stage}: seconds from the signal to the end", round(seconds, 2))
            assert (stage, ended, lines, left) == (stage, status, [STOPPED], [])
            assert seconds < 10
            # Nothing was sent after the signal, and every answer was recorded.
            assert server.n_slow <= 2 * IN_FLIGHT
            assert {n_replies for _, n_replies, _ in ledger_rows(small.home)} == {1}
        server.slow = ()
        assert small.run().failures == {}
        assert questions_asked(provider.bodies) == asked
        assert {n_replies for _, n_replies, _ in ledger_rows(small.home)} == {1}
    assert small.states() == {"fresh"}
    assert small.hashes() == hashes

"""A small study with the in-process, multiprocess and Ray executors: equal tables, also after losing workers."""

import shutil
import tempfile
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher.base import LaunchRunContext

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.orchestration.definitions import build_defs
from advcluster_dagster.orchestration.partition_definitions import sync_partitions
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from tests.orchestration.test_killed_runs import _judges
from tests.providers.small_provider import Answer, SmallProvider, analyst
from tests.servers import kill_tree, ray_cluster
from tests.studies import SmallHome, given_study, ledger_rows, questions_asked

pytestmark = [pytest.mark.integration, pytest.mark.begins_first]
IN_FLIGHT = 4
FIRST_HALF = (
    "benchmark_questions", "larger_traces", "smaller_traces", "graded_trials", "pass_rate_table",
    "analysis_question_set", "trace_pairs", "advantage_corpus",
)  # fmt: skip


def with_platform(small, text):
    (small.home.root / "platform.yaml").write_text(text, encoding="utf-8")
    return SmallHome(Home(small.home.root), small.name)


def wait_until(is_so, description, timeout_s=400.0):
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"timed out waiting for: {description}"
        time.sleep(0.05)


def test_steps_in_processes_of_their_own_give_equal_tables(given_once, tmp_path):
    small = with_platform(given_study(tmp_path / "home"), "executor: multiprocess\nmax_concurrent_steps: 2\n")
    outcome = small.run()
    assert outcome.failures == {}
    assert 0 < outcome.n_steps <= 2 * len(RECIPES)
    assert outcome.n_asked > 0
    assert small.hashes() == given_once.hashes()
    assert small.run().n_runs == 0


@pytest.fixture
def short_folder():
    """A short temporary folder, because the paths of Ray's sockets are limited to about a hundred characters."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_cluster_that_loses_a_worker_loses_nothing(given_once, tmp_path, short_folder, monkeypatch):
    monkeypatch.setenv("DAGSTER_STEP_DELEGATING_EXECUTOR_SLEEP_SECONDS", "0.2")
    with SmallProvider(analyst(0), latency_s=0.3) as provider:
        settings = _judges(provider)
        small = with_platform(given_study(tmp_path / "home", **settings), "executor: ray\n")
        places = {"ADVCLUSTER_HOME": str(small.home.root), "DAGSTER_HOME": str(small.home.dagster), "SMALL_KEY": "none"}
        with ray_cluster(short_folder, places) as cluster:
            for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "ADVCLUSTER_HOME"):
                monkeypatch.setenv(name, {**cluster.environment, "RAY_ADDRESS": cluster.address}[name])
            a_run_is_launched(small)
            a_step_fails(small, settings)
            a_worker_is_lost(small, cluster)
        asked = questions_asked(provider.bodies)
    assert small.hashes() == given_once.hashes()
    assert {n_replies for _, n_replies, _ in ledger_rows(small.home)} == {1}
    assert sum(asked.values()) - len(asked) <= 2 * IN_FLIGHT  # at most the two steps that may have run on that worker


def a_run_is_launched(small):
    """A run launched by the UI, a schedule or a sensor is itself a job of the cluster."""
    repository = ReconstructableRepository.for_module("advcluster_dagster.code_location", "defs")
    job = build_defs(small.home, [small.study]).resolve_implicit_global_asset_job_def()
    selected = frozenset({asset_key(small.name, "benchmark_questions")})
    with small.instance() as instance:
        sync_partitions(instance, small.study)
        run = instance.create_run_for_job(
            job.get_subset(asset_selection=selected),
            asset_selection=selected,
            tags=job.get_tags_for_partition_key("products", selected),
            job_code_origin=repository.get_reconstructable_job(job.name).get_python_origin(),
        )
        instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
        wait_until(lambda: instance.get_run_by_id(run.run_id).is_finished, "the launched run ends")
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.SUCCESS
    assert small.stamp("benchmark_questions", Partition(domain="products")) is not None


def a_step_fails(small, settings):
    """The reason of a failure is reported back from the cluster, and tables of earlier steps are kept."""
    with SmallProvider(lambda *_: Answer({"error": {"message": "bad key"}}, 401)) as refusing:
        small.change(providers={"small": {**settings["providers"]["small"], "base_url": refusing.url}})
        outcome = small.run(FIRST_HALF, domains=["sums"])
    small.change(providers=settings["providers"])
    ((partition, fault),) = outcome.failures.items()
    assert partition == Partition("f", "sums")
    assert fault.startswith("extracted_advantages: ")
    assert "the key for model analyst was refused; check SMALL_KEY" in fault
    assert small.stamp("trace_pairs", partition) is not None


def a_worker_is_lost(small, cluster):
    """A worker is lost while its step calls a model: another worker takes over the step, and a new one joins."""
    outcomes = []
    run = threading.Thread(target=lambda: outcomes.append(small.run()), daemon=True)
    run.start()
    corpus = f"{small.name}__extracted_advantages"
    wait_until(lambda: len(ledger_rows(small.home)) >= 3 and corpus in cluster.running_steps(), "a step asks a model")
    kill_tree(cluster.running_steps()[corpus])
    cluster.add_worker()
    run.join()
    (outcome,) = outcomes
    assert outcome.failures == {}
    with small.instance() as instance:
        retried = [
            event.dagster_event.step_key
            for dagster_run in instance.get_runs()
            for event in instance.all_logs(dagster_run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
        ]
    assert corpus in retried

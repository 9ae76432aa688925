"""Two engines do not share a GPU: steps that need one wait for the pool's slot."""

import threading
import time

import pytest

from advcluster_dagster.orchestration.instance import mark_dead_runs, open_instance
from advcluster_dagster.orchestration.run_study import run_study
from advcluster_dagster.orchestration.step_resources import GPU_POOL, GpuNeed
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from tests.orchestration.test_instance import _add_run, _ended_process
from tests.studies import given_study

F_SUMS = Partition("f", "sums")


def test_the_pool_follows_the_setting(tmp_path):
    home = Home(tmp_path)
    with open_instance(home) as instance:
        assert [(pool.name, pool.limit) for pool in instance.event_log_storage.get_pool_limits()] == [(GPU_POOL, 1)]
    (tmp_path / "platform.yaml").write_text("gpu_pool_slots: 2", encoding="utf-8")
    with open_instance(Home(tmp_path)) as instance:
        assert instance.event_log_storage.get_concurrency_info(GPU_POOL).slot_count == 2


def test_a_run_that_was_killed_gives_its_slot_back(tmp_path):
    with open_instance(Home(tmp_path)) as instance:
        storage = instance.event_log_storage
        run_id = _add_run(instance, _ended_process())
        assert storage.claim_concurrency_slot(GPU_POOL, run_id, "larger").is_claimed
        assert mark_dead_runs(instance) == 1
        assert storage.get_concurrency_info(GPU_POOL).active_slot_count == 0


@pytest.fixture
def larger_needs_a_gpu(monkeypatch):
    def need(_study, recipe, _families=None):
        return GpuNeed(1) if recipe.name == "larger_traces" else None

    for module in ("orchestration.step_resources", "orchestration.run_launcher"):
        monkeypatch.setattr(f"advcluster_dagster.{module}.gpu_need", need)


def wait_until(is_so, timeout_s=120.0):
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_step_waits_for_the_slot_and_the_others_do_not(tmp_path, larger_needs_a_gpu):
    small = given_study(tmp_path)
    with small.instance() as instance:
        storage = instance.event_log_storage
        other = _add_run(instance, None)
        assert storage.claim_concurrency_slot(GPU_POOL, other, "another engine").is_claimed
        results = []

        def run():
            assets = ("benchmark_questions", "larger_traces", "smaller_traces")
            selection = Selection(domains=["sums"], assets=assets)
            results.append(run_study(small.platform, small.study, instance, selection))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: storage.get_concurrency_info(GPU_POOL).pending_step_count == 1)
            wait_until(lambda: small.stamp("smaller_traces", F_SUMS) is not None)
            assert small.stamp("larger_traces", F_SUMS) is None
        finally:
            storage.free_concurrency_slots_for_run(other)
            thread.join()
        assert (results[0].n_steps, results[0].failures) == (3, {})
        assert small.stamp("larger_traces", F_SUMS) is not None
        info = storage.get_concurrency_info(GPU_POOL)
        assert (info.active_slot_count, info.pending_step_count) == (0, 0)

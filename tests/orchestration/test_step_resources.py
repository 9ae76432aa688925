"""Resources requested by steps: GPUs for steps with an engine, nothing for others."""

import json

import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.orchestration.asset_definitions import build_assets
from advcluster_dagster.orchestration.step_resources import GpuNeed, gpu_need, placement
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.platform import PlatformSettings
from advcluster_dagster.study.study import Study

LARGER, SMALLER = RECIPES["larger_traces"], RECIPES["smaller_traces"]


def vllm(name, **engine):
    return {"model": name, "provider": "vllm", "engine": engine}


@pytest.fixture
def study():
    """Two families with engines of different sizes, one without."""
    families = {
        "big": {
            "larger": vllm("big-l", tensor_parallel_size=4, gpu_memory_gib=40),
            "smaller": vllm("big-s", gpu_memory_gib=80),
        },
        "small": {"larger": vllm("small-l", tensor_parallel_size=2), "smaller": vllm("small-s")},
        "served": {role: {"model": f"served-{role}", "provider": "openai"} for role in ("larger", "smaller")},
    }
    return Study.model_validate({"study": "s", "families": families, "domains": {"math": ["b"]}})


@pytest.mark.parametrize(
    ("families", "larger", "smaller"),
    [
        (None, GpuNeed(4, 40), GpuNeed(1, 80)),
        (["big"], GpuNeed(4, 40), GpuNeed(1, 80)),
        (["small"], GpuNeed(2), GpuNeed(1)),
        (["small", "served"], GpuNeed(2), GpuNeed(1)),
        (["served"], None, None),
    ],
)
def test_a_step_needs_the_most_of_its_families(study, families, larger, smaller):
    assert gpu_need(study, LARGER, families) == larger
    assert gpu_need(study, SMALLER, families) == smaller


def test_only_inference_needs_gpus(study):
    assert [name for name, recipe in RECIPES.items() if gpu_need(study, recipe)] == ["larger_traces", "smaller_traces"]


@pytest.mark.parametrize(
    ("families", "pools"),
    [
        (None, {"larger_traces", "smaller_traces"}),
        (["small"], {"larger_traces", "smaller_traces"}),
        (["served"], set()),
    ],
)
def test_steps_without_an_engine_never_hold_the_pool(study, tmp_path, families, pools):
    assets = build_assets(Home(tmp_path), study, families)
    held = {asset.op.name.removeprefix("s__") for asset in assets if asset.op.pool is not None}
    assert held == pools
    assert {asset.op.pool for asset in assets} <= {"gpu", None}


@pytest.mark.parametrize("executor", ["ray", "kubernetes"])
def test_a_cluster_hands_out_its_own_gpus_and_lost_steps_start_again(study, executor):
    resources = placement(PlatformSettings(executor=executor), study, LARGER)
    assert resources["pool"] is None
    assert resources["retry_policy"].max_retries == 2


def test_on_one_machine_a_step_is_told_no_more_than_its_study(study):
    resources = placement(PlatformSettings(executor="multiprocess"), study, RECIPES["trace_pairs"])
    assert resources == {"op_tags": {"advcluster/study": "s"}, "pool": None, "retry_policy": None}


def test_rays_tags(study):
    settings = PlatformSettings(executor="ray")
    assert placement(settings, study, RECIPES["graded_trials"])["op_tags"]["dagster-ray/config"] == {"num_cpus": 1}
    assert placement(settings, study, LARGER)["op_tags"]["dagster-ray/config"] == {
        "num_cpus": 1,
        "num_gpus": 4,
        "resources": {"gpu_memory_gib:40": 0.001},
    }


def test_kubernetes_tags(study):
    settings = PlatformSettings(executor="kubernetes")
    assert "dagster-k8s/config" not in placement(settings, study, RECIPES["graded_trials"])["op_tags"]
    without_memory = placement(settings, study, LARGER, ["small"])["op_tags"]["dagster-k8s/config"]
    assert without_memory == {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "2"}}}}
    # 40 GiB = 40,960 MiB; "Gt" is a strict comparison of integers.
    assert '"operator": "Gt", "values": ["40959"]' in json.dumps(placement(settings, study, LARGER)["op_tags"])

"""Resources of a step for Dagster, Ray and Kubernetes: GPUs, memory, retries."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

import dagster as dg

from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.orchestration.run_process import STUDY_TAG
from advcluster_dagster.pipeline.recipe import Recipe
from advcluster_dagster.study.platform import PlatformSettings
from advcluster_dagster.study.study import Study

#: Steps that hold an inference engine on this machine's GPUs; see ``gpu_pool_slots``.
GPU_POOL = "gpu"
#: A step that asks models is tried again after unforeseen faults, such as a connection lost for good; on a
#: cluster, which may lose a worker, every step is. What was answered by then is in the ledger. Errors that a user has
#: to fix are not retried.
_RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
_ROLES: dict[str, Role] = {"larger_traces": "larger", "smaller_traces": "smaller"}


@dataclass(frozen=True)
class GpuNeed:
    """Number of GPUs, and the memory each must have, GiB (None: any)."""

    n_gpus: int
    memory_gib: float | None = None


class Placement(TypedDict):
    """Arguments of ``dg.multi_asset`` that state the resources a step needs."""

    op_tags: dict[str, Any]
    pool: str | None
    retry_policy: dg.RetryPolicy | None


def gpu_need(study: Study, recipe: Recipe, families: Iterable[str] | None = None) -> GpuNeed | None:
    """The most that a step needs for these families (all of the study by default); None where no engine runs in it."""
    role = _ROLES.get(recipe.name)
    if role is None:
        return None
    models = [study.families[family].model_of(role) for family in (families or study.families)]
    engines = [model.engine for model in models if model.provider == "vllm"]
    if not engines:
        return None
    memory = [engine.gpu_memory_gib for engine in engines if engine.gpu_memory_gib is not None]
    return GpuNeed(max(engine.tensor_parallel_size for engine in engines), max(memory, default=None))


def placement(
    settings: PlatformSettings, study: Study, recipe: Recipe, families: Iterable[str] | None = None
) -> Placement:
    """Tags, pool and retries of a step.

    A cluster hands out its own GPUs; the pool is for one machine.
    """
    need = gpu_need(study, recipe, families)
    # Every step carries its study's name, so that an executor can count them.
    tags = {STUDY_TAG: study.study, **_ray_tags(settings, need), **_kubernetes_tags(settings, need)}
    return {
        "op_tags": tags,
        "pool": GPU_POOL if need and not settings.has_cluster else None,
        "retry_policy": _RETRIES if settings.has_cluster or recipe.asks_models else None,
    }


def memory_resource(memory_gib: float) -> str:
    """The custom resource that Ray nodes declare whose GPUs have that much memory each."""
    return f"gpu_memory_gib:{memory_gib:g}"


def _ray_tags(settings: PlatformSettings, need: GpuNeed | None) -> dict[str, Any]:
    """One CPU a step: a job that reserves nothing runs on Ray's head node, whatever else runs there."""
    if settings.executor != "ray":
        return {}
    config: dict[str, Any] = {"num_cpus": 1}
    if need is not None:
        config["num_gpus"] = need.n_gpus
        if need.memory_gib is not None:
            # As with Ray's own accelerator types: a mark of the node rather than something used up.
            config["resources"] = {memory_resource(need.memory_gib): 0.001}
    return {"dagster-ray/config": config}


def _kubernetes_tags(settings: PlatformSettings, need: GpuNeed | None) -> dict[str, Any]:
    if settings.executor != "kubernetes" or need is None:
        return {}
    config: dict[str, Any] = {"container_config": {"resources": {"limits": {"nvidia.com/gpu": str(need.n_gpus)}}}}
    if need.memory_gib is not None:
        # The label, in MiB, is set by NVIDIA's GPU feature discovery.
        enough = {
            "key": "nvidia.com/gpu.memory",
            "operator": "Gt",
            "values": [str(math.ceil(need.memory_gib * 1024) - 1)],
        }
        terms = {"nodeSelectorTerms": [{"matchExpressions": [enough]}]}
        config["pod_spec_config"] = {
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
        }
    return {"dagster-k8s/config": config}

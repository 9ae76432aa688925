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

#: Pool of steps that run an inference engine on this machine's GPUs; see ``gpu_pool_slots``.
GPU_POOL = "gpu"
#: Steps that call models are retried after unexpected faults, such as a lost connection; on a cluster, which may lose
#: a worker, all steps are. Replies received before are in the ledger. Errors that a user has to fix are not retried.
_RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
_ROLES: dict[str, Role] = {"larger_traces": "larger", "smaller_traces": "smaller"}


@dataclass(frozen=True)
class GpuNeed:
    """Number of GPUs and minimum memory of each, GiB (None: any)."""

    n_gpus: int
    memory_gib: float | None = None


class Placement(TypedDict):
    """Arguments of ``dg.multi_asset`` that declare a step's resources."""

    op_tags: dict[str, Any]
    pool: str | None
    retry_policy: dg.RetryPolicy | None


def gpu_need(study: Study, recipe: Recipe, families: Iterable[str] | None = None) -> GpuNeed | None:
    """Maximum GPU need of a step over these families (default: all of the study); None if it runs no engine."""
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
    """Tags, pool and retry policy of a step; the pool is for one machine, since clusters assign GPUs themselves."""
    need = gpu_need(study, recipe, families)
    # Every step is tagged with its study, so that an executor can limit concurrency by study.
    tags = {STUDY_TAG: study.study, **_ray_tags(settings, need), **_kubernetes_tags(settings, need)}
    return {
        "op_tags": tags,
        "pool": GPU_POOL if need and not settings.has_cluster else None,
        "retry_policy": _RETRIES if settings.has_cluster or recipe.asks_models else None,
    }


def memory_resource(memory_gib: float) -> str:
    """Name of the custom resource declared by Ray nodes whose GPUs have this memory each."""
    return f"gpu_memory_gib:{memory_gib:g}"


def _ray_tags(settings: PlatformSettings, need: GpuNeed | None) -> dict[str, Any]:
    """Ray tags of a step; requests one CPU, because jobs without resources all run on Ray's head node."""
    if settings.executor != "ray":
        return {}
    config: dict[str, Any] = {"num_cpus": 1}
    if need is not None:
        config["num_gpus"] = need.n_gpus
        if need.memory_gib is not None:
            # As with Ray's accelerator types, a label of the node rather than a consumable.
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

"""Executor and run launcher for the setting ``executor`` of ``platform.yaml``."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import dagster as dg

from advcluster_dagster.extras import install_command
from advcluster_dagster.orchestration.run_process import STUDY_TAG
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.files import SettingsError
from advcluster_dagster.study.platform import Executor

_PACKAGES: Mapping[Executor, str] = {"ray": "dagster_ray", "kubernetes": "dagster_k8s"}


def executor_of(home: Home) -> dg.ExecutorDefinition:
    """The executor configured in a home's settings.

    Raises:
        SettingsError: its package is not installed; one line.
    """
    name, most = home.settings.executor, home.settings.max_concurrent_steps
    _check_installed(name)
    limit = {} if most is None else {"max_concurrent": most}
    if name == "multiprocess":
        # Dagster spawns each process: a fork of one with our libraries loaded would wait for their threads.
        return dg.multiprocess_executor.configured(limit)
    if name == "ray":
        return _ray(home)
    if name == "kubernetes":
        from dagster_k8s import k8s_job_executor

        kubernetes: dg.ExecutorDefinition = k8s_job_executor.configured(limit)
        return kubernetes
    return dg.in_process_executor


def _ray(home: Home) -> dg.ExecutorDefinition:
    from dagster_ray import ray_executor

    # Paths only: secrets are in the environment of Ray's nodes.
    variables = [f"ADVCLUSTER_HOME={home.root}", f"DAGSTER_HOME={home.dagster}"]
    most = home.settings.max_concurrent_steps
    limits = [] if most is None else [{"key": STUDY_TAG, "limit": most}]
    executor: dg.ExecutorDefinition = ray_executor.configured(
        {"ray": {"env_vars": variables}, "tag_concurrency_limits": limits}
    )
    return executor


def launcher_settings(home: Home) -> dict[str, Any]:
    """Settings in ``dagster.yaml`` of the launcher for runs of UI, schedules and sensors; empty for Dagster's default.

    Raises:
        SettingsError: its package is not installed; one line.
    """
    name = home.settings.executor
    _check_installed(name)
    if name == "ray":
        # Runs request no resources and so stay on Ray's head node: they only wait for their steps.
        ray = {"address": {"env": "RAY_ADDRESS"}}
        module = "advcluster_dagster.orchestration.ray_launcher"
        return {"run_launcher": {"module": module, "class": "QuotingRayRunLauncher", "config": {"ray": ray}}}
    return {}


def _check_installed(name: Executor) -> None:
    if name in _PACKAGES and find_spec(_PACKAGES[name]) is None:
        raise SettingsError(f"platform.yaml: executor {name} needs a package: {install_command(name)}")

"""All non-public names of Dagster that this package uses.

``tests/test_dagster_internals.py`` checks each name against the pinned Dagster, so that an upgrade that moves one fails
there first. Other modules of the package do not import private modules of Dagster.
"""

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.code_pointer import CustomPointer, ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import DagsterEvent
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_shared.check import CheckError

__all__ = [
    "DAEMON_MODULE",
    "LOCATION",
    "CheckError",
    "CustomPointer",
    "DagsterEvent",
    "DagsterInvariantViolationError",
    "DefaultRunLauncher",
    "InstanceRef",
    "ModuleCodePointer",
    "PartitionKeyFilter",
    "ReconstructableJob",
    "ReconstructableRepository",
    "StepFailureData",
    "UnresolvedAssetJobDefinition",
    "runs_of_location",
]

#: Name of the code location; Dagster's records of schedules, sensors and runs refer to it.
LOCATION = "advcluster_dagster.code_location"
#: Dagster's name of the repository of a module with one ``Definitions``.
_REPOSITORY = "__repository__"

#: Module of the daemon for ``python -m``; the path of its public executable depends on the installation.
DAEMON_MODULE = "dagster._daemon"


@contextmanager
def runs_of_location(instance: dg.DagsterInstance, job: str) -> Iterator[None]:
    """Assign runs created by this process within the block to a job of the code location.

    Otherwise the UI shows them neither in its timeline nor on the job's page. Dagster's public functions that start a
    run in this process do not accept an origin.
    """
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=LOCATION)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, _REPOSITORY), job)
    created = instance.create_run_for_job
    instance.create_run_for_job = functools.partial(created, remote_job_origin=origin)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del instance.create_run_for_job

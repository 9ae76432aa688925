"""Everything that this program uses of Dagster beyond its public interface, in one place.

``tests/test_dagster_internals.py`` checks each of these names against the pinned Dagster, so that an upgrade that moves
one fails there first. Nothing else in the package imports a private module of Dagster.
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

#: Name of the code location; what Dagster remembers of schedules, sensors and runs refers to it.
LOCATION = "advcluster_dagster.code_location"
#: Name that Dagster gives the repository of a module with one ``Definitions``.
_REPOSITORY = "__repository__"

#: Run as ``python -m`` for the daemon; the public program of it differs between the ways Dagster is installed.
DAEMON_MODULE = "dagster._daemon"


@contextmanager
def runs_of_location(instance: dg.DagsterInstance, job: str) -> Iterator[None]:
    """Within the block, runs that this process creates in the instance belong to a job of the code location.

    Without that the UI shows them neither in its timeline nor on the job's page. Dagster's public ways to start a run
    in this process take no origin.
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

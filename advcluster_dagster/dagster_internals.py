"""Everything that this program uses of Dagster beyond its public interface, in one place.

``tests/test_dagster_internals.py`` checks each of these names against the pinned Dagster, so that an upgrade that moves
one fails there first. Nothing else in the package imports a private module of Dagster.
"""

from dagster._core.code_pointer import CustomPointer, ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import DagsterEvent
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import DefaultRunLauncher
from dagster_shared.check import CheckError

__all__ = [
    "DAEMON_MODULE",
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
]

#: Run as ``python -m`` for the daemon; the public program of it differs between the ways Dagster is installed.
DAEMON_MODULE = "dagster._daemon"

"""Assemble the Dagster definitions of a home's studies: assets, resources, jobs, schedules and sensors."""

from collections.abc import Iterable

import dagster as dg

from advcluster_dagster.dagster_internals import UnresolvedAssetJobDefinition
from advcluster_dagster.orchestration.failures import build_failure_hook
from advcluster_dagster.orchestration.jobs import stage_jobs, whole_job
from advcluster_dagster.orchestration.retention import retention_job, retention_schedule
from advcluster_dagster.orchestration.run_definitions import run_assets, run_definitions
from advcluster_dagster.orchestration.schedules import build_schedules
from advcluster_dagster.orchestration.sensors import build_change_sensor, build_partition_sensor
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import Study


def build_defs(home: Home, studies: Iterable[Study]) -> dg.Definitions:
    """Build the definitions of a home's studies. Asset keys are [study, table]; group names contain the study's."""
    studies = tuple(studies)
    shared = run_definitions(home, ())
    return dg.Definitions(
        assets=[asset for study in studies for asset in run_assets(home, study)],
        jobs=[job for study in studies for job in _jobs(home, study)],
        schedules=[item for study in studies for item in (*build_schedules(study), retention_schedule(study))],
        sensors=[sensor for study in studies for sensor in _sensors(home, study)],
        resources=shared.resources,
        executor=shared.executor,
    )


def _jobs(home: Home, study: Study) -> tuple[dg.JobDefinition | UnresolvedAssetJobDefinition, ...]:
    return (*stage_jobs(study), whole_job(home, study), retention_job(home, study))


def _sensors(home: Home, study: Study) -> tuple[dg.SensorDefinition, ...]:
    return (build_partition_sensor(home, study), build_change_sensor(home, study), build_failure_hook(home, study))

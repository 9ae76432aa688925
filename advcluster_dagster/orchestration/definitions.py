"""All definitions of a study: what its runs need, and the jobs, schedules and sensors that start them.

Assembly only: every definition is built in the module of its kind.
"""

import dagster as dg

from advcluster_dagster.orchestration.failures import build_failure_hook
from advcluster_dagster.orchestration.jobs import stage_jobs, whole_job
from advcluster_dagster.orchestration.retention import retention_job, retention_schedule
from advcluster_dagster.orchestration.run_definitions import run_definitions
from advcluster_dagster.orchestration.schedules import build_schedules
from advcluster_dagster.orchestration.sensors import build_change_sensor, build_partition_sensor
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import Study


def build_defs(home: Home, study: Study, platform: Platform | None = None) -> dg.Definitions:
    """Fresh definitions of one study in one home; see :func:`run_definitions` for the arguments."""
    started_by = dg.Definitions(
        jobs=[*stage_jobs(study), whole_job(home, study), retention_job(home, study)],
        schedules=[*build_schedules(study), retention_schedule(study)],
        sensors=[
            build_partition_sensor(home, study),
            build_change_sensor(home, study),
            build_failure_hook(home, study),
        ],
    )
    return dg.Definitions.merge(run_definitions(home, study, platform), started_by)

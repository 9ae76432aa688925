"""Assembly: the definitions of one study.

Here: ``build_defs`` and nothing else. Not here: any asset, job or resource of its own; what the UI loads
(code_location).
"""

from collections.abc import Collection

import dagster as dg
from dagster_duckdb import DuckDBResource

from advcluster_dagster.orchestration.asset_definitions import build_assets, build_pages
from advcluster_dagster.orchestration.conditions import build_condition_sensors
from advcluster_dagster.orchestration.executors import executor_of
from advcluster_dagster.orchestration.failures import build_failure_hook
from advcluster_dagster.orchestration.freshness import build_freshness_sensor
from advcluster_dagster.orchestration.jobs import stage_jobs, whole_job
from advcluster_dagster.orchestration.lake_io import LakeIOManager
from advcluster_dagster.orchestration.retention import housekeeping_job, housekeeping_schedule
from advcluster_dagster.orchestration.schedules import build_schedules
from advcluster_dagster.orchestration.sensors import build_change_sensor, build_partition_sensor
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.report_io import ReportIOManager
from advcluster_dagster.study.study import Study


def build_defs(
    home: Home, study: Study, platform: Platform | None = None, families: Collection[str] | None = None
) -> dg.Definitions:
    """Fresh definitions of one study in one home.

    Args:
        home: where its data are; its settings choose the executor.
        study: what is analysed.
        platform: how runs are to behave.
        families: see :func:`build_assets`.
    """
    return dg.Definitions(
        assets=[*build_assets(home, study, families), *build_pages(home, study)],
        resources={
            "platform": platform or Platform(home),
            "duckdb": DuckDBResource(database=":memory:"),
            "lake_io": LakeIOManager(home.lake),
            "report_io": ReportIOManager(home.reports),
        },
        jobs=[*stage_jobs(study), whole_job(home, study), housekeeping_job(home, study)],
        schedules=[*build_schedules(study), housekeeping_schedule(study)],
        sensors=[
            build_partition_sensor(home, study),
            build_change_sensor(home, study),
            build_freshness_sensor(home, study),
            build_failure_hook(home, study),
            *build_condition_sensors(study),
        ],
        executor=executor_of(home),
    )

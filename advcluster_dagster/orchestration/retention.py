"""Retention: delete old runs and log files, and vacuum the ledger."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.orchestration.run_process import STUDY_TAG
from advcluster_dagster.orchestration.structured_logs import remove_old_lines
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import Study

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Housekeeping:
    """Numbers of runs deleted, old runs still needed, log files deleted, and bytes freed in the ledger."""

    n_removed: int
    n_needed: int
    n_log_files: int
    n_bytes_freed: int


def prune(platform: Platform, study: Study, instance: dg.DagsterInstance, keep_days: float) -> Housekeeping:
    """Delete old unreferenced runs of a study and old log files, and vacuum the ledger.

    Old means ended more than ``keep_days`` ago. A run is kept while it is the newest materialisation of, or the last
    attempt at, any partition, because status, audit and the UI read it.
    """
    before = (datetime.now(UTC) - timedelta(days=keep_days)).timestamp()
    chosen = dg.RunsFilter(statuses=_ENDED, tags={STUDY_TAG: study.study})
    old = [record.dagster_run.run_id for record in instance.get_run_records(chosen) if (record.end_time or 0) < before]
    needed = runs_in_use(instance, study) if old else set()
    removable = [run_id for run_id in old if run_id not in needed]
    for run_id in removable:
        instance.delete_run(run_id)
    n_log_files = remove_old_lines(platform.home.logs, keep_days)
    return Housekeeping(len(removable), len(old) - len(removable), n_log_files, platform.ledger.pack())


def retention_job(home: Home, study: Study) -> dg.JobDefinition:
    """The job that prunes a study, with ``keep_history_days`` of ``platform.yaml``."""
    name = f"{study.identifier}__housekeeping"

    @dg.op(name=f"{name}__run", required_resource_keys={"platform"})
    def run(context: dg.OpExecutionContext) -> None:
        result = prune(context.resources.platform, study, context.instance, home.settings.keep_history_days)
        context.add_output_metadata(asdict(result))

    @dg.job(
        name=name,
        description=f"Deletes old unreferenced runs of study {study.study} and vacuums the ledger.",
        tags={STUDY_TAG: study.study},
        executor_def=dg.in_process_executor,
    )
    def housekeeping() -> None:
        run()

    return housekeeping


def retention_schedule(study: Study) -> dg.ScheduleDefinition:
    """Schedule of the retention job, Sundays; on by default, since it calls no model and deletes no result."""
    return dg.ScheduleDefinition(
        name=f"{study.identifier}__retention_schedule",
        cron_schedule="30 4 * * 0",
        job_name=f"{study.identifier}__housekeeping",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Deletes old runs from the history and vacuums the ledger.",
    )


def runs_in_use(instance: dg.DagsterInstance, study: Study) -> set[str]:
    """Ids of the runs of the newest materialisation and last attempt of each partition of a study's assets."""
    return {
        run_id for recipe in RECIPES.values() for name in recipe.tables for run_id in _runs_of(instance, study, name)
    }


def _runs_of(instance: dg.DagsterInstance, study: Study, name: str) -> set[str]:
    key, storage = asset_key(study.study, name), instance.event_log_storage
    if name not in TABLES or TABLES[name].level == "study":
        event = instance.get_latest_materialization_event(key)
        return {event.run_id} if event else set()
    newest = storage.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=sorted(newest.values()))
    records = instance.fetch_materializations(chosen, limit=max(len(newest), 1)).records if newest else []
    attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
    return {record.run_id for record in records} | {run_id for run_id, _ in attempts.values()}

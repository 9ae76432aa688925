"""What keeps a home from growing for ever: old runs leave the history, the ledger's file is packed.

Here: which runs may go, and the one call that does it all. Not here: tables, replies and reports, which no housekeeping
removes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from advcluster_dagster.assets.claims import STUDY_TAG
from advcluster_dagster.assets.health import asset_key
from advcluster_dagster.assets.resources import Platform
from advcluster_dagster.assets.stages import RECIPES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.study import Study

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Housekeeping:
    """What was done: runs removed, runs that are old but still needed, bytes the ledger gave back."""

    n_removed: int
    n_needed: int
    n_bytes_freed: int


def keep_house(platform: Platform, study: Study, instance: dg.DagsterInstance, keep_days: float) -> Housekeeping:
    """Remove a study's runs that ended more than ``keep_days`` ago and that nothing refers to, and pack the ledger.

    A run stays, however old, as long as it made the newest materialisation of some partition or was the last attempt at
    one: status, audit and the UI read what they say there.
    """
    before = (datetime.now(UTC) - timedelta(days=keep_days)).timestamp()
    chosen = dg.RunsFilter(statuses=_ENDED, tags={STUDY_TAG: study.study})
    old = [record.dagster_run.run_id for record in instance.get_run_records(chosen) if (record.end_time or 0) < before]
    needed = runs_in_use(instance, study) if old else set()
    removable = [run_id for run_id in old if run_id not in needed]
    for run_id in removable:
        instance.delete_run(run_id)
    return Housekeeping(len(removable), len(old) - len(removable), platform.ledger.pack())


def runs_in_use(instance: dg.DagsterInstance, study: Study) -> set[str]:
    """Runs of the newest materialisations and of the last attempts, of all partitions of all assets of a study."""
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

"""Which partitions are fit to be used: materialised, failed, blocked.

Here: what the instance's history says of partitions, a few queries a table. Not here: staleness (automation), checks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import dagster as dg

from advcluster_dagster.assets.registry import recipe_of
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.declare import sql_checks
from advcluster_dagster.planning.check_facts import last_facts
from advcluster_dagster.study.partition import Partition, partition_from_key

_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
CONTRACT_CHECK = "contract"


class FaultKind(StrEnum):
    """Why a partition must not be used: its run failed, its rows broke their contract, a blocking check failed."""

    RUN = "run failed"
    CONTRACT = "contract broken"
    CHECK = "blocking check failed"


@dataclass(frozen=True)
class Fault:
    """Why a partition must not be used; ``text`` is one line for people."""

    kind: FaultKind
    text: str


@dataclass(frozen=True)
class TableHealth:
    """Of one table: data version of each materialised partition, and why others must not be used."""

    versions: dict[Partition, str]
    faults: dict[Partition, Fault]


def asset_key(study: str, asset: str) -> dg.AssetKey:
    """The key of a study's asset: a study owns its data."""
    return dg.AssetKey([study, asset])


def blocking_checks(table: str) -> list[str]:
    """Names of the checks whose failure makes a table unusable."""
    declared = (*recipe_of(table).checks_of(table), *sql_checks(table))
    return [CONTRACT_CHECK, *(check.name for check in declared if check.is_blocking)]


def table_health(instance: dg.DagsterInstance, study: str, table: str) -> TableHealth:
    """What the history says of a table's partitions."""
    key, level = asset_key(study, table), TABLES[table].level if table in TABLES else "study"
    storage = instance.event_log_storage
    if level == "study":
        return _unpartitioned_health(instance, key)
    tags = storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
    )
    versions = {
        partition_from_key(level, name): values["dagster/data_version"] for name, values in tags.items() if name
    }
    faults = {}
    attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
    statuses = _run_statuses(instance, {run_id for run_id, _ in attempts.values()})
    for name, (run_id, _) in attempts.items():
        if name and statuses.get(run_id) in _FAILED:
            faults[partition_from_key(level, name)] = Fault(FaultKind.RUN, f"{table} failed in run {run_id[:8]}")
    for check, key_of_check in _failed_checks(instance, key, blocking_checks(table)):
        if key_of_check:
            faults[partition_from_key(level, key_of_check)] = (
                Fault(FaultKind.CONTRACT, f"{table} broke its contract when last made")
                if check == CONTRACT_CHECK
                else _check_fault(instance, key, check, key_of_check)
            )
    return TableHealth(versions, faults)


def _check_fault(instance: dg.DagsterInstance, key: dg.AssetKey, check: str, partition_key: str) -> Fault:
    facts = last_facts(instance, dg.AssetCheckKey(key, check), partition_key)
    text = f"blocking check {check} of {key.path[-1]} failed"
    return Fault(FaultKind.CHECK, f"{text} ({facts})" if facts else text)


def _failed_checks(
    instance: dg.DagsterInstance, key: dg.AssetKey, checks: list[str]
) -> Iterable[tuple[str, str | None]]:
    """(check, partition) whose last finished evaluation failed."""
    keys = [dg.AssetCheckKey(key, check) for check in checks]
    for info in instance.event_log_storage.get_asset_check_partition_info(keys):
        if info.latest_execution_status.value == "FAILED":
            yield info.check_key.name, info.partition_key


def _unpartitioned_health(instance: dg.DagsterInstance, key: dg.AssetKey) -> TableHealth:
    event = instance.get_latest_materialization_event(key)
    tags = (event.asset_materialization.tags or {}) if event and event.asset_materialization else {}
    version = tags.get("dagster/data_version")
    return TableHealth({Partition(): version} if version else {}, {})


def _run_statuses(instance: dg.DagsterInstance, run_ids: set[str]) -> dict[str, dg.DagsterRunStatus]:
    if not run_ids:
        return {}
    return {run.run_id: run.status for run in instance.get_runs(dg.RunsFilter(run_ids=sorted(run_ids)))}

"""Data versions and faults of each partition, from the instance's history."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import dagster as dg

from advcluster_dagster.assets.registry import recipe_of
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PartitionLevel
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
    """Why a partition must not be used; ``text`` describes it on one line."""

    kind: FaultKind
    text: str


@dataclass(frozen=True)
class TableHealth:
    """Data version of each materialised partition of a table, and the faults of partitions that must not be used."""

    versions: dict[Partition, str]
    faults: dict[Partition, Fault]


def asset_key(study: str, asset: str) -> dg.AssetKey:
    """Return the key of a study's asset."""
    return dg.AssetKey([study, asset])


def blocking_checks(table: str) -> list[str]:
    """Return the names of the checks whose failure makes a table unusable."""
    declared = (*recipe_of(table).checks_of(table), *sql_checks(table))
    return [CONTRACT_CHECK, *(check.name for check in declared if check.is_blocking)]


def table_health(instance: dg.DagsterInstance, study: str, tables: Iterable[str]) -> dict[str, TableHealth]:
    """Return the state of the partitions of tables or pages of a study, from the instance's history."""
    names = list(tables)
    failed = _failed_checks(instance, study, [name for name in names if _level(name) != "study"])
    return {
        name: _unpartitioned_health(instance, asset_key(study, name))
        if _level(name) == "study"
        else _partitioned_health(instance, study, name, failed.get(name, []))
        for name in names
    }


def _level(name: str) -> PartitionLevel:
    return TABLES[name].level if name in TABLES else "study"


def _partitioned_health(
    instance: dg.DagsterInstance, study: str, table: str, failed: Sequence[tuple[str, str]]
) -> TableHealth:
    key, level, storage = asset_key(study, table), _level(table), instance.event_log_storage
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
    for check, partition_key in failed:
        faults[partition_from_key(level, partition_key)] = (
            Fault(FaultKind.CONTRACT, f"{table} broke its contract in its last run")
            if check == CONTRACT_CHECK
            else _check_fault(instance, key, check, partition_key)
        )
    return TableHealth(versions, faults)


def _check_fault(instance: dg.DagsterInstance, key: dg.AssetKey, check: str, partition_key: str) -> Fault:
    facts = last_facts(instance, dg.AssetCheckKey(key, check), partition_key)
    text = f"blocking check {check} of {key.path[-1]} failed"
    return Fault(FaultKind.CHECK, f"{text} ({facts})" if facts else text)


def _failed_checks(instance: dg.DagsterInstance, study: str, tables: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Return (check, partition key) of blocking checks whose last finished evaluation failed, by table."""
    keys = [dg.AssetCheckKey(asset_key(study, table), name) for table in tables for name in blocking_checks(table)]
    failed: dict[str, list[tuple[str, str]]] = {}
    for info in instance.event_log_storage.get_asset_check_partition_info(keys) if keys else ():
        if info.latest_execution_status.value == "FAILED" and info.partition_key:
            table = info.check_key.asset_key.path[-1]
            failed.setdefault(table, []).append((info.check_key.name, info.partition_key))
    return failed


def _unpartitioned_health(instance: dg.DagsterInstance, key: dg.AssetKey) -> TableHealth:
    event = instance.get_latest_materialization_event(key)
    tags = (event.asset_materialization.tags or {}) if event and event.asset_materialization else {}
    version = tags.get("dagster/data_version")
    return TableHealth({Partition(): version} if version else {}, {})


def _run_statuses(instance: dg.DagsterInstance, run_ids: set[str]) -> dict[str, dg.DagsterRunStatus]:
    if not run_ids:
        return {}
    return {run.run_id: run.status for run in instance.get_runs(dg.RunsFilter(run_ids=sorted(run_ids)))}

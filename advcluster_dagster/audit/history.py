"""The materialisations of a table, read from Dagster's event log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.study.partition import Partition, partition_from_key

_CHUNK = 500


@dataclass(frozen=True)
class Materialisation:
    """One materialisation event of a table partition.

    ``fingerprint`` holds the hashes that the file's stamp also has (code, settings, prompts, upstream), ``made_from``
    the hashed values. Both are empty, and ``file_sha256`` is None, if an earlier version of the program that did not
    record them made the table.
    """

    table: str
    partition: Partition
    run_id: str
    step: str
    time: datetime
    data_version: str
    n_rows: int | None
    file_sha256: str | None
    fingerprint: Mapping[str, Any]
    made_from: Mapping[str, Any]

    @property
    def upstream(self) -> Mapping[str, str]:
        """Content hashes of the inputs, by TABLE@PARTITION."""
        return self.fingerprint.get("upstream") or {}


def latest_materialisations(instance: dg.DagsterInstance, study: str, table: str) -> dict[Partition, Materialisation]:
    """Return the last materialisation of each partition of a table, or of the report."""
    key = dg.AssetKey([study, table])
    if _level(table) == "study":
        return {event.partition: event for event in materialisations(instance, study, table, Partition(), limit=1)}
    ids = list(
        instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        ).values()
    )
    runs = {}
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        records = dg.AssetRecordsFilter(key, storage_ids=chunk)
        runs.update({event.partition: event for event in _read(instance, table, records, len(chunk))})
    return runs


def materialisations(
    instance: dg.DagsterInstance, study: str, table: str, partition: Partition, limit: int
) -> list[Materialisation]:
    """Return the last materialisations of one partition, newest first."""
    records = dg.AssetRecordsFilter(dg.AssetKey([study, table]), [partition.key] if partition.key else None)
    return list(_read(instance, table, records, limit))


def every_materialisation(instance: dg.DagsterInstance, study: str, table: str) -> Iterator[Materialisation]:
    """Yield all materialisations of a table, newest first."""
    before: int | None = None
    while True:
        records = dg.AssetRecordsFilter(dg.AssetKey([study, table]), before_storage_id=before)
        result = instance.fetch_materializations(records, limit=_CHUNK)
        yield from (_materialisation(table, record) for record in result.records)
        if len(result.records) < _CHUNK:
            return
        before = result.records[-1].storage_id


def _read(
    instance: dg.DagsterInstance, table: str, records: dg.AssetRecordsFilter, limit: int
) -> Iterator[Materialisation]:
    for record in instance.fetch_materializations(records, limit=limit).records:
        yield _materialisation(table, record)


def _materialisation(table: str, record: dg.EventLogRecord) -> Materialisation:
    event = record.asset_materialization
    assert event is not None
    values: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
    return Materialisation(
        table,
        partition_from_key(_level(table), event.partition),
        record.event_log_entry.run_id,
        record.event_log_entry.step_key or "",
        datetime.fromtimestamp(record.event_log_entry.timestamp, UTC),
        (event.tags or {}).get("dagster/data_version", ""),
        values.get("dagster/row_count"),
        values.get("file_sha256"),
        values.get("fingerprint") or {},
        values.get("made_from") or {},
    )


def _level(table: str) -> PartitionLevel:
    return TABLES[table].level if table in TABLES else "study"

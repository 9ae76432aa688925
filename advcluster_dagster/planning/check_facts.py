"""The facts of a check's last evaluation, as one line."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from advcluster_dagster.dagster_internals import PartitionKeyFilter


def words_of(metadata: Mapping[str, dg.MetadataValue[Any]]) -> str:
    """Return the facts of a check as text, ``measured`` first; floats have three significant digits."""
    names = sorted(metadata, key=lambda name: name != "measured")
    values = [(name, metadata[name].value) for name in names]
    return ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in values)


def last_facts(instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition_key: str | None) -> str:
    """Return the facts of a check's last evaluation on a partition as text; empty without evaluation or facts."""
    partition = PartitionKeyFilter(key=partition_key)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, partition_filter=partition)
    for record in records:
        event = record.event.dagster_event if record.event is not None else None
        if event is not None and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            return words_of(event.asset_check_evaluation_data.metadata)
    return ""

"""Dagster partitions of a study: definitions, mappings between levels, synchronisation with the study file.

``study/partition.py`` defines partitions independently of Dagster.
"""

from collections.abc import Mapping

import dagster as dg

from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study


def partition_key(partition: Partition) -> str | None:
    """Dagster's key of a partition; None for the study-level partition."""
    if partition.family is not None and partition.domain is not None:
        return dg.MultiPartitionKey({"family": partition.family, "domain": partition.domain})
    return partition.key


def partitions_definition(study_name: str, level: PartitionLevel) -> dg.PartitionsDefinition[str] | None:
    """The partitions definition of a level; None for the study level, which is unpartitioned."""
    families = dg.DynamicPartitionsDefinition(name=f"{study_name}_family")
    domains = dg.DynamicPartitionsDefinition(name=f"{study_name}_domain")
    by_level: Mapping[PartitionLevel, dg.PartitionsDefinition[str] | None] = {
        "study": None,
        "family": families,
        "domain": domains,
        "family_domain": dg.MultiPartitionsDefinition({"family": families, "domain": domains}),
    }
    return by_level[level]


def partition_mapping(upstream: PartitionLevel, downstream: PartitionLevel) -> dg.PartitionMapping | None:
    """Mapping from downstream to upstream partitions; None if the levels are equal or upstream is unpartitioned."""
    if upstream == downstream or upstream == "study":
        return None
    if downstream == "study" or {upstream, downstream} == {"domain", "family"}:
        return dg.AllPartitionMapping()
    return dg.MultiToSingleDimensionPartitionMapping()


def sync_partitions(instance: dg.DagsterInstance, study: Study) -> None:
    """Synchronise the instance's partition keys with the study; data of removed keys are kept."""
    for name, expected in ((f"{study.study}_family", study.families), (f"{study.study}_domain", study.domains)):
        present = set(instance.get_dynamic_partitions(name))
        if added := [key for key in expected if key not in present]:
            instance.add_dynamic_partitions(name, added)
        for key in present - set(expected):
            instance.delete_dynamic_partition(name, key)

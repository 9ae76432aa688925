"""Dagster partitions of a study: definitions, mappings between levels, and keys kept in step with the study file.

Put here what Dagster must know about partitions. ``study/partition.py`` holds what a partition is.
"""

from collections.abc import Mapping

import dagster as dg

from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study


def partition_key(partition: Partition) -> str | None:
    """Dagster's key of a partition; None for the partition of the whole study."""
    if partition.family is not None and partition.domain is not None:
        return dg.MultiPartitionKey({"family": partition.family, "domain": partition.domain})
    return partition.key


def partitions_definition(study_name: str, level: PartitionLevel) -> dg.PartitionsDefinition[str] | None:
    """The partitions definition of a level; None for the unpartitioned one."""
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
    """How a partition of one level depends on those of another; None where keys are equal or there are none."""
    if upstream == downstream or upstream == "study":
        return None
    if downstream == "study" or {upstream, downstream} == {"domain", "family"}:
        return dg.AllPartitionMapping()
    return dg.MultiToSingleDimensionPartitionMapping()


def sync_partitions(instance: dg.DagsterInstance, study: Study) -> None:
    """Make the instance's partition keys those of the study; keys that left the study are removed, their data stay."""
    for name, expected in ((f"{study.study}_family", study.families), (f"{study.study}_domain", study.domains)):
        present = set(instance.get_dynamic_partitions(name))
        if added := [key for key in expected if key not in present]:
            instance.add_dynamic_partitions(name, added)
        for key in present - set(expected):
            instance.delete_dynamic_partition(name, key)

"""Family x domain: the partitions of every study, kept in step with its file.

Here: partition definitions, their keys, their synchronisation. Not here: paths of partitions (storage), assets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.study.study import Study


@dataclass(frozen=True, order=True)
class Partition:
    """One partition of a table; None where its level has no such dimension."""

    family: str | None = None
    domain: str | None = None

    @property
    def columns(self) -> dict[str, str]:
        """The partition columns that rows of this partition carry."""
        named = {"family": self.family, "domain": self.domain}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def key(self) -> str | None:
        """Dagster's partition key; None for the only partition of an unpartitioned asset."""
        if self.family is not None and self.domain is not None:
            return dg.MultiPartitionKey({"family": self.family, "domain": self.domain})
        return self.family if self.family is not None else self.domain

    @property
    def label(self) -> str:
        """For people: ``family/domain``, one of the two, or ``all``."""
        return "/".join(self.columns.values()) or "all"

    def overlaps(self, other: "Partition") -> bool:
        """Whether two partitions, of whatever levels, agree in every dimension that both have."""
        pairs = ((self.family, other.family), (self.domain, other.domain))
        return all(mine is None or theirs is None or mine == theirs for mine, theirs in pairs)

    def at(self, level: PartitionLevel) -> "Partition":
        """The partition of a coarser level that this one belongs to."""
        return Partition(
            family=self.family if level in ("family", "family_domain") else None,
            domain=self.domain if level in ("domain", "family_domain") else None,
        )


def partition_from_key(level: PartitionLevel, key: str | None) -> Partition:
    """The inverse of :attr:`Partition.key`; the multi-dimensional key is Dagster's ``DOMAIN|FAMILY``."""
    if level == "study" or key is None:
        return Partition()
    if level == "family_domain":
        domain, family = str(key).split("|")
        return Partition(family, domain)
    return Partition(family=str(key)) if level == "family" else Partition(domain=str(key))


def all_partitions(study: Study, level: PartitionLevel) -> list[Partition]:
    """Every partition of a level that the study asks for, in the order of its file."""
    families: Iterable[str | None] = study.families if level in ("family", "family_domain") else [None]
    domains: Iterable[str | None] = study.domains if level in ("domain", "family_domain") else [None]
    domains = list(domains)
    return [Partition(family, domain) for family in families for domain in domains]


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
    for name, wanted in ((f"{study.study}_family", study.families), (f"{study.study}_domain", study.domains)):
        present = set(instance.get_dynamic_partitions(name))
        if added := [key for key in wanted if key not in present]:
            instance.add_dynamic_partitions(name, added)
        for key in present - set(wanted):
            instance.delete_dynamic_partition(name, key)

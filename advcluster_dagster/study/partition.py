"""Partitions of a study: family x domain, family, domain, or the whole study."""

from collections.abc import Iterable
from dataclasses import dataclass

from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.study.study import Study


@dataclass(frozen=True, order=True)
class Partition:
    """One partition of a table; a dimension that its level lacks is None."""

    family: str | None = None
    domain: str | None = None

    @property
    def columns(self) -> dict[str, str]:
        """Partition columns of its rows, by name."""
        dimensions = {"family": self.family, "domain": self.domain}
        return {name: value for name, value in dimensions.items() if value is not None}

    @property
    def key(self) -> str | None:
        """Dagster's partition key: ``DOMAIN|FAMILY``, one of the two, or None for the partition of the whole study."""
        if self.family is not None and self.domain is not None:
            return f"{self.domain}|{self.family}"
        return self.family if self.family is not None else self.domain

    @property
    def label(self) -> str:
        """Readable name: ``family/domain``, one of the two, or ``all``."""
        return "/".join(self.columns.values()) or "all"

    def overlaps(self, other: "Partition") -> bool:
        """Return whether two partitions of any levels agree in every dimension that both have."""
        pairs = ((self.family, other.family), (self.domain, other.domain))
        return all(a is None or b is None or a == b for a, b in pairs)

    def at(self, level: PartitionLevel) -> "Partition":
        """Return the partition of a coarser level that contains this one."""
        return Partition(
            family=self.family if level in ("family", "family_domain") else None,
            domain=self.domain if level in ("domain", "family_domain") else None,
        )


def partition_from_key(level: PartitionLevel, key: str | None) -> Partition:
    """Inverse of :attr:`Partition.key`."""
    if level == "study" or key is None:
        return Partition()
    if level == "family_domain":
        domain, family = str(key).split("|")
        return Partition(family, domain)
    return Partition(family=str(key)) if level == "family" else Partition(domain=str(key))


def all_partitions(study: Study, level: PartitionLevel) -> list[Partition]:
    """Return every partition of a level that the study declares, in the order of its file."""
    families: Iterable[str | None] = study.families if level in ("family", "family_domain") else [None]
    domains: Iterable[str | None] = study.domains if level in ("domain", "family_domain") else [None]
    domains = list(domains)
    return [Partition(family, domain) for family in families for domain in domains]

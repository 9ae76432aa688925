"""Partitions of a study: family x domain, family, domain, or the whole study."""

from collections.abc import Iterable
from dataclasses import dataclass

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
        """Key as Dagster spells it: ``DOMAIN|FAMILY``, one of the two, or None for the partition of the whole study."""
        if self.family is not None and self.domain is not None:
            return f"{self.domain}|{self.family}"
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
    """Inverse of :attr:`Partition.key`."""
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

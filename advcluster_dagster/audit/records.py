"""Records of an audit: broken links, counts per table, nodes of a provenance tree, names of partitions."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.study.partition import Partition

Place = tuple[str, Partition]


class AuditError(AdvClusterError, ValueError):
    """The requested audit is not possible; one line that says why."""


@dataclass(frozen=True)
class Break:
    """A broken link of the chain; ``row`` is the key of the row concerned, None for a whole file."""

    table: str
    partition: Partition
    fault: str
    row: Mapping[str, Any] | None = None

    @property
    def line(self) -> str:
        """Description on one line, location first."""
        keys = "".join(f", {name} {value}" for name, value in (self.row or {}).items())
        return f"{self.table} of {self.partition.label}{keys}: {self.fault}"

    def as_dict(self) -> dict[str, Any]:
        """Return the break as plain values for JSON."""
        row = dict(self.row) if self.row else None
        return {"table": self.table, "partition": self.partition.label, "row": row, "fault": self.fault}


@dataclass
class TableCount:
    """Counts of what was verified of a table: files and rows read, hashes computed, references and calls matched."""

    table: str
    n_files: int = 0
    n_rows: int = 0
    n_hashes: int = 0
    n_references: int = 0
    n_calls: int = 0
    n_breaks: int = 0


@dataclass(frozen=True)
class Text:
    """A text of a model or a benchmark, possibly truncated, with length and sha256 of the whole."""

    shown: str
    n_characters: int
    sha256: str

    @classmethod
    def of(cls, text: str, limit: int | None = None) -> "Text":
        """Build from a text, truncated to ``limit`` characters."""
        return cls(text if limit is None else text[:limit], len(text), hashlib.sha256(text.encode()).hexdigest())

    @property
    def is_cut(self) -> bool:
        """Whether the shown text is truncated."""
        return len(self.shown) < self.n_characters


@dataclass(frozen=True)
class Node:
    """A node of a provenance tree: kind, name, facts, and the nodes it comes from.

    ``n_left_out`` counts the children omitted from a shortened tree.
    """

    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    children: Sequence["Node"] = ()
    n_left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the tree as plain values for JSON, texts with their hash."""
        facts = {name: vars(value) if isinstance(value, Text) else value for name, value in self.facts.items()}
        children = [child.as_dict() for child in self.children]
        return {"kind": self.kind, "name": self.name, "facts": facts, "comes_from": children}


def partition_named(level: PartitionLevel, label: str) -> Partition:
    """Parse the label of a partition at a level."""
    first, _, second = label.partition("/")
    if level == "family_domain":
        return Partition(first, second)
    if level == "study":
        return Partition()
    return Partition(family=first) if level == "family" else Partition(domain=first)

"""Differences between two materialisations of one table partition, from the event log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dagster as dg

from advcluster_dagster.assets.registry import recipe_of
from advcluster_dagster.audit.history import Materialisation, materialisations
from advcluster_dagster.audit.records import AuditError, partition_named
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.study.partition import Partition, all_partitions
from advcluster_dagster.study.study import Study

_REPORT = "study_report"
_SHOWN = 60
_SETTINGS = ("settings", "sources", "bounds")
_PLACES = {"sources": "source", "bounds": "checks"}


@dataclass(frozen=True)
class Change:
    """A materialisation and its predecessor, None for the first; ``reasons`` describe which inputs changed between."""

    made: Materialisation
    before: Materialisation | None
    reasons: tuple[str, ...] = ()

    @property
    def has_other_rows(self) -> bool:
        """Whether the content changed."""
        return self.before is None or self.before.data_version != self.made.data_version

    def as_dict(self) -> dict[str, Any]:
        """Return the change as plain values for JSON."""
        return {
            "run_id": self.made.run_id,
            "made_at": self.made.time.isoformat(),
            "content_hash": self.made.data_version,
            "before_run_id": self.before.run_id if self.before else None,
            "has_other_rows": self.has_other_rows,
            "reasons": list(self.reasons),
        }


def asset_changes(instance: dg.DagsterInstance, study: Study, given: str, most: int) -> list[Change]:
    """Return the last changes of ASSET or ASSET@PARTITION, newest first.

    Args:
        instance: the Dagster instance whose event log is read.
        study: the study.
        given: name of a table, or of the report; the partition may be omitted if the study has only one.
        most: maximum number of materialisations.

    Raises:
        AuditError: the asset or partition does not exist, or was never materialised.
    """
    table, _, label = given.partition("@")
    if table not in TABLES and table != _REPORT:
        raise AuditError(f"--diff {given}: no asset {table}; known: {', '.join((*TABLES, _REPORT))}")
    partition = _partition(study, given, table, label)
    history = materialisations(instance, study.study, table, partition, most + 1)
    if not history:
        raise AuditError(f"--diff {given}: {table} of {partition.label} was never materialised")
    changes = [Change(new, old, tuple(differences(old, new))) for new, old in pairwise(history)]
    return [*changes, Change(history[-1], None)][:most]


def _partition(study: Study, given: str, table: str, label: str) -> Partition:
    level = TABLES[table].level if table in TABLES else "study"
    known = all_partitions(study, level)
    if not label and len(known) == 1:
        return known[0]
    partition = partition_named(level, label)
    if partition not in known:
        labels = ", ".join(f"{table}@{other.label}" for other in known)
        raise AuditError(f"--diff {given}: allowed: {labels}")
    return partition


def differences(old: Materialisation, new: Materialisation) -> Iterator[str]:
    """Yield one line per difference in what two materialisations were made from; at least one line."""
    if not old.fingerprint or not new.fingerprint:
        yield "inputs unknown: an older version of this program made it and did not record them in the event log"
        return
    changed = [name for name in ("code", "settings", "prompts") if old.fingerprint[name] != new.fingerprint[name]]
    comparable = changed
    if _names_function(old) and not _names_function(new) and new.made_from:
        yield "code changed: an earlier version of this program made the older one"
        comparable = [name for name in changed if name == "prompts"]
    for name in comparable:
        yield f"{name} changed{_details(name, old.made_from, new.made_from)}"
    for name in dict.fromkeys([*old.upstream, *new.upstream]):
        before, after = old.upstream.get(name), new.upstream.get(name)
        if before != after:
            yield f"{name} changed ({_hash(before)} to {_hash(after)})"
    if not changed and dict(old.upstream) == dict(new.upstream):
        yield "no input changed: it was not stale, but was run again"


def _names_function(materialisation: Materialisation) -> bool:
    """Return whether the code parts include the step's own name.

    Earlier versions of the program hashed the step's function, and its settings differently.
    """
    return recipe_of(materialisation.table).name in materialisation.made_from.get("code", {})


def _details(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """List the settings, code parts or prompts that differ; empty if the event log does not record them."""
    if not old or not new:
        return ""
    if name == "settings":
        leaves = [line for key in _SETTINGS for line in _leaves(old.get(key), new.get(key), _PLACES.get(key, ""))]
        return f": {'; '.join(leaves)}"
    parts = [part for part in dict.fromkeys([*old[name], *new[name]]) if old[name].get(part) != new[name].get(part)]
    return f": {', '.join(parts)}"


def _leaves(old: Any, new: Any, place: str) -> Iterator[str]:
    """Yield the paths at which nested values differ, with both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _leaves(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (old_item, new_item) in enumerate(zip(old, new, strict=True)):
            yield from _leaves(old_item, new_item, f"{place}[{number}]")
    elif old != new:
        yield f"{place}: {_short(old)} to {_short(new)}"


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _hash(content: str | None) -> str:
    return content[:12] if content else "none"

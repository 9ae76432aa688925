"""Checks that failed without blocking: what people should know before they trust a result.

Here: the warnings of a study's present tables, from the instance's history, as lines. Not here: blocking checks, which
make a partition unfit (health.py), where the lines are shown (command line, report).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.pipeline.checks import Check
from advcluster_dagster.pipeline.declare import sql_checks
from advcluster_dagster.planning.check_facts import last_facts
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.study.partition import Partition, all_partitions, partition_from_key
from advcluster_dagster.study.study import Study


@dataclass(frozen=True)
class FailedWarning:
    """A check that failed on some partitions of a table; ``facts`` are those of the first of them."""

    table: str
    check: str
    description: str
    partitions: tuple[Partition, ...]
    facts: str

    @property
    def text(self) -> str:
        """One line for people."""
        more = f" and {len(self.partitions) - 1} more" if len(self.partitions) > 1 else ""
        facts = f" ({self.facts})" if self.facts else ""
        return f"{self.table} of {self.partitions[0].label}{more}: {self.check}{facts}. Expected: {self.description}"


def failed_warnings(instance: dg.DagsterInstance, study: Study) -> list[FailedWarning]:
    """Every non-blocking check whose last evaluation failed, in the order of the data flow; partitions that the study
    no longer has are left out.
    """
    found = []
    for recipe in RECIPES.values():
        for table in recipe.tables:
            checks = {c.name: c for c in (*recipe.checks_of(table), *sql_checks(table)) if not c.is_blocking}
            for name, keys in _failed_partitions(instance, study.study, table, checks).items():
                partitions = {partition_from_key(recipe.level, key): key for key in keys}
                kept = [partition for partition in all_partitions(study, recipe.level) if partition in partitions]
                if kept:
                    key = dg.AssetCheckKey(asset_key(study.study, table), name)
                    facts = last_facts(instance, key, partitions[kept[0]])
                    found.append(FailedWarning(table, name, checks[name].description, tuple(kept), facts))
    return found


def _failed_partitions(
    instance: dg.DagsterInstance, study: str, table: str, checks: Mapping[str, Check]
) -> dict[str, list[str | None]]:
    """Partition keys on which each check's last evaluation failed; no check is named that failed nowhere."""
    keys = [dg.AssetCheckKey(asset_key(study, table), name) for name in checks]
    failed: dict[str, list[str | None]] = {}
    for info in instance.event_log_storage.get_asset_check_partition_info(keys):
        if info.latest_execution_status.value == "FAILED":
            failed.setdefault(info.check_key.name, []).append(info.partition_key)
    return failed

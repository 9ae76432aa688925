"""Failed non-blocking checks of a study, for the command line and the report."""

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from advcluster_dagster.assets.registry import recipes_of
from advcluster_dagster.pipeline.declare import sql_checks
from advcluster_dagster.planning.check_facts import last_facts
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.study.partition import Partition, all_partitions, partition_from_key
from advcluster_dagster.study.study import Study


@dataclass(frozen=True)
class FailedWarning:
    """A check that failed on some partitions of a table; ``facts`` are those of the first partition."""

    table: str
    check: str
    description: str
    partitions: tuple[Partition, ...]
    facts: str

    @property
    def text(self) -> str:
        """Description on one line."""
        more = f" and {len(self.partitions) - 1} more" if len(self.partitions) > 1 else ""
        facts = f" ({self.facts})" if self.facts else ""
        return f"{self.table} of {self.partitions[0].label}{more}: {self.check}{facts}. Expected: {self.description}"


def failed_warnings(instance: dg.DagsterInstance, study: Study) -> list[FailedWarning]:
    """Return the non-blocking checks whose last evaluation failed, in data-flow order.

    Partitions that the study no longer has are excluded.
    """
    checks = {
        (table, check.name): (recipe.level, check)
        for recipe in recipes_of(study)
        for table in recipe.tables
        for check in (*recipe.checks_of(table), *sql_checks(table))
        if not check.is_blocking
    }
    failed = _failed_partitions(instance, study.study, checks)
    warnings = []
    for (table, name), (level, check) in checks.items():
        keys = {partition_from_key(level, key): key for key in failed.get((table, name), ())}
        partitions = [partition for partition in all_partitions(study, level) if partition in keys]
        if partitions:
            facts = last_facts(instance, _check_key(study.study, table, name), keys[partitions[0]])
            warnings.append(FailedWarning(table, name, check.description, tuple(partitions), facts))
    return warnings


def _check_key(study: str, table: str, check: str) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(asset_key(study, table), check)


def _failed_partitions(
    instance: dg.DagsterInstance, study: str, checks: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], list[str | None]]:
    """Return the partition keys on which the last evaluation failed, by (table, check)."""
    keys = [_check_key(study, table, name) for table, name in checks]
    failed: dict[tuple[str, str], list[str | None]] = {}
    for info in instance.event_log_storage.get_asset_check_partition_info(keys):
        if info.latest_execution_status.value == "FAILED":
            name = info.check_key.asset_key.path[-1], info.check_key.name
            failed.setdefault(name, []).append(info.partition_key)
    return failed

"""What is fresh, stale, missing or unfit, per step and partition, and why.

Here: comparing fingerprints kept with the data to those of now, and following staleness downstream. Not here: running.
"""

from dataclasses import dataclass
from typing import Literal

import dagster as dg

from advcluster_dagster.assets.health import TableHealth, table_health
from advcluster_dagster.assets.recipe import Recipe
from advcluster_dagster.assets.resources import Platform
from advcluster_dagster.assets.stages import RECIPES, recipe_of
from advcluster_dagster.assets.upstream import expected_stamp, has_sources, upstream_partitions
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.partitions import Partition, all_partitions
from advcluster_dagster.storage.report_io import read_report_stamp
from advcluster_dagster.storage.table_files import Stamp, read_stamp, table_path
from advcluster_dagster.study import Study

State = Literal["fresh", "stale", "missing", "failed", "blocked", "no sources"]
StepKey = tuple[str, Partition]


@dataclass(frozen=True)
class StepStatus:
    """One step on one partition; ``reasons`` say why it is not fresh."""

    step: str
    partition: Partition
    state: State
    reasons: tuple[str, ...] = ()
    n_failures: int = 0

    @property
    def must_run(self) -> bool:
        """Whether a run of the study would run it."""
        return self.state in ("stale", "missing", "failed")


class _Reader:
    """Reads each stamp and each table's history once."""

    def __init__(self, platform: Platform, study: Study, instance: dg.DagsterInstance) -> None:
        self.platform, self.study, self._instance = platform, study, instance
        self._stamps: dict[tuple[str, Partition], Stamp | None] = {}
        self._health: dict[str, TableHealth] = {}
        self._has_sources: dict[Partition, bool] = {}

    def stamp(self, table: str, partition: Partition) -> Stamp | None:
        if (table, partition) not in self._stamps:
            home = self.platform.home
            self._stamps[table, partition] = (
                read_stamp(table_path(home.lake, self.study.study, table, partition))
                if table in TABLES
                else read_report_stamp(home.reports, self.study.study, table)
            )
        return self._stamps[table, partition]

    def has_sources(self, partition: Partition) -> bool:
        if partition not in self._has_sources:
            self._has_sources[partition] = has_sources(self.platform.home, self.study, partition)
        return self._has_sources[partition]

    def health(self, table: str) -> TableHealth:
        if table not in self._health:
            self._health[table] = table_health(self._instance, self.study.study, table)
        return self._health[table]


def study_status(
    platform: Platform, study: Study, instance: dg.DagsterInstance, retry_failed: bool = False
) -> dict[StepKey, StepStatus]:
    """Status of every step and partition of a study, in the order of the data flow.

    With ``retry_failed``, a step that holds named failures of model calls counts as stale.
    """
    reader, found = _Reader(platform, study, instance), dict[StepKey, StepStatus]()
    for recipe in RECIPES.values():
        for partition in all_partitions(study, recipe.level):
            found[recipe.name, partition] = _status(reader, recipe, partition, found, retry_failed)
    return found


def _status(
    reader: _Reader, recipe: Recipe, partition: Partition, found: dict[StepKey, StepStatus], retry_failed: bool
) -> StepStatus:
    step = reader.platform.open_step(reader.study.study, recipe, partition, study=reader.study)
    if not reader.has_sources(partition):
        return StepStatus(recipe.name, partition, "no sources")
    stamps = [reader.stamp(table, partition) for table in recipe.tables]
    faults = [fault for table in recipe.tables if (fault := reader.health(table).faults.get(partition))]
    present = [stamp for stamp in stamps if stamp is not None]
    n_failures = max((int(stamp.notes.get("n_failures") or 0) for stamp in present), default=0)
    waiting = _upstream_to_run(reader.study, recipe, partition, found)
    if len(present) < len(stamps):
        # A step after a failed one was never tried, whatever its run came to.
        is_failed = bool(faults) and not waiting
        reasons = faults if is_failed else waiting[:1]
        return StepStatus(recipe.name, partition, "failed" if is_failed else "missing", tuple(reasons))
    reasons = [*_differences(present[0], expected_stamp(step, reader.stamp)), *waiting]
    for table, stamp in zip(recipe.tables, present, strict=True):
        if reader.health(table).versions.get(partition) != stamp.content_hash:
            reasons.append(f"{table} is not recorded as materialised")
    if retry_failed and n_failures:
        reasons.append(f"{n_failures} failed model calls to ask again")
    if reasons:
        return StepStatus(recipe.name, partition, "stale", tuple(reasons), n_failures)
    if faults:
        state: State = "blocked" if any("blocking check" in fault for fault in faults) else "failed"
        return StepStatus(recipe.name, partition, state, tuple(faults), n_failures)
    return StepStatus(recipe.name, partition, "fresh", (), n_failures)


def _differences(kept: Stamp, expected: Stamp) -> list[str]:
    """What of a stamp would be different now, in words."""
    reasons = [
        f"{what} changed"
        for what, before, now in (
            ("code", kept.code, expected.code),
            ("settings", kept.settings, expected.settings),
            ("prompt", kept.prompts, expected.prompts),
        )
        if before != now
    ]
    names = dict.fromkeys([*kept.upstream, *expected.upstream])
    changed = [name for name in names if kept.upstream.get(name) != expected.upstream.get(name)]
    return reasons + [f"{name} changed" for name in changed]


def _upstream_to_run(study: Study, recipe: Recipe, partition: Partition, found: dict[StepKey, StepStatus]) -> list[str]:
    """Which upstream steps are not fresh, so that this one would follow them; one line, or none."""
    pairs = {
        (recipe_of(table).name, candidate)
        for table in recipe.upstream
        for candidate in upstream_partitions(study, partition, TABLES[table].level)
    }
    waiting = sorted(key for key in pairs if key in found and found[key].must_run)
    if not waiting:
        return []
    name, candidate = waiting[0]
    more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    return [f"follows {name} of {candidate.label}{more}"]

"""Running a study: what is stale, level by level, each partition as one Dagster run in this process.

Here: the order of runs and their outcome. Not here: what is stale (status), the steps themselves (assets).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import dagster as dg

from advcluster_dagster.assets.claims import PROCESS_TAG, STUDY_TAG, process_tag
from advcluster_dagster.assets.health import asset_key
from advcluster_dagster.assets.resources import Platform
from advcluster_dagster.assets.stages import RECIPES, recipe_of
from advcluster_dagster.assets.upstream import has_sources
from advcluster_dagster.automation.failures import failure_line
from advcluster_dagster.automation.freezing import freeze_first_taxonomies
from advcluster_dagster.automation.status import StepStatus, study_status
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.definitions import build_defs
from advcluster_dagster.partitions import Partition, sync_partitions
from advcluster_dagster.study import Study

LEVELS: tuple[PartitionLevel, ...] = ("domain", "family_domain", "family", "study")


class SelectionError(ValueError):
    """A family, domain or asset was asked for that the study does not have; one line."""


@dataclass(frozen=True)
class Selection:
    """What of a study is to run; empty means all.

    ``is_forced`` runs it even where it is fresh. With ``keeps_taxonomies``, a taxonomy that exists is left as it is
    though its inputs changed; one that is missing is made.
    """

    families: Sequence[str] = ()
    domains: Sequence[str] = ()
    assets: Sequence[str] = ()
    is_forced: bool = False
    keeps_taxonomies: bool = False

    def check(self, study: Study) -> None:
        """Hold the names against the study.

        Raises:
            SelectionError: one of them does not exist; the message lists those that do.
        """
        assets = [table for recipe in RECIPES.values() for table in recipe.tables]
        for what, wanted, known in (
            ("family", self.families, list(study.families)),
            ("domain", self.domains, list(study.domains)),
            ("asset", self.assets, assets),
        ):
            for name in wanted:
                if name not in known:
                    raise SelectionError(f"{what} {name!r} is not in study {study.study}; known: {', '.join(known)}")

    def covers(self, status: StepStatus) -> bool:
        """Whether a step on a partition is asked for."""
        if self.keeps_taxonomies and status.state == "stale" and status.step in _steps_of_taxonomies():
            return False
        tables = RECIPES[status.step].tables
        is_wanted = not self.assets or any(table in self.assets for table in tables)
        return is_wanted and self.covers_partition(status.partition)

    def covers_partition(self, partition: Partition) -> bool:
        """Whether a partition is asked for."""
        return (not self.families or partition.family is None or partition.family in self.families) and (
            not self.domains or partition.domain is None or partition.domain in self.domains
        )


@cache
def _steps_of_taxonomies() -> frozenset[str]:
    """Steps of a family that clustering anew would change."""
    reached = {"clustered_advantages"}
    for recipe in RECIPES.values():  # in the order of the data flow
        if recipe.level == "family" and reached & {recipe_of(table).name for table in recipe.upstream}:
            reached.add(recipe.name)
    return frozenset(reached)


@dataclass
class RunOutcome:
    """What a run of a study did.

    ``failures`` holds a line for each partition that failed or is blocked, ``waiting`` one for each that was not run
    because it is made from one of those.
    """

    n_runs: int = 0
    n_steps: int = 0
    failures: dict[Partition, str] = field(default_factory=dict)
    waiting: dict[Partition, str] = field(default_factory=dict)


Listener = Callable[[str, int], None]


def run_study(
    platform: Platform,
    study: Study,
    instance: dg.DagsterInstance,
    selection: Selection = Selection(),
    on_run: Listener = lambda _label, _n_steps: None,
    outcome: RunOutcome | None = None,
) -> RunOutcome:
    """Run what is not fresh, level by level; a partition that fails does not stop the others.

    The first finished taxonomy of a family is frozen, for later ones to be compared with.
    ``on_run`` is told each run's partition and number of steps as it starts. ``outcome`` is that of a run that this one
    goes on with: it is added to, and what failed there counts as failed here.

    Raises:
        SelectionError: see :meth:`Selection.check`.
    """
    selection.check(study)
    if not has_sources(platform.home, study, Partition()):
        raise SelectionError(
            f"study {study.study}: no domain has questions and traces yet; see advcluster import --help"
        )
    sync_partitions(instance, study)
    job = build_defs(platform.home, study, platform).resolve_implicit_global_asset_job_def()
    outcome = outcome or RunOutcome()
    for level in LEVELS:
        status = study_status(platform, study, instance, platform.retry_failed)
        if level == "study":
            freeze_first_taxonomies(platform, study, status)
        for partition, steps in _work(status, level, selection, outcome).items():
            on_run(partition.label, len(steps))
            outcome.n_runs += 1
            outcome.n_steps += len(steps)
            if fault := _run_partition(job, study, instance, partition, steps):
                outcome.failures[partition] = fault
    return outcome


def _work(
    status: dict[tuple[str, Partition], StepStatus], level: PartitionLevel, selection: Selection, outcome: RunOutcome
) -> dict[Partition, list[str]]:
    """Steps to run by partition; a partition that a blocking check has stopped is refused and named."""
    chosen = [found for found in status.values() if RECIPES[found.step].level == level and selection.covers(found)]
    work: dict[Partition, list[str]] = {}
    for found in chosen:
        if found.must_run or (selection.is_forced and found.state != "no sources"):
            work.setdefault(found.partition, []).append(found.step)
        elif found.state == "blocked":
            outcome.failures[found.partition] = f"{'; '.join(found.reasons)}; nothing after it was run"
    for partition in work:
        stopped = [other for other in (*outcome.failures, *outcome.waiting) if partition.overlaps(other)]
        if stopped and partition not in outcome.failures:
            outcome.waiting[partition] = f"not run, waits for {', '.join(other.label for other in stopped)}"
    return {
        partition: steps
        for partition, steps in work.items()
        if partition not in outcome.failures and partition not in outcome.waiting
    }


def _run_partition(
    job: dg.JobDefinition, study: Study, instance: dg.DagsterInstance, partition: Partition, steps: list[str]
) -> str | None:
    """One Dagster run of these steps; the line that says why it failed, None when it did not."""
    result = job.execute_in_process(
        instance=instance,
        partition_key=partition.key,
        asset_selection=[asset_key(study.study, table) for step in steps for table in RECIPES[step].tables],
        tags={STUDY_TAG: study.study, PROCESS_TAG: process_tag()},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    if result.success:
        return None
    return _first_failure(result) or "failed; see the run in the UI"


def _first_failure(result: dg.ExecuteInProcessResult) -> str | None:
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            if not found.passed and found.blocking and not found.description:
                return (
                    f"{found.asset_key.path[-1]}: blocking check {found.check_name} failed ({_facts(found.metadata)})"
                )
        if event.is_step_failure and event.step_failure_data is not None:
            return f"{(event.step_key or '').split('__')[-1]}: {failure_line(event.step_failure_data)}"
    return None


def _facts(metadata: Mapping[str, dg.MetadataValue[Any]]) -> str:
    """What a check found, in words: numbers as they are, shares with three digits."""
    values = {name: value.value for name, value in metadata.items()}
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )

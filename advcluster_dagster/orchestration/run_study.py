"""Run the steps of a study that are not fresh, level by level, each partition as one Dagster run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.orchestration.partition_definitions import sync_partitions
from advcluster_dagster.orchestration.run_launcher import Launcher, Listener
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.stamps import has_sources
from advcluster_dagster.planning.asset_selection import SelectionError
from advcluster_dagster.planning.selection import EVERYTHING, Selection
from advcluster_dagster.planning.status import (
    StatusReader,
    StepKey,
    StepStatus,
    damaged_inputs,
    missing_inputs,
    study_status,
)
from advcluster_dagster.planning.taxonomy_freezing import freeze_first_taxonomies
from advcluster_dagster.sources.imports.missing import missing_imports
from advcluster_dagster.stop_signals import raise_if_stopped
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

LEVELS: tuple[PartitionLevel, ...] = ("domain", "family_domain", "family", "study")


@dataclass
class RunOutcome:
    """Outcome of running a study.

    ``failures`` has a line for each partition that failed or is blocked, ``waiting`` for each that was not run because
    it depends on one of those, ``call_failures`` for each step with failed model calls. ``n_asked`` counts the model
    calls of the steps that succeeded. ``tracebacks`` are those of faults of the program.
    """

    n_runs: int = 0
    n_steps: int = 0
    n_asked: int = 0
    failures: dict[Partition, str] = field(default_factory=dict)
    waiting: dict[Partition, str] = field(default_factory=dict)
    call_failures: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)


def run_study(
    platform: Platform,
    study: Study,
    instance: dg.DagsterInstance,
    selection: Selection = EVERYTHING,
    on_run: Listener = lambda _label, _n_steps: None,
    outcome: RunOutcome | None = None,
) -> RunOutcome:
    """Run the steps that are not fresh, level by level; a failed partition does not stop the others.

    The first finished taxonomy of a family is frozen as the reference for later ones. ``on_run`` is called with each
    run's partition and number of steps as it starts. ``outcome`` is that of an earlier run to continue: counts are
    added to it, and its failed partitions count as failed.

    Raises:
        SelectionError: see :meth:`Selection.check`.
        Stopped: a stop signal arrived; no further run is started.
    """
    selection.check(study)
    if not has_sources(platform.home, study, Partition()):
        imports = platform.home.imports
        missing = [line for domain in study.domains for line in missing_imports(imports, study, domain)]
        remedy = missing[0] if missing else "see advcluster import --help"
        raise SelectionError(f"study {study.study}: no domain has questions and traces yet; {remedy}")
    sync_partitions(instance, study)
    launcher, outcome = Launcher(platform, study, instance), outcome or RunOutcome()
    reader = StatusReader(platform, study, instance)
    for level in LEVELS:
        status = study_status(platform, study, instance, platform.retry_failed, reader)
        if level == "study":
            freeze_first_taxonomies(platform, study, status)
        work = _work(status, level, selection, outcome)
        _refuse_unreadable(study, status, work, outcome)
        reader.forget({step for steps in work.values() for step in steps})
        for partition, end in launcher.run_all(work, on_run):
            raise_if_stopped()
            outcome.n_runs += 1
            outcome.n_steps += len(work[partition])
            outcome.n_asked += end.n_asked
            outcome.call_failures += [f"{step} {partition.label}: {line}" for step, line in end.call_failures.items()]
            outcome.tracebacks += end.tracebacks
            if end.fault is not None:
                outcome.failures[partition] = end.fault
    return outcome


def _refuse_unreadable(
    study: Study,
    status: Mapping[StepKey, StepStatus],
    work: dict[Partition, list[str]],
    outcome: RunOutcome,
) -> None:
    """Remove partitions whose steps would read a damaged or missing file that this run does not write; report it."""
    scheduled = {(step, partition) for partition, steps in work.items() for step in steps}
    for partition, steps in list(work.items()):
        lines = [line for step in steps for line in damaged_inputs(study, status[step, partition], status, scheduled)]
        lines += [line for step in steps for line in missing_inputs(study, status[step, partition], status, scheduled)]
        if lines:
            outcome.failures[partition] = lines[0]
            del work[partition]


def _work(
    status: dict[tuple[str, Partition], StepStatus], level: PartitionLevel, selection: Selection, outcome: RunOutcome
) -> dict[Partition, list[str]]:
    """Steps to run by partition; partitions stopped by a blocking check are reported as failures."""
    chosen = [
        step_status
        for step_status in status.values()
        if RECIPES[step_status.step].level == level and selection.covers(step_status)
    ]
    work: dict[Partition, list[str]] = {}
    for step_status in chosen:
        if step_status.must_run or (selection.is_forced and step_status.state != "no sources"):
            work.setdefault(step_status.partition, []).append(step_status.step)
        elif step_status.state == "blocked":
            outcome.failures[step_status.partition] = f"{'; '.join(step_status.texts)}; downstream steps were not run"
    for partition in work:
        stopped = [other for other in (*outcome.failures, *outcome.waiting) if partition.overlaps(other)]
        if stopped and partition not in outcome.failures:
            outcome.waiting[partition] = f"not run, waits for {', '.join(other.label for other in stopped)}"
    return {
        partition: steps
        for partition, steps in work.items()
        if partition not in outcome.failures and partition not in outcome.waiting
    }

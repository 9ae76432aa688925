"""Launch the Dagster run of one partition and wait for it."""

import multiprocessing
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.dagster_internals import (
    CustomPointer,
    InstanceRef,
    ModuleCodePointer,
    ReconstructableJob,
    ReconstructableRepository,
    runs_of_location,
)
from advcluster_dagster.orchestration.partition_definitions import partition_key
from advcluster_dagster.orchestration.run_definitions import run_definitions
from advcluster_dagster.orchestration.run_end import RunEnd, end_of
from advcluster_dagster.orchestration.run_process import PROCESS_TAG, STUDY_TAG, process_tag
from advcluster_dagster.orchestration.step_resources import gpu_need
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.stop_signals import Stopped
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.files import SettingsError
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

Listener = Callable[[str, int], None]
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Launcher:
    """Starts runs of one study and waits for them.

    Raises:
        SettingsError: the run has a cap on its cost, which processes cannot share.
    """

    def __init__(self, platform: Platform, study: Study, instance: dg.DagsterInstance) -> None:
        executor = platform.home.settings.executor
        if platform.max_cost is not None and executor != "in_process":
            raise SettingsError(
                f"a cap of one run holds in one process, and steps run by executor {executor}; put spending.max_cost"
                f" into study {study.study}, or run in process"
            )
        self._platform, self._study, self._instance = platform, study, instance
        self._jobs: dict[Any, tuple[dg.JobDefinition, list[str] | None]] = {}

    def run_all(self, work: Mapping[Partition, list[str]], on_run: Listener) -> Iterator[tuple[Partition, RunEnd]]:
        """Run the partitions' steps and yield the outcome of each run as it ends; ``on_run`` is called at each start.

        In process they run one after the other. Else several at once, each from a process of its own, since Dagster
        runs are not made to share one.
        """
        settings = self._platform.home.settings
        if settings.executor == "in_process" or settings.max_concurrent_runs == 1 or len(work) < 2:
            for partition, steps in work.items():
                on_run(partition.label, len(steps))
                yield partition, self.run(partition, steps)
            return
        n_processes = min(settings.max_concurrent_runs, len(work))
        reference = self._instance.get_ref()
        with ProcessPoolExecutor(n_processes, multiprocessing.get_context("spawn")) as pool:
            running = {}
            for partition, steps in work.items():
                on_run(partition.label, len(steps))
                running[pool.submit(_run_elsewhere, reference, self._made_from(None), partition, steps)] = partition
            try:
                for ended in as_completed(running):
                    yield running[ended], ended.result()
            except Stopped:
                for process in multiprocessing.active_children():
                    process.terminate()
                raise

    def run(self, partition: Partition, steps: Collection[str]) -> RunEnd:
        """One run of these steps on one partition, started in this process."""
        job, families = self._job(partition)
        selected = [asset_key(self._study.study, table) for step in steps for table in RECIPES[step].tables]
        tags = {STUDY_TAG: self._study.study, PROCESS_TAG: process_tag()}
        with runs_of_location(self._instance, job.name):
            return self._run(job, families, partition, selected, tags)

    def _run(
        self,
        job: dg.JobDefinition,
        families: list[str] | None,
        partition: Partition,
        selected: list[dg.AssetKey],
        tags: dict[str, str],
    ) -> RunEnd:
        if self._platform.home.settings.executor == "in_process":
            return end_of(
                job.execute_in_process(
                    instance=self._instance,
                    partition_key=partition_key(partition),
                    asset_selection=selected,
                    tags=tags,
                    run_config=_QUIET,
                    raise_on_error=False,
                )
            )
        if (key := partition_key(partition)) is not None:
            tags |= job.get_tags_for_partition_key(key, selected)
        elsewhere = self._elsewhere(job.name, families)
        return end_of(dg.execute_job(elsewhere, self._instance, asset_selection=selected, tags=tags, run_config=_QUIET))

    def _job(self, partition: Partition) -> tuple[dg.JobDefinition, list[str] | None]:
        """The job, and the families it is made for: one that needs no GPU is not to wait for one."""
        families = None if partition.family is None else [partition.family]
        needs = tuple(gpu_need(self._study, recipe, families) for recipe in RECIPES.values())
        if needs not in self._jobs:
            definitions = run_definitions(self._platform.home, [self._study], self._platform, families)
            self._jobs[needs] = definitions.resolve_implicit_global_asset_job_def(), families
        return self._jobs[needs]

    def _elsewhere(self, job: str, families: list[str] | None) -> ReconstructableJob:
        """The job as other processes get it: by what it is made from, and by this interpreter.

        Dagster's public way is closed to the job of all assets, whose name it reserves.
        """
        function = ModuleCodePointer(__name__, rebuild_repository.__name__)
        pointer = CustomPointer(function, [], [[name, value] for name, value in self._made_from(families).items()])
        repository = ReconstructableRepository(pointer, entry_point=[sys.executable, "-m", "dagster"])
        return repository.get_reconstructable_job(job)

    def _made_from(self, families: list[str] | None) -> dict[str, Any]:
        return {
            "home": str(self._platform.home.root),
            "study": self._study.study,
            "families": families,
            "offline": self._platform.offline,
            "retry_failed": self._platform.retry_failed,
            "is_batched": self._platform.is_batched,
        }


def _run_elsewhere(
    reference: InstanceRef, made_from: Mapping[str, Any], partition: Partition, steps: list[str]
) -> RunEnd:
    """One run, in a process that starts runs."""
    home = Home(Path(made_from["home"]))
    how = {name: made_from[name] for name in ("offline", "retry_failed", "is_batched")}
    platform = Platform(home, **how)
    with dg.DagsterInstance.from_ref(reference) as instance:
        return Launcher(platform, home.load_study(made_from["study"]), instance).run(partition, steps)


def rebuild_repository(
    home: str, study: str, families: list[str] | None, offline: bool, retry_failed: bool, is_batched: bool
) -> dg.RepositoryDefinition:
    """The study's definitions in a process that executes a step of a run; the study file is read again."""
    place = Home(Path(home))
    platform = Platform(place, offline=offline, retry_failed=retry_failed, is_batched=is_batched)
    return run_definitions(place, [place.load_study(study)], platform, families).get_repository_def()

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
from advcluster_dagster.orchestration.run_end import RunEnd, summarise_run
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
        SettingsError: the run has a cost cap, which processes cannot share.
    """

    def __init__(self, platform: Platform, study: Study, instance: dg.DagsterInstance) -> None:
        executor = platform.home.settings.executor
        if platform.max_cost is not None and executor != "in_process":
            raise SettingsError(
                f"--max-cost requires executor in_process, but platform.yaml sets {executor}; set spending.max_cost in"
                f" study {study.study} instead, or change the executor"
            )
        self._platform, self._study, self._instance = platform, study, instance
        self._jobs: dict[Any, tuple[dg.JobDefinition, list[str] | None]] = {}

    def run_all(self, work: Mapping[Partition, list[str]], on_run: Listener) -> Iterator[tuple[Partition, RunEnd]]:
        """Run the partitions' steps and yield the outcome of each run as it ends; ``on_run`` is called at each start.

        With the in-process executor they run sequentially, else concurrently, each in a separate process, because
        Dagster runs cannot share one.
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
                running[pool.submit(_run_in_process, reference, self._parameters(None), partition, steps)] = partition
            try:
                for future in as_completed(running):
                    yield running[future], future.result()
            except Stopped:
                for process in multiprocessing.active_children():
                    process.terminate()
                raise

    def run(self, partition: Partition, steps: Collection[str]) -> RunEnd:
        """Run these steps on one partition, started from this process."""
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
            return summarise_run(
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
        reconstructable = self._reconstructable(job.name, families)
        return summarise_run(
            dg.execute_job(reconstructable, self._instance, asset_selection=selected, tags=tags, run_config=_QUIET)
        )

    def _job(self, partition: Partition) -> tuple[dg.JobDefinition, list[str] | None]:
        """The job and the families it is built for, so that runs without need of a GPU do not wait for one."""
        families = None if partition.family is None else [partition.family]
        needs = tuple(gpu_need(self._study, recipe, families) for recipe in RECIPES.values())
        if needs not in self._jobs:
            definitions = run_definitions(self._platform.home, [self._study], self._platform, families)
            self._jobs[needs] = definitions.resolve_implicit_global_asset_job_def(), families
        return self._jobs[needs]

    def _reconstructable(self, job: str, families: list[str] | None) -> ReconstructableJob:
        """The job in a form that other processes rebuild from parameters, with this interpreter.

        Dagster's public function does not accept the implicit job of all assets, whose name is reserved.
        """
        function = ModuleCodePointer(__name__, rebuild_repository.__name__)
        pointer = CustomPointer(function, [], [[name, value] for name, value in self._parameters(families).items()])
        repository = ReconstructableRepository(pointer, entry_point=[sys.executable, "-m", "dagster"])
        return repository.get_reconstructable_job(job)

    def _parameters(self, families: list[str] | None) -> dict[str, Any]:
        return {
            "home": str(self._platform.home.root),
            "study": self._study.study,
            "families": families,
            "offline": self._platform.offline,
            "retry_failed": self._platform.retry_failed,
            "is_batched": self._platform.is_batched,
        }


def _run_in_process(
    reference: InstanceRef, parameters: Mapping[str, Any], partition: Partition, steps: list[str]
) -> RunEnd:
    """Run steps from a worker process of the pool."""
    home = Home(Path(parameters["home"]))
    options = {name: parameters[name] for name in ("offline", "retry_failed", "is_batched")}
    platform = Platform(home, **options)
    with dg.DagsterInstance.from_ref(reference) as instance:
        return Launcher(platform, home.load_study(parameters["study"]), instance).run(partition, steps)


def rebuild_repository(
    home: str, study: str, families: list[str] | None, offline: bool, retry_failed: bool, is_batched: bool
) -> dg.RepositoryDefinition:
    """Rebuild the study's definitions in a process that executes a step; reads the study file again."""
    study_home = Home(Path(home))
    platform = Platform(study_home, offline=offline, retry_failed=retry_failed, is_batched=is_batched)
    return run_definitions(study_home, [study_home.load_study(study)], platform, families).get_repository_def()

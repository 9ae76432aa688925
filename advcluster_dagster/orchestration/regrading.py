"""Grade existing traces again without generating new ones."""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.orchestration.run_launcher import Listener
from advcluster_dagster.orchestration.run_study import RunOutcome, run_study
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.stamps import has_sources
from advcluster_dagster.planning.asset_selection import SelectionError
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.storage.table_files import table_path
from advcluster_dagster.study.partition import all_partitions
from advcluster_dagster.study.study import Study

_STEP = "graded_trials"


def regrade_study(
    platform: Platform,
    study: Study,
    instance: dg.DagsterInstance,
    selection: Selection,
    on_run: Listener = lambda _label, _n_steps: None,
) -> RunOutcome:
    """Grade existing traces again, fresh or not, then run stale downstream steps, in the selected families and domains.

    Raises:
        SelectionError: a family or domain is unknown, or its questions or traces do not exist yet.
    """
    selection.check(study)
    grading = replace(selection, assets=RECIPES[_STEP].tables, is_forced=True)
    if missing := list(_missing_inputs(platform, study, grading)):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise SelectionError(
            f"regrade generates no traces, and {missing[0]} does not exist{more}; run `advcluster run {study.study}`"
            " first, or select with --family and --domain"
        )
    outcome = run_study(platform, study, instance, grading, on_run)
    rest = [
        table
        for recipe in RECIPES.values()
        if recipe.group != "inference" and recipe.name != _STEP
        for table in recipe.tables
    ]
    return run_study(platform, study, instance, replace(selection, assets=rest), on_run, outcome)


def _missing_inputs(platform: Platform, study: Study, selection: Selection) -> Iterator[str]:
    """Yield inputs of the grading that have a source but do not exist yet."""
    for partition in all_partitions(study, "family_domain"):
        if selection.covers_partition(partition) and has_sources(platform.home, study, partition):
            for table in RECIPES[_STEP].upstream:
                input_partition = partition.at(TABLES[table].level)
                if not table_path(platform.home.lake, study.study, table, input_partition).exists():
                    yield f"{table} of {input_partition.label}"

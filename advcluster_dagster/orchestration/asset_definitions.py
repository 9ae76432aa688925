"""Dagster asset definitions of a study, built from its recipes, and the execution of a step."""

import warnings
from collections.abc import Collection, Iterator
from typing import Any

import dagster as dg
import polars as pl

from advcluster_dagster.assets.registry import op_name, recipes_of
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.orchestration.asset_descriptions import (
    asset_tags,
    code_references,
    describe_page,
    describe_table,
)
from advcluster_dagster.orchestration.page_server import page_address
from advcluster_dagster.orchestration.partition_definitions import partition_mapping, partitions_definition
from advcluster_dagster.orchestration.run_process import claim_run
from advcluster_dagster.orchestration.step_failures import BrokenContract, dagster_failures, damaged_inputs_named
from advcluster_dagster.orchestration.step_resources import placement
from advcluster_dagster.orchestration.table_checks import (
    check_new_table,
    check_specs,
    check_stored_partitions,
    check_stored_tables,
    checks_of,
)
from advcluster_dagster.orchestration.ui_metadata import column_schema, provenance, shown_facts, table_metadata
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.recipe import Recipe, fingerprint, is_table_on
from advcluster_dagster.pipeline.stamps import expected_stamp, has_sources, upstream_partitions
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.planning.failed_checks import failed_warnings
from advcluster_dagster.planning.partition_state import CONTRACT_CHECK, asset_key, table_health
from advcluster_dagster.stop_signals import raise_if_stopped
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.pages import PageFiles, page_path
from advcluster_dagster.storage.table_files import StagedTable, Stamp, stage_table, table_path
from advcluster_dagster.study.partition import all_partitions, partition_from_key
from advcluster_dagster.study.study import Study

# Data versions and checks of partitions are beta in the pinned Dagster; we accept that.
for _category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=_category, module="advcluster_dagster")


def build_assets(home: Home, study: Study, families: Collection[str] | None = None) -> list[dg.AssetsDefinition]:
    """Table assets of a study; families and domains are partition keys, so new ones need no reload.

    ``families`` are the families to run, whose models determine the resources of a step; None for all.
    """
    return [_build_asset(home, study, recipe, families) for recipe in recipes_of(study) if not recipe.makes_page]


def build_pages(home: Home, study: Study) -> list[dg.AssetsDefinition]:
    """Page assets of a study: the report and the explorer, which are files instead of tables."""
    return [_build_page(home, study, recipe) for recipe in recipes_of(study) if recipe.makes_page]


def _build_page(home: Home, study: Study, recipe: Recipe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(study.study, recipe.name),
        deps=[
            dg.AssetDep(asset_key(study.study, name), partition_mapping=partition_mapping(TABLES[name].level, "study"))
            for name in recipe.reads
            if is_table_on(name, study)
        ],
        description=describe_page(recipe),
        metadata=code_references(recipe, recipe.name),
        group_name=group_name(study, recipe),
        kinds=set(recipe.kinds),
        code_version=code_version(home, study, recipe),
        io_manager_key="report_io",
        owners=study.owners,
        tags=asset_tags(study, recipe),
        required_resource_keys={"platform"},
        **placement(home.settings, study, recipe),
    )
    def page(context: dg.AssetExecutionContext) -> Iterator[dg.Output[PageFiles]]:
        with dagster_failures():
            step = _open_step(context, study.study, recipe)
            step.failed_warnings = [warning.text for warning in failed_warnings(context.instance, step.study)]
            with damaged_inputs_named(step):
                files: PageFiles = recipe.function(step)
        page_file = page_path(step.home.reports, study.study, recipe.name)
        yield dg.Output(
            files,
            data_version=dg.DataVersion(files.stamp.content_hash),
            metadata={
                "open": dg.MetadataValue.url(page_address(study.study, page_file)),
                "page": dg.MetadataValue.path(str(page_file.relative_to(step.home.root))),
                **shown_facts(step.facts),
                **provenance(step, files.stamp),
            },
        )

    return page


def group_name(study: Study, recipe: Recipe) -> str:
    """Name of a stage's asset group, unique across the studies of a home."""
    return f"{study.identifier}__{recipe.group}"


def _build_asset(home: Home, study: Study, recipe: Recipe, families: Collection[str] | None) -> dg.AssetsDefinition:
    def compute(context: dg.AssetExecutionContext) -> Iterator[Any]:
        if context.selected_asset_keys:
            yield from _run_step(context, study.study, recipe)
        else:
            yield from _run_checks(context, study.study, recipe)

    return dg.multi_asset(
        name=op_name(study, recipe.name),
        outs={table: _out(home, study, recipe, table) for table in recipe.tables},
        deps=[
            dg.AssetDep(
                asset_key(study.study, name), partition_mapping=partition_mapping(TABLES[name].level, recipe.level)
            )
            for name in recipe.upstream
            if is_table_on(name, study)
        ],
        check_specs=check_specs(study, recipe),
        partitions_def=partitions_definition(study.study, recipe.level),
        group_name=group_name(study, recipe),
        required_resource_keys={"platform"},
        can_subset=True,  # so that checks can run alone; _run_step refuses a part of the tables
        **placement(home.settings, study, recipe, families),
    )(compute)


def _out(home: Home, study: Study, recipe: Recipe, table: str) -> dg.AssetOut:
    contract = TABLES[table]
    return dg.AssetOut(
        key=asset_key(study.study, table),
        description=describe_table(study, recipe, table),
        is_required=False,
        io_manager_key="lake_io",
        kinds=set(recipe.kinds),
        code_version=code_version(home, study, recipe),
        metadata={
            "dagster/column_schema": column_schema(contract),
            "key": ", ".join(contract.key),
            **code_references(recipe, table),
        },
        owners=study.owners,
        tags=asset_tags(study, recipe),
    )


def code_version(home: Home, study: Study, recipe: Recipe) -> str:
    """Hash of the code, prompts and settings of a step, by which the UI shows changes."""
    settings = [
        recipe.settings_fingerprint(home, study, partition) for partition in all_partitions(study, recipe.level)
    ]
    return f"{recipe.code_fingerprint}-{recipe.prompts_fingerprint}-{fingerprint(settings)}"


def _run_step(context: dg.AssetExecutionContext, study_name: str, recipe: Recipe) -> Iterator[Any]:
    """Run one step and yield its tables and check results; expected errors become one-line failures."""
    staged: list[StagedTable] = []
    try:
        with dagster_failures():
            _refuse_parts(context, study_name, recipe)
            step = _open_step(context, study_name, recipe)
            stamp = expected_stamp(recipe, step.home, step.study, step.partition)
            with damaged_inputs_named(step):
                result = recipe.function(step, **step.inputs())
                frames = result if isinstance(result, dict) else {recipe.tables[0]: result}
                for name in recipe.tables:
                    staged.append(_stage(step, name, frames[name], stamp))
            results = [result for table in staged for result in check_new_table(step, table.table.name, table.scan())]
        yield from (_output(step, table) for table in staged)
        yield from results
    except BrokenContract as error:
        yield dg.AssetCheckResult(
            asset_key=asset_key(study_name, error.table),
            check_name=CONTRACT_CHECK,
            passed=False,
            description=error.description,
        )
        raise
    finally:
        for table in staged:
            table.discard()


def _refuse_parts(context: dg.AssetExecutionContext, study_name: str, recipe: Recipe) -> None:
    """Refuse to run a step for some of its tables or checks: it makes and checks all its tables together.

    Raises:
        StepError: names what to select as well.
    """
    tables = [table for table in recipe.tables if asset_key(study_name, table) not in context.selected_asset_keys]
    keys = context.selected_asset_check_keys
    checks = [
        f"{check.name} of {table}"
        for table in recipe.tables
        for check in checks_of(recipe, table)
        if dg.AssetCheckKey(asset_key(study_name, table), check.name) not in keys
    ]
    if missing := tables or checks:
        raise StepError(
            f"{', '.join(recipe.tables)} are made and checked together; select {', '.join(missing)} as well"
        )


def _run_checks(context: dg.AssetExecutionContext, study_name: str, recipe: Recipe) -> Iterator[dg.AssetCheckResult]:
    """Run the selected checks alone, on the stored tables; no input is read and no model is called."""
    with dagster_failures():
        step, selected = _begin_step(context, study_name, recipe), context.selected_asset_check_keys
        if context.has_partition_key or recipe.level == "study":
            results = list(check_stored_tables(step, selected))
        else:  # the UI starts a run of checks without a partition
            results = list(check_stored_partitions(step, selected, context.instance.report_runless_asset_event))
    yield from results


def _open_step(context: dg.AssetExecutionContext, study_name: str, recipe: Recipe) -> Step:
    step = _begin_step(context, study_name, recipe)
    step.options.on_progress(recipe.name, 0, 0)
    refuse_unfit_inputs(context.instance, step)
    return step


def _begin_step(context: dg.AssetExecutionContext, study_name: str, recipe: Recipe) -> Step:
    raise_if_stopped()  # of the steps that a run still has, none begins behind a signal
    platform: Platform = context.resources.platform
    claim_run(context.instance, context.run, platform.home.settings.executor)
    partition = partition_from_key(recipe.level, context.partition_key if context.has_partition_key else None)
    return platform.open_step(study_name, recipe, partition)


def refuse_unfit_inputs(instance: dg.DagsterInstance, step: Step) -> None:
    """Refuse an aggregating step if a partition it would use failed or is blocked; missing partitions are left out.

    Raises:
        StepError: names the first such partition and the remedy.
    """
    if step.recipe.level == "family_domain" or step.recipe.level == "domain":
        return
    for name, health in table_health(instance, step.study.study, step.recipe.upstream).items():
        level: PartitionLevel = TABLES[name].level
        faults = health.faults
        for partition in upstream_partitions(step.study, step.partition, level):
            if partition in faults and partition != step.partition and has_sources(step.home, step.study, partition):
                raise StepError(
                    f"{partition.label}: {faults[partition].text}; fix it or remove the domain from the study"
                )
    if step.recipe.level == "family":
        unused = [domain for domain in step.study.domains if domain not in step.domains_used]
        step.facts |= {"domains_used": step.domains_used, "domains_left_out": unused}


def _stage(step: Step, table: str, frame: pl.DataFrame | pl.LazyFrame, stamp: Stamp) -> StagedTable:
    path = table_path(step.home.lake, step.study.study, table, step.partition)
    annotated = stamp.with_notes(step.call_notes)
    return stage_table(TABLES[table], frame, step.partition, path, annotated)


def _output(step: Step, staged: StagedTable) -> dg.Output[StagedTable]:
    stamp = staged.stamp
    return dg.Output(
        staged,
        output_name=staged.table.name,
        data_version=dg.DataVersion(stamp.content_hash),
        metadata=table_metadata(step, staged),
    )

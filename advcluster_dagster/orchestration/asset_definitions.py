"""Dagster asset definitions of a study, built from its recipes, and the execution of a step."""

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pyarrow as pa

from advcluster_dagster.assets.registry import op_name, recipes_of
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import ContractError, PartitionLevel
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.orchestration.partition_definitions import partition_mapping, partitions_definition
from advcluster_dagster.orchestration.run_process import STUDY_TAG, claim_run
from advcluster_dagster.orchestration.step_resources import placement
from advcluster_dagster.orchestration.ui_metadata import column_schema, provenance, shown_facts, table_metadata
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import sql_checks
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.recipe import Recipe, fingerprint, is_table_on
from advcluster_dagster.pipeline.stamps import expected_stamp, has_sources, upstream_partitions
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.planning.failed_checks import failed_warnings
from advcluster_dagster.planning.partition_state import CONTRACT_CHECK, asset_key, table_health
from advcluster_dagster.stop_signals import raise_if_stopped
from advcluster_dagster.storage.faults import DamagedFileError
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.pages import PageFiles, page_path
from advcluster_dagster.storage.table_files import StagedTable, Stamp, content_fault, stage_table, table_path
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
        description=recipe.function.__doc__,
        group_name=group_name(study, recipe),
        kinds=set(recipe.kinds),
        code_version=code_version(home, study, recipe),
        io_manager_key="report_io",
        tags={STUDY_TAG: study.study},
        required_resource_keys={"platform"},
        **placement(home.settings, study, recipe),
    )
    def page(context: dg.AssetExecutionContext) -> Iterator[dg.Output[PageFiles]]:
        with one_line_failures():
            step = _open_step(context, study.study, recipe)
            step.failed_warnings = [warning.text for warning in failed_warnings(context.instance, step.study)]
            with damage_named(step):
                files: PageFiles = recipe.function(step)
        yield dg.Output(
            files,
            data_version=dg.DataVersion(files.stamp.content_hash),
            metadata={
                "page": dg.MetadataValue.path(str(page_path(step.home.reports, study.study, recipe.name))),
                **shown_facts(step.facts),
                **provenance(step, files.stamp),
            },
        )

    return page


def group_name(study: Study, recipe: Recipe) -> str:
    """Name of a stage's asset group, unique across the studies of a home."""
    return f"{study.identifier}__{recipe.group}"


def check_specs(study: Study, recipe: Recipe) -> list[dg.AssetCheckSpec]:
    """Checks of a step's tables: contract, declared checks, SQL tests."""
    return [
        dg.AssetCheckSpec(
            check.name,
            asset=asset_key(study.study, table),
            description=check.description,
            blocking=check.is_blocking,
            partitions_def=partitions_definition(study.study, recipe.level),
        )
        for table in recipe.tables
        for check in (_CONTRACT, *recipe.checks_of(table), *sql_checks(table))
    ]


_CONTRACT = Check(
    CONTRACT_CHECK,
    "Columns, types, ranges and key match the contract.",
    lambda _step, _rows: Outcome(True),
    True,
)


def _build_asset(home: Home, study: Study, recipe: Recipe, families: Collection[str] | None) -> dg.AssetsDefinition:
    def compute(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from _run_step(context, study.study, recipe)

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
        **placement(home.settings, study, recipe, families),
    )(compute)


def _out(home: Home, study: Study, recipe: Recipe, table: str) -> dg.AssetOut:
    contract = TABLES[table]
    return dg.AssetOut(
        key=asset_key(study.study, table),
        description=contract.description,
        io_manager_key="lake_io",
        kinds=set(recipe.kinds),
        code_version=code_version(home, study, recipe),
        tags={STUDY_TAG: study.study},
        metadata={"dagster/column_schema": column_schema(contract), "key": ", ".join(contract.key)},
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
        with one_line_failures():
            step = _open_step(context, study_name, recipe)
            stamp = expected_stamp(recipe, step.home, step.study, step.partition)
            with damage_named(step):
                result = recipe.function(step, **step.inputs())
                frames = result if isinstance(result, dict) else {recipe.tables[0]: result}
                for name in recipe.tables:
                    staged.append(_stage(step, name, frames[name], stamp))
            results = [result for table in staged for result in _check_results(step, table)]
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


class BrokenContract(dg.Failure):
    """A computed table violates its contract; nothing was published."""

    def __init__(self, error: ContractError) -> None:
        super().__init__(str(error), allow_retries=False)
        self.table = error.table


@contextmanager
def one_line_failures() -> Iterator[None]:
    """Turn expected errors into one-line failures; other errors keep their traceback."""
    try:
        yield
    except ContractError as error:
        raise BrokenContract(error) from None
    except AdvClusterError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            raise
        # A stop signal. Dagster would otherwise retry the step, at a cost.
        raise dg.Failure("stopped by a signal; completed work is kept; run it again", allow_retries=False) from None


@contextmanager
def damage_named(step: Step) -> Iterator[None]:
    """Name the damaged file when a step fails because an input cannot be read.

    Raises:
        DamagedFileError: replaces the error of the library that read the file.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, duckdb.Error) as error:
        for path in (path for table in step.recipe.upstream for path in step.paths_of(table)):
            if fault := content_fault(path):
                raise DamagedFileError(fault) from error
        raise


def _open_step(context: dg.AssetExecutionContext, study_name: str, recipe: Recipe) -> Step:
    raise_if_stopped()  # no further step of a run starts after a stop signal
    claim_run(context.instance, context.run, context.resources.platform.home.settings.executor)
    partition = partition_from_key(recipe.level, context.partition_key if context.has_partition_key else None)
    platform: Platform = context.resources.platform
    step = platform.open_step(study_name, recipe, partition)
    step.options.on_progress(recipe.name, 0, 0)
    refuse_unfit_inputs(context.instance, step)
    return step


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
    annotated = stamp.with_notes({**step.notes, **step.models.failure_notes})
    return stage_table(TABLES[table], frame, step.partition, path, annotated)


def _output(step: Step, staged: StagedTable) -> dg.Output[StagedTable]:
    stamp = staged.stamp
    return dg.Output(
        staged,
        output_name=staged.table.name,
        data_version=dg.DataVersion(stamp.content_hash),
        metadata=table_metadata(step, staged),
    )


def _check_results(step: Step, staged: StagedTable) -> Iterator[dg.AssetCheckResult]:
    """Run a table's checks on the staged file, before it is published."""
    name = staged.table.name
    for check in (_CONTRACT, *step.recipe.checks_of(name), *sql_checks(name)):
        outcome = check.evaluate(step, staged.scan())
        severity = dg.AssetCheckSeverity.ERROR if check.is_blocking else dg.AssetCheckSeverity.WARN
        yield dg.AssetCheckResult(
            asset_key=asset_key(step.study.study, name),
            check_name=check.name,
            passed=outcome.is_passed,
            severity=severity,
            metadata=shown_facts(outcome.facts),
        )

"""Checks of tables as Dagster shows them: their declarations, and their results for a new or a stored table."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import dagster as dg
import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import ContractError
from advcluster_dagster.orchestration.partition_definitions import partitions_definition
from advcluster_dagster.orchestration.ui_metadata import shown_facts
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import sql_checks
from advcluster_dagster.pipeline.recipe import Recipe
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.planning.partition_state import CONTRACT_CHECK, asset_key
from advcluster_dagster.storage.table_files import content_fault, read_stamp, scan_file, table_path
from advcluster_dagster.study.partition import all_partitions
from advcluster_dagster.study.study import Study

# A new table is checked before its file exists (storage/table_files.py), so its contract holds here.
_CONTRACT = Check(
    CONTRACT_CHECK,
    "Columns, types, ranges and key are those of the contract.",
    lambda _step, _rows: Outcome(True),
    True,
)


def checks_of(recipe: Recipe, table: str) -> tuple[Check, ...]:
    """All checks of a table: its contract, those of its stage, its SQL tests."""
    return (_CONTRACT, *recipe.checks_of(table), *sql_checks(table))


def check_specs(study: Study, recipe: Recipe) -> list[dg.AssetCheckSpec]:
    """Declare the checks of a step's tables to Dagster."""
    return [
        dg.AssetCheckSpec(
            check.name,
            asset=asset_key(study.study, table),
            description=check.description,
            blocking=check.is_blocking,
            partitions_def=partitions_definition(study.study, recipe.level),
        )
        for table in recipe.tables
        for check in checks_of(recipe, table)
    ]


def check_new_table(step: Step, table: str, rows: pl.LazyFrame) -> Iterator[dg.AssetCheckResult]:
    """Evaluate a table's checks on rows that satisfy its contract, before anything downstream reads them."""
    for check in checks_of(step.recipe, table):
        yield _result(step, table, check, check.evaluate(step, rows))


def check_stored_tables(step: Step, selected: Collection[dg.AssetCheckKey]) -> Iterator[dg.AssetCheckResult]:
    """Evaluate the selected checks of a step on the files of its tables as they are, without running the step.

    Raises:
        StepError: a table does not exist, its file is not the one that was written, or a check needs counts of model
            calls that the file does not hold.
    """
    for table in step.recipe.tables:
        names = {key.name for key in selected if key.asset_key == asset_key(step.study.study, table)}
        if not names:
            continue
        path = table_path(step.home.lake, step.study.study, table, step.partition)
        if (stamp := read_stamp(path)) is None:
            raise StepError(f"{table} of {step.partition.label} does not exist, so it cannot be checked; run the step")
        if fault := content_fault(path):
            raise StepError(fault)
        stored, rows = replace(step, notes=dict(stamp.notes)), scan_file(path)
        for check in (check for check in checks_of(step.recipe, table) if check.name in names):
            outcome = _contract_outcome(stored, table, rows) if check is _CONTRACT else check.evaluate(stored, rows)
            yield _result(step, table, check, outcome)


def check_stored_partitions(
    step: Step, selected: Collection[dg.AssetCheckKey], report: Callable[[dg.AssetCheckEvaluation], None]
) -> Iterator[dg.AssetCheckResult]:
    """Evaluate the selected checks on every partition that is stored.

    Each partition's result goes to ``report``; each check also has a result over all of them, which names those that
    failed.

    Raises:
        StepError: as for :func:`check_stored_tables`, or no partition is stored.
    """
    results: dict[dg.AssetCheckKey, dict[str, dg.AssetCheckResult]] = {}
    for partition in all_partitions(step.study, step.recipe.level):
        tables = {key.asset_key.path[-1] for key in selected}
        if not any(table_path(step.home.lake, step.study.study, table, partition).exists() for table in tables):
            continue
        for result in check_stored_tables(replace(step, partition=partition), selected):
            key = dg.AssetCheckKey(dg.AssetKey.from_coercible(result.asset_key or ()), str(result.check_name))
            results.setdefault(key, {})[partition.label] = result
            report(
                dg.AssetCheckEvaluation(
                    asset_key=key.asset_key,
                    check_name=key.name,
                    passed=result.passed,
                    metadata=result.metadata,
                    severity=result.severity,
                    partition=partition.key,
                )
            )
    if not results:
        raise StepError(f"{', '.join(step.recipe.tables)}: no partition exists that could be checked; run the step")
    for key, by_partition in results.items():
        failed = [label for label, result in by_partition.items() if not result.passed]
        yield dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=not failed,
            severity=next(iter(by_partition.values())).severity,
            metadata={"n_partitions": len(by_partition), "failed_partitions": ", ".join(failed)},
        )


def _contract_outcome(step: Step, table: str, rows: pl.LazyFrame) -> Outcome:
    try:
        TABLES[table].check(TABLES[table].conform(rows, step.partition.columns), step.partition.columns)
    except ContractError as error:
        return Outcome(False, {"fault": str(error)})
    return Outcome(True)


def _result(step: Step, table: str, check: Check, outcome: Outcome) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset_key(step.study.study, table),
        check_name=check.name,
        passed=outcome.is_passed,
        severity=dg.AssetCheckSeverity.ERROR if check.is_blocking else dg.AssetCheckSeverity.WARN,
        metadata=shown_facts(outcome.facts),
    )

"""Declare steps: turn Python functions, SQL models and pages into recipes.

Each stage in ``assets`` lists its recipes in ``STEPS``.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.recipe import Estimate, Recipe, SettingsReader, SourcesReader
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.sql_models import sql_models, sql_tests
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study


def _no_settings(_study: Study, _partition: Partition) -> None:
    return None


def _no_sources(_home: Home, _study: Study, _partition: Partition) -> None:
    return None


def table_step(
    group: str,
    *,
    tables: Sequence[str] = (),
    kinds: Sequence[str] = ("polars",),
    reads: Sequence[str] = (),
    prompts: Sequence[str] = (),
    settings: SettingsReader = _no_settings,
    sources: SourcesReader = _no_sources,
    checks: Mapping[str, tuple[Check, ...]] | None = None,
    estimate: Callable[[Step], Estimate] | None = None,
) -> Callable[[Callable[..., Any]], Recipe]:
    """Declare a function as a step that makes the table of its name; parameters after the first name its inputs.

    Args:
        group: stage, by which the UI groups steps.
        tables: the tables it makes if there are several; the function then returns them by name.
        kinds: kinds shown in the UI.
        reads: tables that the function reads itself.
        prompts: names of prompt files.
        settings: returns the part of the study that the step depends on.
        sources: returns facts about files outside the lake that it depends on.
        checks: its checks by table.
        estimate: estimates its model calls for a dry run.
    """

    def declare(function: Callable[..., Any]) -> Recipe:
        names = tuple(tables) or (function.__name__,)
        inputs = list(inspect.signature(function).parameters.values())[1:]
        return Recipe(
            function=function,
            tables=names,
            level=TABLES[names[0]].level,
            group=group,
            kinds=frozenset(kinds) | {"parquet"},
            inputs=tuple(parameter.name for parameter in inputs),
            lazy_inputs=frozenset(parameter.name for parameter in inputs if parameter.annotation is pl.LazyFrame),
            reads=tuple(reads),
            module=_path_of(function.__module__),
            prompts=tuple(prompts),
            settings=settings,
            sources=sources,
            checks=checks or {},
            estimate=estimate,
        )

    return declare


def page_step(
    group: str,
    *,
    kinds: Sequence[str],
    reads: Sequence[str],
    settings: SettingsReader,
    prompts: Sequence[str] = (),
) -> Callable[[Callable[[Step], Any]], Recipe]:
    """Declare a function that returns a page as a step of the whole study; the page has the function's name.

    Args:
        group: stage, by which the UI groups steps.
        kinds: kinds shown in the UI.
        reads: tables that it reads.
        settings: returns the part of the study that the step depends on.
        prompts: names of prompt files.
    """

    def declare(function: Callable[[Step], Any]) -> Recipe:
        return Recipe(
            function=function,
            tables=(function.__name__,),
            level="study",
            group=group,
            kinds=frozenset(kinds),
            reads=tuple(reads),
            module=_path_of(function.__module__),
            prompts=tuple(prompts),
            settings=settings,
        )

    return declare


def sql_step(name: str, group: str, *, checks: Mapping[str, tuple[Check, ...]] | None = None) -> Recipe:
    """Declare a step that runs the SQL model of its name; it reads the tables that the model refers to."""

    def run(step: Step) -> pl.DataFrame:
        return step.run_sql(name)

    run.__name__ = name
    declared = dict(checks or {})
    return Recipe(
        function=run,
        tables=(name,),
        level=TABLES[name].level,
        group=group,
        kinds=frozenset({"sql", "duckdb", "parquet"}),
        reads=tuple(table for table in TABLES if table in sql_models()[name].refs),
        module=next((_path_of(check.judge.__module__) for check in declared.get(name, ())), ""),
        checks=declared,
    )


def sql_checks(table: str) -> tuple[Check, ...]:
    """Return the SQL tests of a table as checks; each row that a test returns is a fault."""

    def check_of(name: str, is_blocking: bool, description: str) -> Check:
        def evaluate(step: Step, rows: pl.LazyFrame) -> Outcome:
            faults = step.run_sql_test(table, name, rows)
            return Outcome(faults.is_empty(), {"n_faulty_rows": faults.height, "first": str(faults.head(3).to_dicts())})

        return Check(name, description, evaluate, is_blocking)

    return tuple(check_of(test.name, test.is_blocking, test.description) for test in sql_tests(table))


def _path_of(module: str) -> str:
    """Return a module's path from the package root."""
    return module.partition(".")[2].replace(".", "/")

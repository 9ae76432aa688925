"""How an asset is declared: one decorated function per step, independent of any study.

Here: the recipe of a step, its checks, the registry, the fingerprints of code, settings and prompts. Not here: which
code counts (source_code), Dagster definitions (build), running (step), any particular asset (its stage's file).
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.pipeline.code_text import contract_digest, sql_digest
from advcluster_dagster.pipeline.source_code import package_source
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.sql_models import sql_models, sql_tests
from advcluster_dagster.study.analysis import CheckBounds
from advcluster_dagster.study.partitions import Partition
from advcluster_dagster.study.study import Study

if TYPE_CHECKING:
    from advcluster_dagster.pipeline.step import Step

Frames = Mapping[str, pl.LazyFrame]
SettingsReader = Callable[[Study, Partition], Any]


@dataclass(frozen=True)
class Outcome:
    """What a check found; ``facts`` are shown beside it."""

    is_passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A check of one table's content; a blocking one stops what depends on the table, the others warn.

    ``judge`` is given the step, the rows and, where ``bound`` names one of the study's bounds of checks, its value. A
    step depends on the bounds that its checks name, so no check reads another one.
    """

    name: str
    description: str
    judge: Callable[..., Outcome]
    is_blocking: bool = False
    bound: str | None = None

    def __post_init__(self) -> None:
        if self.bound is not None and self.bound not in CheckBounds.model_fields:
            raise ValueError(
                f"check {self.name}: bound is {self.bound!r}; allowed: {', '.join(CheckBounds.model_fields)}"
            )

    def evaluate(self, step: "Step", rows: pl.LazyFrame) -> Outcome:
        """What the check says of the rows of one partition; a bound that the study sets itself is shown with its
        default.
        """
        if self.bound is None:
            return self.judge(step, rows)
        bound, default = getattr(step.study.checks, self.bound), CheckBounds.model_fields[self.bound].default
        outcome = self.judge(step, rows, bound)
        return outcome if bound == default else replace(outcome, facts={**outcome.facts, "default_bound": default})


@dataclass(frozen=True)
class Estimate:
    """Model calls a step would make: those the ledger cannot answer, their tokens and their cost.

    ``cost`` is in dollars, None where a price is not known; ``unpriced`` names the models without one. Hidden reasoning
    of models that the ledger knows nothing of is not in it: it may add ``reasoning_cost``. What is ``assumed`` beyond
    the inputs at hand is said, a phrase each.
    """

    n_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = 0.0
    assumed: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()
    reasoning_cost: float = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(
            self.n_calls + other.n_calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
            tuple(dict.fromkeys((*self.assumed, *other.assumed))),
            tuple(dict.fromkeys((*self.unpriced, *other.unpriced))),
            self.reasoning_cost + other.reasoning_cost,
        )


@dataclass(frozen=True)
class Recipe:
    """One step: the tables it makes, what it reads, and what its result depends on.

    ``inputs`` are loaded by the IO manager and given to ``function`` by name; ``reads`` are read by the function
    itself. ``module`` is the module of the package that declares it, empty for a step of SQL alone.
    ``settings`` gives the part of the study that the result depends on, ``sources`` facts about files outside the lake.
    """

    function: Callable[..., Any]
    tables: tuple[str, ...]
    level: PartitionLevel
    group: str
    kinds: frozenset[str]
    inputs: tuple[str, ...]
    reads: tuple[str, ...] = ()
    module: str = ""
    prompts: tuple[str, ...] = ()
    settings: SettingsReader = lambda _study, _partition: None
    sources: Callable[[Home, Study, Partition], Any] = lambda _home, _study, _partition: None
    checks: Mapping[str, tuple[Check, ...]] = field(default_factory=dict)
    estimate: Callable[["Step"], Estimate] | None = None

    @property
    def name(self) -> str:
        """Name of the step: its function's."""
        return self.function.__name__

    @property
    def upstream(self) -> tuple[str, ...]:
        """Every table the step depends on."""
        return tuple(dict.fromkeys((*self.inputs, *self.reads)))

    @property
    def asks_models(self) -> bool:
        """Whether the step makes model calls: it then says how many."""
        return self.estimate is not None

    def checks_of(self, table: str) -> tuple[Check, ...]:
        """Checks declared in Python, in order; the contract's and the SQL tests come on top."""
        return self.checks.get(table, ())

    @property
    def bounds(self) -> tuple[str, ...]:
        """Names of the bounds that its checks read."""
        named = (check.bound for checks in self.checks.values() for check in checks)
        return tuple(sorted({bound for bound in named if bound is not None}))

    @cached_property
    def code_parts(self) -> dict[str, str]:
        """Hashes of everything written by hand whose change may change the rows or the checks, by a name for people:
        modules, SQL, contracts. Taken once, since a process runs the code that it began with.

        Raises:
            SourceError: a source file of the program is missing.
        """
        is_page = self.tables[0] not in TABLES
        parts = package_source().parts(self.module, self.name, is_page) if self.module else {}
        for table in () if is_page else self.tables:
            if table in sql_models():
                parts[f"SQL of {table}"] = sql_digest([sql_models()[table].source])
            if sql_tests(table):
                parts[f"SQL tests of {table}"] = sql_digest([test.source for test in sql_tests(table)])
            parts[f"contract of {table}"] = contract_digest(TABLES[table])
        return parts

    @cached_property
    def code_fingerprint(self) -> str:
        """Hash of ``code_parts``, 16 hex digits."""
        return fingerprint([self.code_parts])

    @property
    def prompts_fingerprint(self) -> str:
        """Hash of the prompt files; 16 hex digits."""
        return fingerprint([load_prompt(name).sha256 for name in self.prompts])

    def settings_fingerprint(self, home: Home, study: Study, partition: Partition) -> str:
        """Hash of the settings and of outside files that one partition depends on; 16 hex digits."""
        return fingerprint([*self._settings(home, study, partition).values()])

    def made_from(self, home: Home, study: Study, partition: Partition) -> dict[str, Any]:
        """What the fingerprints are of, so that a later difference can be named: hashes of the parts of the code and
        of the prompts, the settings themselves.
        """
        return {
            "code": self.code_parts,
            "prompts": {name: load_prompt(name).sha256 for name in self.prompts},
            **self._settings(home, study, partition),
        }

    def _settings(self, home: Home, study: Study, partition: Partition) -> dict[str, Any]:
        return {
            "settings": self.settings(study, partition),
            "sources": self.sources(home, study, partition),
            "bounds": study.checks.model_dump(mode="json", include={*self.bounds}) or None,
        }


#: Steps as the stages declare them; ``stages`` puts them in the order of the data flow.
DECLARED: list[Recipe] = []


def table_step(
    group: str, *, tables: Sequence[str] = (), kinds: Sequence[str] = ("polars",), **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a step. Its parameters after the first name the tables it is given; its own name is its table.

    Args:
        group: stage, as the UI groups it.
        tables: the tables it makes where there are several; it then returns a mapping by name.
        kinds: what the UI shows it is made with.
        options: further fields of :class:`Recipe`.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        made = tuple(tables) or (function.__name__,)
        level = TABLES[made[0]].level
        inputs = tuple(inspect.signature(function).parameters)[1:]
        module = _path_of(function.__module__)
        recipe = Recipe(function, made, level, group, frozenset(kinds) | {"parquet"}, inputs, module=module, **options)
        DECLARED.append(recipe)
        return function

    return declare


def page_step(
    group: str, *, kinds: Sequence[str], reads: Sequence[str], **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a step of the whole study that makes a page instead of a table, named as its function.

    Args:
        group: stage, as the UI groups it.
        kinds: what the UI shows it is made with.
        reads: tables that it reads.
        options: further fields of :class:`Recipe`.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        name, module = function.__name__, _path_of(function.__module__)
        recipe = Recipe(function, (name,), "study", group, frozenset(kinds), (), tuple(reads), module, **options)
        DECLARED.append(recipe)
        return function

    return declare


def sql_step(
    name: str,
    group: str,
    *,
    checks: Sequence[Check] = (),
    illustrate: Callable[["Step", pl.DataFrame], None] | None = None,
) -> None:
    """Declare a step that runs the SQL model of its name; what it reads is what the model refers to.

    ``illustrate`` may add figures of the rows to the step.
    """

    def run(step: "Step") -> pl.DataFrame:
        rows = step.run_sql(name)
        if illustrate is not None:
            illustrate(step, rows)
        return rows

    run.__name__ = name
    reads = tuple(table for table in TABLES if table in sql_models()[name].refs)
    DECLARED.append(
        Recipe(
            run,
            (name,),
            TABLES[name].level,
            group,
            frozenset({"sql", "duckdb", "parquet"}),
            (),
            reads,
            module=next((_path_of(check.judge.__module__) for check in checks), ""),
            checks={name: tuple(checks)},
        )
    )


def sql_checks(table: str) -> tuple[Check, ...]:
    """The SQL tests of a table as checks: rows returned are faults."""

    def check_of(name: str, is_blocking: bool, description: str) -> Check:
        def evaluate(step: "Step", rows: pl.LazyFrame) -> Outcome:
            faults = step.run_sql_test(table, name, rows)
            return Outcome(faults.is_empty(), {"n_faulty_rows": faults.height, "first": str(faults.head(3).to_dicts())})

        return Check(name, description, evaluate, is_blocking)

    return tuple(check_of(test.name, test.is_blocking, test.description) for test in sql_tests(table))


def _path_of(module: str) -> str:
    """A module of the package by its path from the package's root."""
    return module.partition(".")[2].replace(".", "/")


def fingerprint(parts: Sequence[Any]) -> str:
    """Hash of JSON-able parts, 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

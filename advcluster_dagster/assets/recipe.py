"""How an asset is declared: one decorated function per step, independent of any study.

Here: the recipe of a step, its checks, the registry, the fingerprints of code, settings and prompts. Not here: Dagster
definitions (build), running (step), any particular asset (its stage's file).
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.partitions import Partition
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.sql_models import sql_models, sql_tests
from advcluster_dagster.study import Study

if TYPE_CHECKING:
    from advcluster_dagster.assets.step import Step

_PACKAGE = Path(__file__).resolve().parent.parent
_SOURCE_SUFFIXES = (".py", ".j2", ".css", ".js")
Frames = Mapping[str, pl.LazyFrame]
SettingsReader = Callable[[Study, Partition], Any]


@dataclass(frozen=True)
class Outcome:
    """What a check found; ``facts`` are shown beside it."""

    is_passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A check of one table's content; a blocking one stops what depends on the table, the others warn."""

    name: str
    description: str
    evaluate: Callable[["Step", pl.LazyFrame], Outcome]
    is_blocking: bool = False


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
    itself.
    ``settings`` gives the part of the study that the result depends on, ``sources`` facts about files outside the lake.
    """

    function: Callable[..., Any]
    tables: tuple[str, ...]
    level: PartitionLevel
    group: str
    kinds: frozenset[str]
    inputs: tuple[str, ...]
    reads: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
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

    @cached_property
    def code_parts(self) -> dict[str, str]:
        """Text of everything whose change makes the step's result doubtful, by a name for people. Taken once, since a
        process runs the code that it began with.
        """
        parts = {self.name: inspect.getsource(self.function), **{name: _source_of(name) for name in self.code}}
        parts |= {f"SQL of {table}": sql_models()[table].source for table in self.tables if table in sql_models()}
        return parts | {f"contract of {table}": repr(TABLES[table]) for table in self.tables if table in TABLES}

    @cached_property
    def code_fingerprint(self) -> str:
        """Hash of the function, the modules in ``code``, the SQL model and the contracts; 16 hex digits."""
        return fingerprint([*self.code_parts.values()])

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
            "code": {name: fingerprint([text]) for name, text in self.code_parts.items()},
            "prompts": {name: load_prompt(name).sha256 for name in self.prompts},
            **self._settings(home, study, partition),
        }

    def _settings(self, home: Home, study: Study, partition: Partition) -> dict[str, Any]:
        return {
            "settings": self.settings(study, partition),
            "sources": self.sources(home, study, partition),
            "bounds": study.checks.model_dump(mode="json") if self.checks else None,
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
        level = TABLES[made[0]].level if made[0] in TABLES else "study"
        inputs = tuple(inspect.signature(function).parameters)[1:]
        DECLARED.append(Recipe(function, made, level, group, frozenset(kinds) | {"parquet"}, inputs, **options))
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


@cache
def _source_of(name: str) -> str:
    """Source text of a module or of a whole package, its templates included; named from the package's root
    (``science/grading``).
    """
    path = _PACKAGE / name
    inside = sorted(file for file in path.rglob("*") if file.suffix in _SOURCE_SUFFIXES)
    files = inside if path.is_dir() else [path.with_suffix(".py")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def fingerprint(parts: Sequence[Any]) -> str:
    """Hash of JSON-able parts, 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

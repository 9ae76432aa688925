"""Recipe of a step: its tables, inputs and dependencies, and their fingerprints.

Recipes are declared by ``pipeline/declare.py``; ``source_code.py`` decides which source code counts.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.pipeline.checks import Check
from advcluster_dagster.pipeline.code_text import contract_digest, sql_digest
from advcluster_dagster.pipeline.source_cache import cached_parts
from advcluster_dagster.pipeline.source_code import package_source
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.sql_models import sql_models, sql_tests
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

SettingsReader = Callable[[Study, Partition], Any]
SourcesReader = Callable[[Home, Study, Partition], Any]


@dataclass(frozen=True)
class Estimate:
    """Estimated model calls of a step that the ledger cannot answer, with tokens and cost.

    ``cost`` is in dollars, None if a price is unknown; ``unpriced`` names the models without a price. It excludes
    hidden reasoning of models without calls in the ledger, which may add ``reasoning_cost``. ``assumed`` has one phrase
    per assumption.
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
    """One step: the tables it makes, its inputs, and what its result depends on.

    Attributes:
        function: called with the running step, and with its inputs by name.
        tables: tables that it makes; a page step makes one page of its name instead.
        inputs: tables that are read before the call and passed to the function by name.
        lazy_inputs: those inputs that are passed as a LazyFrame.
        reads: tables that the function reads itself.
        module: module that declares it, as a path from the package; empty for a step of SQL only.
        settings: returns the part of the study that the result depends on.
        sources: returns facts about files outside the lake that it depends on.
        estimate: estimates the model calls of the step; None for a step without model calls.
    """

    function: Callable[..., Any]
    tables: tuple[str, ...]
    level: PartitionLevel
    group: str
    kinds: frozenset[str]
    inputs: tuple[str, ...] = ()
    lazy_inputs: frozenset[str] = frozenset()
    reads: tuple[str, ...] = ()
    module: str = ""
    prompts: tuple[str, ...] = ()
    settings: SettingsReader = lambda _study, _partition: None
    sources: SourcesReader = lambda _home, _study, _partition: None
    checks: Mapping[str, tuple[Check, ...]] = field(default_factory=dict)
    estimate: Callable[[Any], Estimate] | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(self.checks.keys() - {*self.tables}):
            raise ValueError(f"step {self.name}: checks of {', '.join(unknown)}; its tables: {', '.join(self.tables)}")

    @property
    def name(self) -> str:
        """Name of the step: its function's."""
        return self.function.__name__

    def is_on(self, study: Study) -> bool:
        """Return whether a study has the step: its tables need no section, or the study has that section."""
        return self.makes_page or is_table_on(self.tables[0], study)

    @property
    def makes_page(self) -> bool:
        """Whether the step makes a page of the study instead of tables."""
        return self.tables[0] not in TABLES

    @property
    def upstream(self) -> tuple[str, ...]:
        """All tables that the step depends on."""
        return tuple(dict.fromkeys((*self.inputs, *self.reads)))

    @property
    def asks_models(self) -> bool:
        """Whether the step makes model calls; it then has an estimate of them."""
        return self.estimate is not None

    def checks_of(self, table: str) -> tuple[Check, ...]:
        """Return the checks declared in Python, in order, without the contract's check and the SQL tests."""
        return self.checks.get(table, ())

    @property
    def bounds(self) -> tuple[str, ...]:
        """Names of the bounds that its checks read."""
        bounds = (check.bound for checks in self.checks.values() for check in checks)
        return tuple(sorted({bound for bound in bounds if bound is not None}))

    @cached_property
    def code_parts(self) -> dict[str, str]:
        """Hashes of the modules, SQL and contracts that rows and checks depend on, by readable name.

        Computed once, since a process keeps running the code that it started with.

        Raises:
            SourceError: a source file of the program is missing.
        """
        parts = self._module_parts() if self.module else {}
        for table in () if self.makes_page else self.tables:
            if table in sql_models():
                parts[f"SQL of {table}"] = sql_digest([sql_models()[table].source])
            if sql_tests(table):
                parts[f"SQL tests of {table}"] = sql_digest([test.source for test in sql_tests(table)])
            parts[f"contract of {table}"] = contract_digest(TABLES[table])
        return parts

    def _module_parts(self) -> dict[str, str]:
        name = f"{self.module}:{self.name}:{self.makes_page}"
        return {**cached_parts(name, lambda: package_source().parts(self.module, self.name, self.makes_page))}

    @cached_property
    def code_fingerprint(self) -> str:
        """Hash of ``code_parts``, 16 hex digits."""
        return fingerprint([self.code_parts])

    @property
    def prompts_fingerprint(self) -> str:
        """Hash of the prompt files; 16 hex digits."""
        return fingerprint([load_prompt(name).sha256 for name in self.prompts])

    @property
    def prompt_parts(self) -> dict[str, str]:
        """Hash of each prompt file, by name."""
        return {name: load_prompt(name).sha256 for name in self.prompts}

    def setting_parts(self, home: Home, study: Study, partition: Partition) -> dict[str, str]:
        """Hashes of the settings, of the facts about outside files, and of each bound of a check, by name."""
        parts = self._settings(home, study, partition)
        bounds = {f"bound {name}": value for name, value in (parts["bounds"] or {}).items()}
        named = {"settings": parts["settings"], "imported or other outside files": parts["sources"], **bounds}
        return {name: fingerprint([value]) for name, value in named.items()}

    def settings_fingerprint(self, home: Home, study: Study, partition: Partition) -> str:
        """Hash the settings and the facts about outside files that a partition depends on; 16 hex digits."""
        return fingerprint([*self._settings(home, study, partition).values()])

    def provenance(self, home: Home, study: Study, partition: Partition) -> dict[str, Any]:
        """Return the content of the fingerprints, to explain later differences.

        These are the hashes of code parts and prompts, and the settings themselves.
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


def is_table_on(table: str, study: Study) -> bool:
    """Return whether a study has a table: it needs no section, or the study has that section."""
    section = TABLES[table].section
    return section is None or getattr(study, section) is not None


def fingerprint(parts: Sequence[Any]) -> str:
    """Hash JSON-serialisable parts; 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

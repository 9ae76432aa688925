"""What a step is: the tables it makes, what it reads, what its result depends on, and their fingerprints.

The declarations are made by ``pipeline/declare.py``; which source code counts is decided in ``source_code.py``.
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
    """Model calls a step would make: those the ledger cannot answer, their tokens and their cost.

    ``cost`` is in dollars, None where a price is not known; ``unpriced`` names the models without one. Hidden reasoning
    of models that the ledger knows nothing of is not in it: it may add ``reasoning_cost``. ``assumed``
    names each assumption that the present inputs do not settle, in a phrase.
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

    Attributes:
        function: called with the running step, and with its inputs by name.
        tables: what it makes; a page step makes one page of its name instead.
        inputs: tables that are read before the function is called and given to it by name.
        lazy_inputs: of these, the ones given as a LazyFrame.
        reads: tables that the function reads itself.
        module: module of the package that declares it, as a path from the package; empty for a step of SQL alone.
        settings: gives the part of the study that the result depends on.
        sources: gives facts about files outside the lake that it depends on.
        estimate: gives the model calls that the step would make; None for a step that makes none.
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

    @property
    def name(self) -> str:
        """Name of the step: its function's."""
        return self.function.__name__

    def is_on(self, study: Study) -> bool:
        """Whether a study has the step: it has the section that asks for its tables, or none has to."""
        return self.makes_page or is_table_on(self.tables[0], study)

    @property
    def makes_page(self) -> bool:
        """Whether the step makes a page of the study instead of tables."""
        return self.tables[0] not in TABLES

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

    def settings_fingerprint(self, home: Home, study: Study, partition: Partition) -> str:
        """Hash of the settings and of outside files that one partition depends on; 16 hex digits."""
        return fingerprint([*self._settings(home, study, partition).values()])

    def provenance(self, home: Home, study: Study, partition: Partition) -> dict[str, Any]:
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


def is_table_on(table: str, study: Study) -> bool:
    """Whether a study has a table: no section has to ask for it, or the section is there."""
    section = TABLES[table].section
    return section is None or getattr(study, section) is not None


def fingerprint(parts: Sequence[Any]) -> str:
    """Hash of JSON-able parts, 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

"""Status per step and partition: fresh, stale, missing, failed or blocked, with the reasons."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES, recipe_of, recipes_of
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.recipe import Recipe
from advcluster_dagster.pipeline.stamps import expected_stamp, has_sources, upstream_partitions
from advcluster_dagster.planning.partition_state import Fault, FaultKind, TableHealth, table_health
from advcluster_dagster.storage.faults import DamagedFileError
from advcluster_dagster.storage.pages import read_report_stamp
from advcluster_dagster.storage.table_files import RERUN_REMEDY, Stamp, file_fault, read_stamp, table_path
from advcluster_dagster.study.partition import Partition, all_partitions
from advcluster_dagster.study.study import Study

State = Literal["fresh", "stale", "missing", "failed", "blocked", "no sources"]
StepKey = tuple[str, Partition]
#: Maximum number of changed code parts that a reason lists; the others are counted.
_N_NAMED = 3


class ReasonKind(StrEnum):
    """Why a step has to run.

    ``EARLIER_VERSION``: made by an earlier version of the program, without a comparable record. ``CODE``,
    ``SETTINGS``, ``PROMPT``, ``INPUT``: its code, settings, prompts or input rows changed. ``FOLLOWS``: an upstream
    step has to run. ``UNRECORDED``: its file is not in the history. ``FAILED_CALLS``: it has failed model calls to
    repeat. ``DAMAGED``: its file is unreadable, was changed, or is missing.
    """

    EARLIER_VERSION = "earlier version"
    CODE = "code"
    SETTINGS = "settings"
    PROMPT = "prompt"
    INPUT = "input"
    FOLLOWS = "follows"
    UNRECORDED = "unrecorded"
    FAILED_CALLS = "failed calls"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Reason:
    """Why a step has to run; ``text`` describes it on one line."""

    kind: ReasonKind
    text: str


@dataclass(frozen=True)
class StepStatus:
    """State of one step on one partition; ``reasons`` why it is not fresh, or faults if it failed or is blocked."""

    step: str
    partition: Partition
    state: State
    reasons: tuple[Reason | Fault, ...] = ()
    n_failures: int = 0

    @property
    def must_run(self) -> bool:
        """Whether a run of the study would run the step."""
        return self.state in ("stale", "missing", "failed")

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts of the reasons."""
        return tuple(reason.text for reason in self.reasons)


class StatusReader:
    """Reads and caches stamps and histories of tables, until a run changes them (:meth:`forget`)."""

    def __init__(self, platform: Platform, study: Study, instance: dg.DagsterInstance) -> None:
        self.platform, self.study, self._instance = platform, study, instance
        self._stamps: dict[tuple[str, Partition], Stamp | None] = {}
        self._damages: dict[tuple[str, Partition], str] = {}
        self._health: dict[str, TableHealth] = {}
        self._has_sources: dict[Partition, bool] = {}

    def stamp(self, table: str, partition: Partition) -> Stamp | None:
        """Return the stamp of a file; None if the file is missing or damaged (:meth:`damages`)."""
        place = table, partition
        if place not in self._stamps:
            self._stamps[place] = None
            try:
                self._stamps[place] = (
                    self._table_stamp(table, partition)
                    if table in TABLES
                    else read_report_stamp(self.platform.home.reports, self.study.study, table)
                )
            except DamagedFileError as error:
                self._damages[place] = str(error)
        return self._stamps[place]

    def damages(self, recipe: Recipe, partition: Partition) -> list[Reason]:
        """Return one reason per damaged file of a step."""
        places = [(table, partition) for table in recipe.tables]
        return [Reason(ReasonKind.DAMAGED, self._damages[place]) for place in places if place in self._damages]

    def _table_stamp(self, table: str, partition: Partition) -> Stamp | None:
        """Return the stamp of a table's file; if the file was modified since it was written, verify its rows.

        Raises:
            DamagedFileError: its rows do not match the stamp.
        """
        path = table_path(self.platform.home.lake, self.study.study, table, partition)
        stamp = read_stamp(path)
        try:
            fault = file_fault(path, stamp)
        except FileNotFoundError:
            return None
        if fault is not None:
            raise DamagedFileError(fault)
        return stamp

    def losses(self, recipe: Recipe, partition: Partition) -> list[Reason]:
        """Return one reason per file of a step that was materialised and is missing."""
        home, name = self.platform.home, self.study.study
        return [
            Reason(
                ReasonKind.DAMAGED,
                f"{table_path(home.lake, name, table, partition)} was made, but is missing; {RERUN_REMEDY}",
            )
            for table in recipe.tables
            if table in TABLES and partition in self.health(table).versions and self.stamp(table, partition) is None
        ]

    def has_sources(self, partition: Partition) -> bool:
        """Return whether a partition's questions and, if it has a family, traces are available."""
        if partition not in self._has_sources:
            self._has_sources[partition] = has_sources(self.platform.home, self.study, partition)
        return self._has_sources[partition]

    def health(self, table: str) -> TableHealth:
        """Return data versions and faults of a table's partitions."""
        if table not in self._health:
            unread = [name for recipe in recipes_of(self.study) for name in recipe.tables if name not in self._health]
            self._health |= table_health(self._instance, self.study.study, unread)
        return self._health[table]

    def forget(self, steps: Collection[str]) -> None:
        """Drop cached stamps and histories of these steps' tables, because a run has made them."""
        tables = {table for step in steps for table in RECIPES[step].tables}
        for table in tables:
            self._health.pop(table, None)
        for place in [*self._stamps, *self._damages]:
            if place[0] in tables:
                self._stamps.pop(place, None)
                self._damages.pop(place, None)


def study_status(
    platform: Platform,
    study: Study,
    instance: dg.DagsterInstance,
    retry_failed: bool = False,
    reader: StatusReader | None = None,
) -> dict[StepKey, StepStatus]:
    """Return the status of every step and partition of a study, in data-flow order.

    With ``retry_failed``, a step with failed model calls is stale. A ``reader`` caches stamps and histories between
    calls.

    Raises:
        LedgerError: the ledger is damaged or missing, so that nothing should run.
    """
    _ = platform.ledger
    reader, statuses = reader or StatusReader(platform, study, instance), dict[StepKey, StepStatus]()
    for recipe in recipes_of(study):
        for partition in all_partitions(study, recipe.level):
            statuses[recipe.name, partition] = _status(reader, recipe, partition, statuses, retry_failed)
    return statuses


def _status(
    reader: StatusReader, recipe: Recipe, partition: Partition, statuses: dict[StepKey, StepStatus], retry_failed: bool
) -> StepStatus:
    if not reader.has_sources(partition):
        return StepStatus(recipe.name, partition, "no sources")
    stamps = [reader.stamp(table, partition) for table in recipe.tables]
    faults = [fault for table in recipe.tables if (fault := reader.health(table).faults.get(partition))]
    present = [stamp for stamp in stamps if stamp is not None]
    n_failures = max((int(stamp.notes.get("n_failures") or 0) for stamp in present), default=0)
    waiting = _upstream_to_run(reader.study, recipe, partition, statuses)
    if damages := reader.damages(recipe, partition):
        return StepStatus(recipe.name, partition, "stale", (*damages, *waiting), n_failures)
    if len(present) < len(stamps):
        # A step downstream of a failed one was never tried, even if its run failed.
        if faults and not waiting:
            return StepStatus(recipe.name, partition, "failed", tuple(faults))
        return StepStatus(recipe.name, partition, "missing", (*reader.losses(recipe, partition), *waiting))
    expected = expected_stamp(recipe, reader.platform.home, reader.study, partition, reader.stamp)
    reasons: list[Reason] = [*differences(present[0], expected), *waiting]
    for table, stamp in zip(recipe.tables, present, strict=True):
        if reader.health(table).versions.get(partition) != stamp.content_hash:
            reasons.append(Reason(ReasonKind.UNRECORDED, f"{table} is not recorded as materialised"))
    if retry_failed and n_failures:
        reasons.append(Reason(ReasonKind.FAILED_CALLS, f"{n_failures} failed model calls to repeat"))
    if reasons:
        return StepStatus(recipe.name, partition, "stale", tuple(reasons), n_failures)
    if faults:
        state: State = "blocked" if any(fault.kind == FaultKind.CHECK for fault in faults) else "failed"
        return StepStatus(recipe.name, partition, state, tuple(faults), n_failures)
    return StepStatus(recipe.name, partition, "fresh", (), n_failures)


def differences(kept: Stamp, expected: Stamp) -> Iterator[Reason]:
    """Yield one reason per difference between a file's stamp and the one expected now."""
    if not kept.code_parts and kept.code != expected.code:
        # Settings were also hashed differently then, and inputs have been added since.
        yield Reason(ReasonKind.EARLIER_VERSION, "code changed: made by an earlier version of this program")
        return
    if kept.code != expected.code:
        yield Reason(ReasonKind.CODE, f"code changed: {_named(_changed(kept.code_parts, expected.code_parts))}")
    if kept.settings != expected.settings:
        changed = _changed(kept.setting_parts, expected.setting_parts) if kept.setting_parts else []
        yield Reason(ReasonKind.SETTINGS, f"{_named(changed) or 'settings'} changed")
    if kept.prompts != expected.prompts:
        changed = _changed(kept.prompt_parts, expected.prompt_parts) if kept.prompt_parts else []
        yield Reason(ReasonKind.PROMPT, f"prompt changed: {_named(changed)}" if changed else "prompt changed")
    for name in dict.fromkeys([*kept.upstream, *expected.upstream]):
        if kept.upstream.get(name) != expected.upstream.get(name):
            yield Reason(ReasonKind.INPUT, f"{name} changed")


def _changed(kept: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Return the names of the parts (modules, contracts, SQL; settings; prompts) whose hashes differ."""
    return [name for name in sorted(kept.keys() | expected.keys()) if kept.get(name) != expected.get(name)]


def _named(changed: Sequence[str]) -> str:
    """List the first few names."""
    more = f" and {len(changed) - _N_NAMED} more" if len(changed) > _N_NAMED else ""
    return ", ".join(changed[:_N_NAMED]) + more


def _upstream_to_run(
    study: Study, recipe: Recipe, partition: Partition, statuses: dict[StepKey, StepStatus]
) -> list[Reason]:
    """Return a reason if upstream steps have to run, so that this step follows them; at most one."""
    keys = {key for table in recipe.upstream for key in _keys_of(study, table, partition)}
    waiting = sorted(key for key in keys if key in statuses and statuses[key].must_run)
    if not waiting:
        return []
    name, candidate = waiting[0]
    more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    return [Reason(ReasonKind.FOLLOWS, f"follows {name} of {candidate.label}{more}")]


def _keys_of(study: Study, table: str, partition: Partition) -> list[StepKey]:
    """Return the steps and partitions that make the files of an upstream table that a partition reads."""
    step = recipe_of(table).name
    return [(step, candidate) for candidate in upstream_partitions(study, partition, TABLES[table].level)]


def damaged_inputs(
    study: Study, status: StepStatus, statuses: Mapping[StepKey, StepStatus], made: Collection[StepKey]
) -> list[str]:
    """Return one line per damaged input of a step that no step of ``made`` makes again first."""
    keys = {key for table in RECIPES[status.step].upstream for key in _keys_of(study, table, status.partition)}
    return [
        reason.text
        for key in sorted(keys - set(made))
        if key in statuses
        for reason in statuses[key].reasons
        if reason.kind == ReasonKind.DAMAGED
    ]


def missing_inputs(
    study: Study, status: StepStatus, statuses: Mapping[StepKey, StepStatus], made: Collection[StepKey]
) -> list[str]:
    """Return one line per input table of a step that neither exists nor is made first by ``made``."""
    lines = list[str]()
    if RECIPES[status.step].makes_page:  # a page shows the tables that exist
        return lines
    for table in RECIPES[status.step].upstream:
        keys = [key for key in _keys_of(study, table, status.partition) if key in statuses]
        states = {"fresh" if key in made else statuses[key].state for key in keys}
        if "missing" in states and states <= {"missing", "no sources"}:
            first = RECIPES[status.step].tables[0]
            lines.append(f"{first} needs {table}, which does not exist yet; --select +{first} makes both")
    return lines

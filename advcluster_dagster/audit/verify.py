"""Verify everything that a result depends on: files, hashes, references, model calls."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import polars as pl

from advcluster_dagster.audit.files import TableFile, read_table_file, stamp_of
from advcluster_dagster.audit.history import Materialisation, latest_materialisations
from advcluster_dagster.audit.judge_calls import (
    JudgeCalls,
    check_embeddings,
    check_extraction,
    check_naming,
    check_reviews,
    other_prompts,
)
from advcluster_dagster.audit.records import AuditError, Break, Place, TableCount, partition_named
from advcluster_dagster.audit.references import Rows, check_references
from advcluster_dagster.audit.trace_calls import check_imported, check_sampled, lost_traces
from advcluster_dagster.contracts.columns import ROLES, Role
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.ledger.entries import LedgerEntry, entries_used
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.models.protocol import CallFailure, call_id_of
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import table_path
from advcluster_dagster.study.partition import Partition, all_partitions
from advcluster_dagster.study.study import Study

#: Tables from which an audit of a whole study starts: the results about accuracy, taxonomy and error dispersion.
RESULTS = (
    "paired_accuracies",
    "gap_tests",
    "selection_reliabilities",
    "evidence_checks",
    "candidate_stabilities",
    "cluster_stabilities",
    "final_taxonomy",
    "taxonomy_assignments",
    "domain_distribution",
    "domain_shares",
    "worked_cases",
    "name_checks",
    "error_dispersion",
    "edi_summary",
    "dispersion_tests",
    "stage_shares",
    "themes",
    "theme_members",
    "theme_tests",
    "pattern_matches",
)
#: Tables of counted replies; only the ids of their calls are verified.
_COUNTED = ("name_checks", "themes")
_EXTRACTED = ("advantage_corpus", "first_errors", "extraction_failures")
_LEVELS = ("domain", "family_domain", "family", "study")


@dataclass
class Verification:
    """Everything that an audit read, and its results.

    ``calls`` gives the call of a row by (table, partition) and the row's key. ``notes`` name what could not be
    recomputed because the program has changed; they are not breaks.
    """

    study: Study
    files: dict[str, dict[Partition, TableFile]] = field(default_factory=dict)
    made: dict[str, dict[Partition, Materialisation]] = field(default_factory=dict)
    counts: dict[str, TableCount] = field(default_factory=dict)
    calls: dict[Place, dict[tuple[Any, ...], str]] = field(default_factory=dict)
    breaks: list[Break] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> Rows:
        """The rows of all files."""
        return Rows(self.files)

    @property
    def is_intact(self) -> bool:
        """Whether every link holds."""
        return not self.breaks


def verify(
    home: Home, study: Study, instance: dg.DagsterInstance, ledger: Ledger, roots: Iterable[Place] = ()
) -> Verification:
    """Verify these table partitions and everything upstream of them; without ``roots``, all results of the study.

    Raises:
        AuditError: the study has no results yet.
    """
    return _Verifier(home, study, instance, ledger).run(list(roots))


class _Verifier:
    def __init__(self, home: Home, study: Study, instance: dg.DagsterInstance, ledger: Ledger) -> None:
        self._home, self._study, self._instance, self._ledger = home, study, instance, ledger
        self._verification = Verification(study)

    def run(self, roots: Sequence[Place]) -> Verification:
        result = self._verification
        places = self._reached(roots or self._results())
        for table in (name for name in TABLES if any(name == place[0] for place in places)):
            result.counts[table] = TableCount(table)
            result.files[table] = {}
        for level in _LEVELS:
            for partition in dict.fromkeys(place[1] for place in places if TABLES[place[0]].level == level):
                self._verify_partition([table for table, other in places if other == partition], partition)
        for files in result.files.values():
            for file in files.values():
                self._compare_upstream(file)
        result.breaks += check_references(Rows(result.files), result.counts)
        self._order()
        return result

    def _results(self) -> list[Place]:
        """Return every partition of the results that was ever materialised."""
        places = [
            (table, partition)
            for table in RESULTS
            for partition in all_partitions(self._study, TABLES[table].level)
            if partition in self._made(table) or self._path(table, partition).exists()
        ]
        if not places:
            raise AuditError(f"study {self._study.study}: nothing to audit yet; run the study first")
        return places

    def _reached(self, roots: Sequence[Place]) -> list[Place]:
        """Return the roots and everything upstream of them, according to the event log or the files' stamps."""
        reached, waiting = dict.fromkeys(roots), list(roots)
        while waiting:
            table, partition = waiting.pop()
            upstream = [name.partition("@") for name in self._upstream(table, partition)]
            places = [
                (name, partition_named(TABLES[name].level, label)) for name, _, label in upstream if name in TABLES
            ]
            # The extractor's replies fill three tables: a pair is in the corpus and the errors, or in the failures.
            places += [(name, partition) for name in _EXTRACTED if table in _EXTRACTED]
            if table == "graded_trials" and partition in self._made("grading_panel"):
                places.append(("grading_panel", partition))
            for place in places:
                if place not in reached:
                    reached[place] = None
                    waiting.append(place)
        order = {table: number for number, table in enumerate(TABLES)}
        return sorted(reached, key=lambda place: (order[place[0]], place[1].label))

    def _upstream(self, table: str, partition: Partition) -> Mapping[str, str]:
        event = self._made(table).get(partition)
        if event and event.upstream:
            return event.upstream
        stamp = stamp_of(self._path(table, partition))
        return stamp.upstream if stamp else {}

    def _made(self, table: str) -> dict[Partition, Materialisation]:
        if table not in self._verification.made:
            self._verification.made[table] = latest_materialisations(self._instance, self._study.study, table)
        return self._verification.made[table]

    def _path(self, table: str, partition: Partition) -> Any:
        return table_path(self._home.lake, self._study.study, table, partition)

    def _verify_partition(self, tables: Sequence[str], partition: Partition) -> None:
        """Read the files of one partition, verify them against the ledger, and drop the traces' texts from memory."""
        files = {}
        for table in tables:
            file = read_table_file(table, partition, self._path(table, partition), self._made(table).get(partition))
            files[table] = self._verification.files[table][partition] = file
            count = self._verification.counts[table]
            count.n_files, count.n_rows = count.n_files + 1, count.n_rows + file.rows.height
            count.n_hashes += file.n_hashes
            self._verification.breaks += file.breaks
        for role in ROLES:
            if f"{role}_traces" in files:
                self._verify_traces(role, partition, files)
        self._verify_judges(partition, files)
        for role in ROLES:
            if traces := files.get(f"{role}_traces"):
                traces.rows = traces.rows.drop("response")

    def _verify_traces(self, role: Role, partition: Partition, files: Mapping[str, TableFile]) -> None:
        table = f"{role}_traces"
        file = files[table]
        if not file.is_sound and "graded_trials" in files:
            self._verification.breaks += lost_traces(table, partition, role, file.rows, files["graded_trials"].rows)
        if self._study.families[str(partition.family)].model_of(role).provider == "imported":
            event = self._made(table).get(partition)
            if event:
                self._verification.breaks += check_imported(
                    self._home, self._study, table, role, partition, file.rows, event
                )
            return
        entries, questions = self._entries(table, partition), self._questions(partition)
        if questions is None:
            return
        calls, breaks = check_sampled(table, partition, file.rows, questions, entries)
        self._verification.breaks += breaks
        known = calls.drop_nulls("call_id")
        self._verification.calls[table, partition] = {tuple(key): call for *key, call in known.iter_rows()}
        self._verification.counts[table].n_calls += known.height

    def _questions(self, partition: Partition) -> pl.DataFrame | None:
        """Return the domain's questions; None if their file is not sound, as the prompts may then have changed."""
        file = self._verification.files.get("benchmark_questions", {}).get(partition.at("domain"))
        return file.rows if file and file.is_sound else None

    def _verify_judges(self, partition: Partition, files: Mapping[str, TableFile]) -> None:
        rows = {table: file.rows for table, file in files.items()}
        for table in _COUNTED:
            if table in files:
                self._verification.counts[table].n_calls += len(self._entries(table, partition))
        if "grading_panel" in files and rows["grading_panel"].height:
            self._entries("graded_trials", partition)
        if "advantage_corpus" in files and (texts := self._texts_of_pairs(partition, files)) is not None:
            entries = self._entries("advantage_corpus", partition)
            self._keep(check_extraction(partition, {**rows, "trace_pairs": texts}, entries))
            hashes = rows["advantage_corpus"]["prompt_hash"].unique()
            self._note(*(line for prompt_hash in hashes for line in other_prompts({"extraction": prompt_hash})))
        if "advantage_embeddings" in files and self._is_sound("advantage_corpus", partition):
            self._keep(check_embeddings(partition, rows, self._entries("advantage_embeddings", partition)))
        if "cluster_summaries" in files and self._is_sound("advantage_corpus", partition):
            corpus = [f.rows for p, f in self._verification.files["advantage_corpus"].items() if p.overlaps(partition)]
            rows["advantage_corpus"] = pl.concat(corpus)
            entries, prompt = self._entries("cluster_summaries", partition), self._prompt("naming", partition)
            self._keep(check_naming(partition, rows, entries, prompt))
        if "candidate_reviews" in files and self._is_sound("cluster_summaries", partition):
            entries, prompt = self._entries("candidate_reviews", partition), self._prompt("review", partition)
            self._keep(check_reviews(partition, rows, entries, prompt))

    def _is_sound(self, table: str, partition: Partition) -> bool:
        """Return whether all files of a table upstream of a partition are sound; faults are reported with the files."""
        files = [file for place, file in self._verification.files.get(table, {}).items() if place.overlaps(partition)]
        return bool(files) and all(file.is_sound for file in files)

    def _prompt(self, name: str, partition: Partition) -> str | None:
        """Return the hash of the prompt that the event log records for a family's names or reviews."""
        table = {"naming": "cluster_summaries", "review": "candidate_reviews"}[name]
        event = self._made(table).get(partition)
        prompt_hash: str | None = event.made_from.get("prompts", {}).get(name) if event else None
        self._note(*other_prompts({name: prompt_hash}))
        return prompt_hash

    def _texts_of_pairs(self, partition: Partition, files: Mapping[str, TableFile]) -> pl.DataFrame | None:
        """Return the pairs with question, both responses and answers; None if a file was not read or is not sound."""
        needed = [files.get(name) for name in ("trace_pairs", "larger_traces", "smaller_traces", "graded_trials")]
        questions = self._questions(partition)
        if questions is None or any(file is None or not file.is_sound for file in needed):
            return None
        pairs = files["trace_pairs"].rows
        texts = pairs.join(questions.select("question_id", "prompt"), on="question_id", how="left")
        for role in ROLES:
            texts_of_role = files[f"{role}_traces"].rows.select(
                "question_id", pl.col("trial").alias(f"{role}_trial"), pl.col("response").alias(f"{role}_response")
            )
            texts = texts.join(texts_of_role, on=["question_id", f"{role}_trial"], how="left")
            graded = files["graded_trials"].rows.filter(pl.col("role") == role)
            answers = graded.select(
                "question_id", pl.col("trial").alias(f"{role}_trial"), pl.col("prediction").alias(f"{role}_answer")
            )
            texts = texts.join(answers, on=["question_id", f"{role}_trial"], how="left")
        return texts

    def _entries(self, asset: str, partition: Partition) -> list[LedgerEntry]:
        """Return the ledger entries that a partition used, after recomputing their ids from their requests."""
        entries = entries_used(self._ledger, (self._study.study, asset, partition.label))
        self._verification.counts[asset].n_hashes += len(entries)
        for entry in entries:
            place = f"call {entry.call_id[:12]} in the ledger"
            if isinstance(entry.outcome, CallFailure) and entry.outcome.reason == "unreadable_entry":
                self._verification.breaks.append(
                    Break(asset, partition, f"{place} cannot be read: {entry.outcome.detail}")
                )
            elif call_id_of(entry.request) != entry.call_id:
                self._verification.breaks.append(
                    Break(asset, partition, f"{place} does not have the id of its request")
                )
        return entries

    def _keep(self, calls: JudgeCalls) -> None:
        self._verification.calls[calls.table, calls.partition] = calls.by_row
        self._verification.counts[calls.table].n_calls += len(calls.by_row)
        self._verification.breaks += calls.breaks

    def _note(self, *lines: str) -> None:
        self._verification.notes += [line for line in lines if line not in self._verification.notes]

    def _compare_upstream(self, file: TableFile) -> None:
        """Compare the input hashes in a file's stamp with the current files; unsound files are reported elsewhere."""
        for name, made_from in (file.stamp.upstream if file.stamp else {}).items():
            upstream = self._file_named(name)
            self._verification.counts[file.table].n_hashes += 1
            if upstream and upstream.is_sound and upstream.stamp and upstream.stamp.content_hash != made_from:
                now = upstream.stamp.content_hash[:12]
                place = f"{upstream.table} of {upstream.partition.label}"
                fault = f"was made from an earlier version of {place} ({made_from[:12]}; the current one is {now})"
                self._verification.breaks.append(Break(file.table, file.partition, fault))

    def _file_named(self, name: str) -> TableFile | None:
        """Return the file of TABLE@PARTITION; None for an invalid name from a damaged stamp."""
        table, _, label = name.partition("@")
        files = self._verification.files.get(table, {})
        return files.get(partition_named(TABLES[table].level, label)) if files else None

    def _order(self) -> None:
        """Sort breaks in data-flow order, whole files before their rows, and count them by table."""
        order = {table: number for number, table in enumerate(TABLES)}
        self._verification.breaks.sort(key=lambda b: (order[b.table], b.partition.label, b.row is not None))
        for item in self._verification.breaks:
            self._verification.counts[item.table].n_breaks += 1

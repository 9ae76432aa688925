"""Import traces from JSON Lines.

Memory holds one line, one row group per role and one bit per trial.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from advcluster_dagster.contracts.columns import ROLES, Role
from advcluster_dagster.contracts.inference import LARGER_TRACES
from advcluster_dagster.sources.imports import fields
from advcluster_dagster.sources.imports.copies import TrialHashes
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.fields import Field
from advcluster_dagster.sources.imports.json_lines import JsonLines, Progress
from advcluster_dagster.sources.imports.provenance import ImportOutcome, ImportSummary
from advcluster_dagster.sources.imports.question_match import QuestionMatch
from advcluster_dagster.sources.imports.questions import answer_text, check_answer_type, check_source_is_imported
from advcluster_dagster.sources.imports.staging import (
    BeforeStoring,
    StagedFile,
    Staging,
    questions_file,
    staging,
    store,
    traces_file,
)
from advcluster_dagster.sources.imports.targets import Naming, check_benchmark, family_models
from advcluster_dagster.study.study import Study

TRACE_COLUMNS = LARGER_TRACES.columns
_COLUMN_NAMES = tuple(column.name for column in TRACE_COLUMNS)

TRACE_FIELDS = {
    field.name: field
    for field in (
        Field("question_id", fields.is_name, fields.NAME, is_required=True),
        Field("model", fields.is_name, fields.NAME, is_required=True),
        Field("trial", fields.is_count, fields.COUNT, is_required=True),
        Field("response", fields.is_text_or_null, fields.TEXT_OR_NULL, is_required=True),
        Field("finish_reason", fields.is_name, fields.NAME),
        Field("prompt_tokens", fields.is_count, fields.COUNT),
        Field("completion_tokens", fields.is_count, fields.COUNT),
        Field("engine", fields.is_name, fields.NAME),
        Field("sampling", lambda value: isinstance(value, (dict, str)), "an object or text"),
        Field("recorded_correct", fields.is_flag, fields.FLAG),
        Field("benchmark", fields.is_name, fields.NAME),
        Field("domain", fields.is_name, fields.NAME),
        Field("family", fields.is_name, fields.NAME),
        Field("role", fields.is_name, fields.NAME),
        Field("label", fields.is_name, fields.NAME),
        Field("question", fields.is_text, fields.TEXT),
        Field("gold", fields.is_answer, fields.ANSWER),
        Field("options", lambda value: isinstance(value, (dict, list)), "a list of texts, or an object by letter"),
    )
}
# Fields of a trace that repeat its question, by column of `benchmark_questions`; they are compared with the import.
_OF_QUESTION = {"question": "question", "gold": "answer", "options": "answer_context"}


def import_traces(
    path: Path,
    study: Study,
    family: str,
    domain: str,
    benchmark: str,
    imports_root: Path,
    on_progress: Progress | None = None,
    answer_type: str | None = None,
    before_storing: BeforeStoring = store,
) -> ImportSummary:
    """Import traces of a family on a benchmark, replacing any imported before for the roles in the file.

    The model of a row determines its role; if both roles of the family use the same model with different settings, the
    row's field role or label does. Questions must have been imported; fields that repeat the question (question, gold,
    options) must agree with it. Trials that the file lacks stay missing.

    Args:
        path: JSON Lines, plain or gzipped, or a JSON array.
        study: The study.
        family: The family of the models.
        domain: Domain of the benchmark.
        benchmark: The benchmark.
        imports_root: Folder of imports.
        on_progress: Called with bytes processed and bytes in total.
        answer_type: If given, must be that of the questions.
        before_storing: Called once everything is read; an exception leaves the existing imports unchanged.

    Raises:
        ImportFileError: any input is invalid; nothing is imported then.
    """
    check_benchmark(study, domain, benchmark, path)
    check_source_is_imported(study, benchmark, path)
    known = family_models(study, family, path)
    expected = {"benchmark": benchmark, "domain": domain, "family": family}
    target = questions_file(imports_root, study.study, domain, benchmark)
    questions = _questions(target, study, domain, benchmark, path)
    check_answer_type(list(questions.values()), answer_type, benchmark, path, target)
    match = QuestionMatch(benchmark, "import the traces under another benchmark name, or import the questions again")
    trials = TrialSet(list(questions), study)
    with staging(imports_root, study.study) as files:
        rows = TraceFiles(files, study, family, domain, benchmark, imports_root)
        lines = JsonLines(path, on_progress)
        try:
            for where, record in lines:
                fields.check_record(record, TRACE_FIELDS, where)
                fields.check_agreement(record, expected, where)
                naming = Naming(record["model"], where, role=record.get("role"), label=record.get("label"))
                role, model = known.find(naming)
                trials.add(record["question_id"], role, record["trial"], where)
                if not _OF_QUESTION.keys().isdisjoint(record):
                    match.compare(where, questions[record["question_id"]], _question_columns(record))
                rows.append(role, {**record, "benchmark": benchmark, "model": model.model})
        except ImportFileError:
            match.check(len(questions))  # a mismatch explains any later error
            raise
        match.check(len(questions))
        if not rows.n_rows:
            raise ImportFileError(f"{path}: the file contains no traces; allowed: one JSON object per line")
        summary = rows.finish("json_lines", path.name, lines.sha256)
        before_storing(ImportOutcome([summary], rows.remarks), files)
    return summary


def _question_columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a trace that repeat its question, by columns of `benchmark_questions`."""
    repeated = {column: record[name] for name, column in _OF_QUESTION.items() if record.get(name) is not None}
    if "answer" in repeated:
        repeated["answer"] = answer_text(repeated["answer"])
    if "answer_context" in repeated:
        repeated["answer_context"] = {"options": repeated["answer_context"]}
    return repeated


class TraceFiles:
    """The staged trace files of a family on a benchmark, one per role that occurs."""

    def __init__(
        self, files: Staging, study: Study, family: str, domain: str, benchmark: str, imports_root: Path
    ) -> None:
        self._files = files
        self._study = study
        self._place = (family, domain, benchmark)
        self._imports_root = imports_root
        self._by_role: dict[Role, StagedFile] = {}
        self._hashes: dict[Role, TrialHashes] = {}

    @property
    def remarks(self) -> list[str]:
        """Remarks on trials of one model that are equal in every response."""
        family = self._study.families[self._place[0]]
        return [
            f"trials {', '.join(map(str, equal))} of the {role} model {family.model_of(role).shown_as} are equal in "
            "every response; remove copies, or keep them if the model is deterministic"
            for role, hashes in self._hashes.items()
            if (equal := hashes.equal_trials)
        ]

    @property
    def n_rows(self) -> int:
        """Number of rows of both roles."""
        return sum(staged.n_rows for staged in self._by_role.values())

    def append(self, role: Role, trace: Mapping[str, Any]) -> None:
        """Append a trace given by column names; its engine defaults to `imported`."""
        if role not in self._by_role:
            target = traces_file(self._imports_root, self._study.study, *self._place, role)
            self._by_role[role] = self._files.stage(target, TRACE_COLUMNS)
            self._hashes[role] = TrialHashes()
        self._hashes[role].add(trace["question_id"], trace["trial"], trace["response"])
        row = [trace.get(name) for name in _COLUMN_NAMES]
        row[_ENGINE] = row[_ENGINE] or "imported"
        row[_SAMPLING] = fields.as_json(row[_SAMPLING])
        self._by_role[role].append(row, len(trace["response"] or ""))

    def finish(self, source_format: Any, file_name: str, sha256: str) -> ImportSummary:
        """Finish the files, each with the provenance of the whole import."""
        family, domain, benchmark = self._place
        roles = [role for role in ROLES if role in self._by_role]
        summary = ImportSummary(
            "traces",
            source_format,
            domain,
            benchmark,
            file_name,
            sha256,
            n_rows=self.n_rows,
            family=family,
            n_rows_by_role={role: self._by_role[role].n_rows for role in roles},
            models={role: self._study.families[family].model_of(role).model for role in roles},
            labels={role: label for role in roles if (label := self._study.families[family].model_of(role).label)},
        )
        for staged in self._by_role.values():
            staged.finish(summary)
        return summary


_ENGINE, _SAMPLING = _COLUMN_NAMES.index("engine"), _COLUMN_NAMES.index("sampling")


class TrialSet:
    """Set of trials seen, one bit per question, role and trial."""

    def __init__(self, question_ids: list[str], study: Study) -> None:
        self._index = {question_id: index for index, question_id in enumerate(question_ids)}
        self._n_trials = study.trials
        self._seen = bytearray(self._bytes_needed)

    def add_question(self, question_id: str) -> None:
        """Add a question unless it is known."""
        if question_id not in self._index:
            self._index[question_id] = len(self._index)
            self._seen.extend(bytes(self._bytes_needed - len(self._seen)))

    @property
    def _bytes_needed(self) -> int:
        return len(self._index) * len(ROLES) * self._n_trials // 8 + 1

    def add(self, question_id: str, role: Role, trial: int, where: str) -> None:
        """Add a trial.

        Raises:
            ImportFileError: the question is unknown, the trial exceeds the study's number, or it was seen before.
        """
        index = self._index.get(question_id)
        if index is None:
            raise ImportFileError(
                f"{where}, field 'question_id': {shown(question_id)} is not a question of the benchmark; "
                f"allowed: the {len(self._index)} imported ones"
            )
        if trial >= self._n_trials:
            raise ImportFileError(
                f"{where}, field 'trial': {shown(trial)}; allowed: 0 to {self._n_trials - 1} (the study's trials)"
                "; trials count from 0"
            )
        byte, bit = divmod((index * len(ROLES) + ROLES.index(role)) * self._n_trials + trial, 8)
        if self._seen[byte] >> bit & 1:
            raise ImportFileError(
                f"{where}, field 'trial': trial {trial} of the {role} model on question {shown(question_id)} occurs "
                "twice; allowed: each trial once"
            )
        self._seen[byte] |= 1 << bit


def _questions(target: Path, study: Study, domain: str, benchmark: str, path: Path) -> dict[str, dict[str, Any]]:
    """The imported questions by id."""
    if not target.exists():
        raise ImportFileError(
            f"{path}: benchmark {benchmark} of domain {domain} has no imported questions yet; import those first: "
            f"advcluster import questions FILE --study {study.study} --domain {domain} --benchmark {benchmark}"
        )
    return {row["question_id"]: row for row in pl.read_parquet(target).to_dicts()}

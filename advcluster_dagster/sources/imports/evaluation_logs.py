"""Import logs of evaluation tools: questions, traces and verdicts together.

Memory holds the benchmark's questions, one bit per trial, one integer per question of each log, and the buffer of one
log reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from advcluster_dagster.contracts.columns import ROLES, Role
from advcluster_dagster.contracts.inference import ANSWER_TYPES, BENCHMARK_QUESTIONS
from advcluster_dagster.sources.imports import fields
from advcluster_dagster.sources.imports.copies import file_hash, joint_hash, redundant_runs, response_hashes
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.json_lines import Progress
from advcluster_dagster.sources.imports.log_folder import LogFiles, LogFormat, choose_logs, find_logs
from advcluster_dagster.sources.imports.logged_trials import EvaluationLog, LoggedTrial
from advcluster_dagster.sources.imports.provenance import ImportOutcome, ImportSummary, read_provenance
from advcluster_dagster.sources.imports.question_match import QuestionMatch, check_overlap
from advcluster_dagster.sources.imports.questions import (
    QUESTION_FIELDS,
    answer_text,
    check_answer_type,
    check_question_ids,
    check_source_is_imported,
    stage_question,
)
from advcluster_dagster.sources.imports.source_files import file_size
from advcluster_dagster.sources.imports.staging import (
    BeforeStoring,
    StagedFile,
    Staging,
    questions_file,
    staging,
    store,
)
from advcluster_dagster.sources.imports.targets import FamilyModel, Naming, check_benchmark, family_models
from advcluster_dagster.sources.imports.traces import TRACE_FIELDS, TraceFiles, TrialSet
from advcluster_dagster.study.study import Study

#: Advice for a log of a model that the study uses in both roles with different settings.
_WHOSE_LOG = (
    "import the logs of each role separately: records with --map role='larger' or role='smaller', samples of the"
    " lm-evaluation-harness from a folder named after the label ({labels}), other logs as rows with a field role"
)

__all__ = ["LogFiles", "find_logs", "import_logs"]


def import_logs(
    path: Path,
    logs: LogFiles,
    study: Study,
    family: str,
    domain: str,
    benchmark: str,
    imports_root: Path,
    answer_type: str | None = None,
    on_progress: Progress | None = None,
    before_storing: BeforeStoring = store,
    role: Role | None = None,
    advice: str | None = None,
) -> ImportOutcome:
    """Import the logs of a family on a benchmark, replacing earlier imported traces of the roles they contain.

    Several logs of one model contribute consecutive trials of a question, ordered by time; a log that repeats another
    in every response is skipped. Questions are taken from the logs if none are imported yet, or if the imported ones
    came from logs of the same tool; otherwise every logged question must be an imported one. A known question must
    have the same text, options and gold answer. A failed trial has no response.

    Args:
        path: The file or folder given by the user.
        logs: The logs that :func:`find_logs` returned for it.
        study: The study.
        family: The family of the models.
        domain: Domain of the benchmark.
        benchmark: The benchmark; if the logs cover several tasks, the task of this name is imported.
        imports_root: Folder of imports.
        answer_type: How answers are compared, for logs that do not specify it; None to use the logs' own.
        on_progress: Called with bytes processed and bytes in total.
        before_storing: Called once everything is read; an exception leaves the existing imports unchanged.
        role: The model that all logs are of, for one model in two ways; None to infer it from the logs.
        advice: What to do if questions differ from those imported; None for the advice of the import commands.

    Raises:
        ImportFileError: any input is invalid; nothing is imported then.
    """
    check_benchmark(study, domain, benchmark, path)
    check_source_is_imported(study, benchmark, path)
    if answer_type not in (*ANSWER_TYPES, None):
        raise ImportFileError(f"{path}: answer type {shown(answer_type)}; allowed: {', '.join(ANSWER_TYPES)}")
    outcome = ImportOutcome()
    chosen = choose_logs(logs, path, benchmark, outcome.remarks)
    with staging(imports_root, study.study) as files:
        import_ = _BenchmarkImport(
            path, logs.source_format, study, family, domain, benchmark, imports_root, answer_type, files, role, advice
        )
        import_.run(chosen, outcome, on_progress)
        before_storing(outcome, files)
    return outcome


@dataclass
class _BenchmarkImport:
    """Import of one benchmark's logs into staged files."""

    path: Path
    source_format: LogFormat
    study: Study
    family: str
    domain: str
    benchmark: str
    imports_root: Path
    answer_type: str | None
    files: Staging
    role: Role | None = None
    advice: str | None = None

    def __post_init__(self) -> None:
        self._target = questions_file(self.imports_root, self.study.study, self.domain, self.benchmark)
        earlier = pl.read_parquet(self._target).to_dicts() if self._target.exists() else []
        check_answer_type(earlier, self.answer_type, self.benchmark, self.path, self._target)
        self._brings_questions = not earlier or read_provenance(self._target)["source_format"] == self.source_format
        self._questions: dict[str, Mapping[str, Any]] = {row["question_id"]: row for row in earlier}
        self._n_earlier = len(earlier)
        begin = f"remove {self._target} and import again" if self._brings_questions else "import the questions again"
        advice = self.advice or f"import the log under another benchmark name, or {begin}"
        self._match = QuestionMatch(self.benchmark, advice)
        self._trials = TrialSet(list(self._questions), self.study)
        self._known = family_models(self.study, self.family, self.path)
        #: By role, the number of trials of each question in the logs processed so far.
        self._n_trials: dict[Role, dict[str, int]] = {role: {} for role in ROLES}
        self._n_failed = 0

    def run(self, logs: Sequence[EvaluationLog], outcome: ImportOutcome, on_progress: Progress | None) -> None:
        """Stage questions and traces and record the summaries in ``outcome``."""
        logs = self._without_repeats(logs, outcome.remarks)
        # Staged first, so that it is replaced first.
        questions = self.files.stage(self._target, BENCHMARK_QUESTIONS.columns) if self._brings_questions else None
        traces = TraceFiles(self.files, self.study, self.family, self.domain, self.benchmark, self.imports_root)
        try:
            hashes = self._add_all(logs, traces, outcome, on_progress)
        except ImportFileError:
            self._match.check(self._n_earlier)  # a mismatch explains any later error
            raise
        self._match.check(self._n_earlier)
        earlier = list(self._questions)[: self._n_earlier]
        models = self.study.families[self.family]
        asked = {models.model_of(role).shown_as: trials for role, trials in self._n_trials.items() if trials}
        outcome.remarks += check_overlap(self.path, earlier, asked, self._match.advice)
        sha256 = joint_hash(hashes)
        names = ", ".join(self._name_of(log) for log in logs)
        outcome.summaries.append(traces.finish(self.source_format, names, sha256))
        if questions is not None:
            outcome.summaries.append(self._stage_questions(questions, names, sha256))
        outcome.remarks += traces.remarks
        if self._n_failed:
            outcome.remarks.append(f"{self._n_failed} trials failed during the run and have no response")

    def _without_repeats(self, logs: Sequence[EvaluationLog], remarks: list[str]) -> list[EvaluationLog]:
        """The logs without those that repeat another log of the same model in every response."""
        by_model: dict[str, list[EvaluationLog]] = {}
        for log in logs:
            is_known = any(name in self._known for name in log.header.model_names)
            by_model.setdefault(self._model_of(log).role if is_known else log.header.model_names[0], []).append(log)
        skipped = []
        for group in by_model.values():
            runs = [response_hashes(log, self.benchmark) for log in group] if len(group) > 1 else []
            for copy, superset in redundant_runs(runs).items():
                skipped.append(group[copy])
                names = [self._name_of(group[number]) for number in (copy, superset)]
                remarks.append(
                    f"skipped {names[0]}: it repeats {names[1]} in every response, so it is not another trial"
                )
        return [log for log in logs if log not in skipped]

    def _add_all(
        self, logs: Sequence[EvaluationLog], traces: TraceFiles, outcome: ImportOutcome, on_progress: Progress | None
    ) -> list[str]:
        """Stage the traces of all logs; returns the hashes of their files."""
        hashes: list[str] = []
        n_done, n_total = 0, sum(file_size(log.header.path) for log in logs)
        for log in logs:
            hashes.append(file_hash(log.header.path))
            n_before = traces.n_rows
            self._add(log, traces, hashes[-1], _shifted(on_progress, n_done, n_total))
            n_done += file_size(log.header.path)
            name, status = log.header.path.name, log.header.status
            if status is not None:
                outcome.remarks.append(f"{name} ended with status {status}; its trials are imported")
            if traces.n_rows == n_before:
                outcome.remarks.append(f"{name} contains no trials")
            outcome.remarks += [f"{name}: {warning}" for warning in log.warnings]
            outcome.facts += [fact for fact in log.facts if fact not in outcome.facts]
        for log in logs:
            role, status = self._model_of(log).role, log.header.status or "success"
            if not self._n_trials[role]:
                raise ImportFileError(
                    f"{log.header.path}: the log contains no trials (status {status}), so the {role} model would have "
                    "no traces; allowed: logs with at least one trial"
                )
        if on_progress:
            on_progress(n_total, n_total)
        return hashes

    def _stage_questions(self, staged: StagedFile, names: str, sha256: str) -> ImportSummary:
        places = dict.fromkeys(self._questions, str(self.path))
        check_question_ids(places, self.imports_root, self.study, self.domain, self.benchmark)
        for question in self._questions.values():
            stage_question(staged, question)
        summary = ImportSummary(
            "questions", self.source_format, self.domain, self.benchmark, names, sha256, staged.n_rows,
            answer_type=self.answer_type,
        )  # fmt: skip
        staged.finish(summary)
        return summary

    def _name_of(self, log: EvaluationLog) -> str:
        path = log.header.path
        return path.relative_to(self.path).as_posix() if path != self.path else path.name

    def _model_of(self, log: EvaluationLog) -> FamilyModel:
        """The model of a log, by the first of its names that is unambiguous, else by the first known name."""
        header = log.header
        ranked = sorted(header.model_names, key=lambda name: (not self._known.is_clear(name), name not in self._known))
        try:
            naming = Naming(ranked[0], str(header.path), "model", self.role or header.role, header.label, _WHOSE_LOG)
            return self._known.find(naming)
        except ImportFileError as error:
            if ranked[0] in self._known:
                raise
            raise ImportFileError(f"{error}, or a name listed as an alias of one of them in the study file") from None

    def _add(self, log: EvaluationLog, traces: TraceFiles, sha256: str, on_progress: Progress | None) -> None:
        """Stage the traces of a log after those of earlier logs of the model, and register its questions."""
        role, model = self._model_of(log)
        n_earlier, n_here = self._n_trials[role], dict[str, int]()
        for logged in log.trials(self.benchmark, on_progress):
            question_id = self._note_question(logged, sha256)
            if question_id is not None:
                trial = n_earlier.get(question_id, 0) + logged.trial
                n_here[question_id] = max(n_here.get(question_id, 0), trial + 1)
                trace = {"question_id": question_id, "model": model.model, "trial": trial, **logged.trace}
                fields.check_record(trace, TRACE_FIELDS, logged.where)
                fields.check_characters(trace, logged.where)
                self._trials.add(question_id, role, trial, logged.where)
                self._n_failed += trace["response"] is None
                traces.append(role, {**trace, "benchmark": self.benchmark})
        n_earlier.update(n_here)

    def _note_question(self, logged: LoggedTrial, sha256: str) -> str | None:
        """Return the id of a trial's question, adding it if the logs provide questions; None if it is unknown."""
        ids = logged.ids[-1:] if self._brings_questions else logged.ids
        question_id = next((name for name in ids if name in self._questions), None)
        if question_id is not None:
            self._match.compare(logged.where, self._questions[question_id], logged.question, logged.texts)
        elif self._brings_questions:
            question_id = ids[-1]
            self._questions[question_id] = self._checked(question_id, logged, sha256)
            self._trials.add_question(question_id)
        else:
            self._match.add_unknown(logged.where, ids[-1])
        return question_id

    def _checked(self, question_id: str, logged: LoggedTrial, sha256: str) -> dict[str, Any]:
        kind = self.answer_type or logged.question["answer_type"]
        if kind is None:
            raise ImportFileError(
                f"{logged.where}: the log does not specify how answers are compared; pass --answer-type; "
                f"allowed: {', '.join(ANSWER_TYPES)}"
            )
        question = {
            "question_id": question_id,
            "source_revision": f"sha256:{sha256[:12]}",
            **logged.question,
            "answer_type": kind,
        }
        fields.check_record(question, QUESTION_FIELDS, logged.where)
        fields.check_characters(question, logged.where)
        context = fields.as_json(question.get("answer_context"))
        answer = answer_text(question["answer"])
        return {**question, "answer": answer, "benchmark": self.benchmark, "answer_context": context}


def _shifted(on_progress: Progress | None, n_before: int, n_total: int) -> Progress | None:
    """Wrap a progress callback so that one log reports its share of the total."""
    return None if on_progress is None else lambda done, _total: on_progress(n_before + done, n_total)

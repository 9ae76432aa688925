"""Import of runs that evaluation tools have logged: questions, traces and verdicts in one.

Here: which files of a folder are logs, whose they are, and their trials on the way into the same files that every other
import writes. Not here: the tools' formats (inspect_logs.py, lm_eval_samples.py). Memory holds the benchmark's
questions, one bit a trial and what one log's reader holds.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from advcluster_dagster.contracts.inference import ANSWER_TYPES, BENCHMARK_QUESTIONS
from advcluster_dagster.imports import fields
from advcluster_dagster.imports.errors import ImportFileError, shown
from advcluster_dagster.imports.inspect_logs import InspectLog, is_inspect_log
from advcluster_dagster.imports.json_lines import Progress, file_size
from advcluster_dagster.imports.lm_eval_samples import LmEvalSamples, is_lm_eval_samples
from advcluster_dagster.imports.logged_trials import EvaluationLog, LoggedTrial
from advcluster_dagster.imports.provenance import ImportSummary, read_provenance
from advcluster_dagster.imports.questions import QUESTION_FIELDS, check_question_ids, stage_question
from advcluster_dagster.imports.staging import StagedFile, Staging, questions_file, staging
from advcluster_dagster.imports.targets import check_benchmark, player_named, players
from advcluster_dagster.imports.traces import TRACE_FIELDS, TraceFiles, TrialSet
from advcluster_dagster.settings.base import Role
from advcluster_dagster.study import Study

LogFormat = Literal["inspect_logs", "lm_eval_samples"]


@dataclass(frozen=True)
class _Tool:
    """A tool whose logs are read."""

    source_format: LogFormat
    pattern: str
    is_log: Callable[[Path], bool]
    open: Callable[[Path], EvaluationLog]


_TOOLS = (
    _Tool("inspect_logs", "**/*.*", is_inspect_log, InspectLog),
    _Tool("lm_eval_samples", "**/samples_*.jsonl", is_lm_eval_samples, LmEvalSamples),
)


@dataclass(frozen=True)
class FoundLogs:
    """The log files under a path, all of one tool."""

    source_format: LogFormat
    paths: tuple[Path, ...]
    open: Callable[[Path], EvaluationLog]


@dataclass
class LogImport:
    """What was imported, and what a person should know about it."""

    summaries: list[ImportSummary] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def find_logs(path: Path) -> FoundLogs | None:
    """The logs that a path is or a folder holds; None without any.

    Raises:
        ImportFileError: a folder holds logs of different tools.
    """
    found = []
    for tool in _TOOLS:
        candidates = sorted(path.glob(tool.pattern)) if path.is_dir() else [path]
        if paths := tuple(candidate for candidate in candidates if tool.is_log(candidate)):
            found.append(FoundLogs(tool.source_format, paths, tool.open))
    if len(found) > 1:
        names = " and ".join(logs.paths[0].name for logs in found)
        raise ImportFileError(f"{path}: holds logs of different tools ({names}); allowed: those of one tool at a time")
    return found[0] if found else None


def import_logs(
    path: Path,
    logs: FoundLogs,
    study: Study,
    family: str,
    domain: str,
    benchmark: str,
    imports_root: Path,
    answer_type: str | None = None,
    on_progress: Progress | None = None,
) -> LogImport:
    """Import the logs of a family on a benchmark, in place of traces imported before for the roles in them.

    Several logs of one model give its trials one after the other, in the order of their time. Questions come from the
    logs where none are imported yet, or where they came from logs of this tool before; otherwise the logs must be about
    those imported. A trial that failed has no response.

    Args:
        path: The file or folder that was named.
        logs: What :func:`find_logs` found there.
        study: The study.
        family: The family of the models.
        domain: Domain of the benchmark.
        benchmark: The benchmark; of logs of several tasks, those of the task of this name are taken.
        imports_root: Where imports lie.
        answer_type: How answers are compared, for logs that do not say; None to take what they say.
        on_progress: Told bytes done and bytes in all.

    Raises:
        ImportFileError: anything is wrong; then nothing is imported.
    """
    check_benchmark(study, domain, benchmark, path)
    if study.benchmark(benchmark).source != "imported":
        raise ImportFileError(
            f"{path}: questions of benchmark {benchmark} are {study.benchmark(benchmark).source}; "
            "allowed: benchmarks with source: imported"
        )
    if answer_type not in (*ANSWER_TYPES, None):
        raise ImportFileError(f"{path}: answer type {shown(answer_type)}; allowed: {', '.join(ANSWER_TYPES)}")
    outcome = LogImport()
    chosen = _of_benchmark([logs.open(file) for file in logs.paths], path, benchmark, outcome.remarks)
    with staging(imports_root, study.study) as files:
        import_ = _BenchmarkImport(
            path, logs.source_format, study, family, domain, benchmark, imports_root, answer_type, files
        )
        import_.run(chosen, outcome, on_progress)
    return outcome


def _of_benchmark(logs: Sequence[EvaluationLog], path: Path, benchmark: str, remarks: list[str]) -> list[EvaluationLog]:
    """The logs to import by time: those of one task, the last attempt at each run."""
    tasks = sorted({log.header.task for log in logs})
    named = [task for task in tasks if task.rpartition("/")[2] == benchmark]
    if len(tasks) > 1 and len(named) != 1:
        raise ImportFileError(
            f"{path}: holds logs of the tasks {', '.join(tasks)}; allowed: logs of one task, or of several of which "
            f"one is named as the benchmark, {benchmark}"
        )
    task = named[0] if len(tasks) > 1 else tasks[0]
    in_order = sorted((log for log in logs if log.header.task == task), key=lambda log: log.header.order)
    last = {log.header.run: log for log in in_order}
    chosen = [log for log in in_order if last[log.header.run] is log]
    if len(tasks) > 1:
        remarks.append(f"left aside {len(logs) - len(in_order)} logs of other tasks than {task}")
    if len(chosen) < len(in_order):
        remarks.append(f"left aside {len(in_order) - len(chosen)} logs of runs that were tried again")
    remarks += [log.header.warning for log in chosen if log.header.warning]
    return chosen


@dataclass
class _BenchmarkImport:
    """Logs of one benchmark on their way into staged files."""

    path: Path
    source_format: LogFormat
    study: Study
    family: str
    domain: str
    benchmark: str
    imports_root: Path
    answer_type: str | None
    files: Staging

    def __post_init__(self) -> None:
        self._target = questions_file(self.imports_root, self.study.study, self.domain, self.benchmark)
        earlier = pl.read_parquet(self._target).to_dicts() if self._target.exists() else []
        self._brings_questions = not earlier or read_provenance(self._target)["source_format"] == self.source_format
        self._questions: dict[str, Mapping[str, Any]] = {row["question_id"]: row for row in earlier}
        self._trials = TrialSet(list(self._questions), self.study)
        self._known = players(self.study, self.family, self.path)
        self._n_earlier: dict[Role, int] = {}
        self._n_failed = 0

    def run(self, logs: Sequence[EvaluationLog], outcome: LogImport, on_progress: Progress | None) -> None:
        """Stage everything and say what was done."""
        # Begun first, so that it is replaced first.
        questions = self.files.stage(self._target, BENCHMARK_QUESTIONS.columns) if self._brings_questions else None
        traces = TraceFiles(self.files, self.study, self.family, self.domain, self.benchmark, self.imports_root)
        hashes: list[str] = []
        n_done, n_total = 0, sum(file_size(log.header.path) for log in logs)
        for log in logs:
            with log.header.path.open("rb") as file:
                hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
            self._add(log, traces, hashes[-1], _shifted(on_progress, n_done, n_total))
            n_done += file_size(log.header.path)
        if not traces.n_rows:
            raise ImportFileError(f"{self.path}: the logs hold no trials; allowed: logs of one trial or more")
        if on_progress:
            on_progress(n_total, n_total)
        sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        names = ", ".join(self._name_of(log) for log in logs)
        outcome.summaries.append(traces.finish(self.source_format, names, sha256))
        if questions is not None:
            outcome.summaries.append(self._stage_questions(questions, names, sha256))
        if self._n_failed:
            outcome.remarks.append(f"{self._n_failed} trials failed in the run and have no response")

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

    def _add(self, log: EvaluationLog, traces: TraceFiles, sha256: str, on_progress: Progress | None) -> None:
        """Stage the traces of a log, behind those of earlier logs of its model, and note its questions."""
        header = log.header
        name = next((name for name in header.model_names if name in self._known), header.model_names[0])
        try:
            role, model = player_named(name, self._known, f"{header.path}, model")
        except ImportFileError as error:
            raise ImportFileError(f"{error}, or a name listed as an alias of one of them in the study file") from None
        offset = self._n_earlier.get(role, 0)
        n_trials = 0
        for logged in log.trials(self.benchmark, on_progress):
            question_id = self._note_question(logged, sha256)
            trial = offset + logged.trial
            n_trials = max(n_trials, logged.trial + 1)
            trace = {"question_id": question_id, "model": model.model, "trial": trial, **logged.trace}
            fields.check_record(trace, TRACE_FIELDS, logged.where)
            fields.check_characters(trace, logged.where)
            self._trials.add(question_id, role, trial, logged.where)
            self._n_failed += trace["response"] is None
            traces.append(role, {**trace, "benchmark": self.benchmark})
        self._n_earlier[role] = offset + n_trials

    def _note_question(self, logged: LoggedTrial, sha256: str) -> str:
        """The id of a trial's question, which is taken up where the logs bring their questions."""
        if not self._brings_questions:
            return next((name for name in logged.ids if name in self._questions), logged.ids[-1])
        question_id = logged.ids[-1]
        noted = self._questions.get(question_id)
        if noted is None:
            self._questions[question_id] = self._checked(question_id, logged, sha256)
            self._trials.add_question(question_id)
        elif (noted["question"], noted["answer"]) != (logged.question["question"], logged.question["answer"]):
            raise ImportFileError(
                f"{logged.where}: question {shown(question_id)} or its answer differs from what an earlier log says; "
                f"allowed: the same; to begin anew, import the questions from JSON Lines or remove {self._target}"
            )
        return question_id

    def _checked(self, question_id: str, logged: LoggedTrial, sha256: str) -> dict[str, Any]:
        kind = self.answer_type or logged.question["answer_type"]
        if kind is None:
            raise ImportFileError(
                f"{logged.where}: the log does not say how answers are compared; name it with --answer-type; "
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
        return {**question, "benchmark": self.benchmark, "answer_context": context}


def _shifted(on_progress: Progress | None, n_before: int, n_total: int) -> Progress | None:
    """Progress of one log within that of all."""
    return None if on_progress is None else lambda done, _total: on_progress(n_before + done, n_total)

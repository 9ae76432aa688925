"""Import the result files of the paper's own evaluation scripts.

Memory holds one file at a time.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from advcluster_dagster.contracts.inference import ANSWER_TYPES, BENCHMARK_QUESTIONS
from advcluster_dagster.sources.imports import fields
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.fields import Field
from advcluster_dagster.sources.imports.json_lines import Progress
from advcluster_dagster.sources.imports.provenance import ImportOutcome, ImportSummary, read_provenance
from advcluster_dagster.sources.imports.question_match import QuestionMatch, check_overlap, normal_text
from advcluster_dagster.sources.imports.questions import (
    answer_text,
    check_answer_type,
    check_question_ids,
    check_source_is_imported,
    stage_question,
)
from advcluster_dagster.sources.imports.result_files import ResultFile, find_result_files, read_runs, without_repeats
from advcluster_dagster.sources.imports.source_files import file_size
from advcluster_dagster.sources.imports.staging import BeforeStoring, Staging, questions_file, staging, store
from advcluster_dagster.sources.imports.traces import TraceFiles
from advcluster_dagster.study.study import Study

_FIELDS = {
    declared.name: declared
    for declared in (
        Field("question", fields.is_filled_text, fields.FILLED_TEXT, is_required=True),
        Field("full_response", fields.is_text_or_null, fields.TEXT_OR_NULL, is_required=True),
        Field("gold", fields.is_answer, fields.ANSWER, is_required=True),
        Field("correct", fields.is_flag, fields.FLAG),
    )
}


def import_official_results(
    folder: Path,
    study: Study,
    family: str | None,
    imports_root: Path,
    answer_type: str | None,
    benchmark: str | None = None,
    on_progress: Progress | None = None,
    before_storing: BeforeStoring = store,
) -> list[ImportSummary]:
    """Import questions, traces and recorded verdicts from every result file under a folder.

    Questions imported from files of another kind are kept; every record must then match one of them by its text.
    Otherwise the questions are those of all records and of earlier imports of result files, with the id
    BENCHMARK-(first 12 hex digits of the sha256 of the text). A known question must have the same gold answer. Trials
    are the runs in ascending run_id, or in file order if a run has no integer run_id; a run that repeats another in
    every response is skipped, and a record missing from a run is a missing trial. Other fields of a record are
    ignored.

    Args:
        folder: Contains DOMAIN/BENCHMARK/MODEL/N_runs.json; MODEL is the study's name of a model or an alias.
        study: The study.
        family: The family of the models; None for every family that has a model of that name.
        imports_root: Folder of imports.
        answer_type: How the answers to these questions are compared, which the files do not specify; None if the
            questions have been imported.
        benchmark: Only this benchmark; None for all in the folder.
        on_progress: Called with bytes processed and bytes in total.
        before_storing: Called once everything is read; an exception leaves the existing imports unchanged.

    Raises:
        ImportFileError: any input is invalid; nothing is imported then.
    """
    remarks: list[str] = []
    if answer_type not in (*ANSWER_TYPES, None):
        raise ImportFileError(f"{folder}: answer type {shown(answer_type)}; allowed: {', '.join(ANSWER_TYPES)}")
    result_paths = find_result_files(folder, study, family, benchmark, remarks)
    for (place, _), same in groupby(result_paths, key=lambda file: (file[:3], file.role)):
        if len(paths := [str(file.path) for file in same]) > 1:
            raise ImportFileError(f"{' and '.join(paths)}: the same model twice ({'/'.join(place)}); allowed: once")
    n_done, n_total = 0, sum(file_size(file.path) for file in result_paths)
    summaries = []
    with staging(imports_root, study.study) as files:
        for _, group in groupby(result_paths, key=lambda file: file[:2]):
            import_ = _BenchmarkImport(list(group), folder, study, imports_root, answer_type, files, remarks)
            for n_bytes in import_.run():
                n_done += n_bytes
                if on_progress:
                    on_progress(n_done, n_total)
            summaries += import_.summaries
        before_storing(ImportOutcome(summaries, remarks), files)
    return summaries


def question_id_of(benchmark: str, question: str) -> str:
    """Build the id of a question without one: BENCHMARK-(first 12 hex digits of the sha256 of its text)."""
    return f"{benchmark}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"


@dataclass
class _BenchmarkImport:
    """Import of one benchmark's result files into staged files."""

    result_files: list[ResultFile]
    folder: Path
    study: Study
    imports_root: Path
    answer_type: str | None
    files: Staging
    remarks: list[str]
    summaries: list[ImportSummary] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.domain, self.benchmark = self.result_files[0][:2]
        self._target = questions_file(self.imports_root, self.study.study, self.domain, self.benchmark)
        earlier = pl.read_parquet(self._target).to_dicts() if self._target.exists() else []
        self._brings_questions = not earlier or read_provenance(self._target)["source_format"] == "official_results"
        if self.answer_type is None and not earlier:
            raise ImportFileError(
                f"{self.folder}: a folder of result files needs --answer-type, because the files do not specify how "
                f"answers to {self.benchmark} are compared; allowed: {', '.join(ANSWER_TYPES)}"
            )
        check_source_is_imported(self.study, self.benchmark, self.folder)
        check_answer_type(earlier, self.answer_type, self.benchmark, self.folder, self._target)
        kinds = {row["answer_type"] for row in earlier}
        self._kind = self.answer_type or (kinds.pop() if len(kinds) == 1 else None)
        self._n_earlier = len(earlier)
        self._questions = {row["question_id"]: row for row in earlier}
        self._ids = {normal_text(row[name]): row["question_id"] for row in earlier for name in ("prompt", "question")}
        begin = f"remove {self._target} and import again" if self._brings_questions else "import the questions again"
        self._match = QuestionMatch(self.benchmark, f"import the results under another benchmark name, or {begin}")
        self._asked: dict[str, set[str]] = {}
        self._sources: dict[Path, str] = {}

    def run(self) -> Iterator[int]:
        """Stage questions, then traces; yields the size of each file once it is processed."""
        # Staged first, so that it is replaced first.
        staged = self.files.stage(self._target, BENCHMARK_QUESTIONS.columns) if self._brings_questions else None
        try:
            yield from self._stage_traces()
        except ImportFileError:
            self._match.check(self._n_earlier)  # a mismatch explains any later error
            raise
        self._match.check(self._n_earlier)
        earlier = list(self._questions)[: self._n_earlier]
        self.remarks += check_overlap(self.folder, earlier, self._asked, self._match.advice)
        if staged is None:
            return
        places = dict.fromkeys(self._questions, str(self.folder))
        check_question_ids(places, self.imports_root, self.study, self.domain, self.benchmark)
        for question in self._questions.values():
            stage_question(staged, question)
        name, sha256 = self._source_of(self._sources)
        summary = ImportSummary(
            "questions", "official_results", self.domain, self.benchmark, name, sha256, staged.n_rows,
            answer_type=self._kind,
        )  # fmt: skip
        staged.finish(summary)
        self.summaries.append(summary)

    def _stage_traces(self) -> Iterator[int]:
        for family, group in groupby(self.result_files, key=lambda file: file.family):
            traces = TraceFiles(self.files, self.study, family, self.domain, self.benchmark, self.imports_root)
            sources: dict[Path, str] = {}
            for file in group:
                sources[file.path] = self._add_file(file, traces)
                yield file_size(file.path)
            self.summaries.append(traces.finish("official_results", *self._source_of(sources)))
            self._sources |= sources

    def _source_of(self, sources: dict[Path, str]) -> tuple[str, str]:
        """Names of the files relative to the folder, and their hash; for several files, a hash of their hashes."""
        names = ", ".join(path.relative_to(self.folder).as_posix() for path in sources)
        hashes = list(sources.values())
        return names, hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    def _add_file(self, file: ResultFile, traces: TraceFiles) -> str:
        """Stage the traces of a file and register its questions; returns the file's hash."""
        content = file.path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        runs = read_runs(content, file.path)
        del content
        if len(runs) > self.study.trials:
            raise ImportFileError(
                f"{file.path}, field 'runs': {len(runs)} runs; allowed: at most {self.study.trials}, the study's trials"
            )
        model = self.study.families[file.family].model_of(file.role)
        named = f"{model.label} of family {file.family}" if model.label else model.model
        for trial, (number, run) in enumerate(without_repeats(runs, file.path, self.remarks).items()):
            seen = set()
            for place, record in enumerate(run, start=1):
                where = f"{file.path}, run {number}, record {place}"
                question_id = self._note_question(record, sha256, where)
                if question_id in seen:
                    raise ImportFileError(f"{where}, field 'question': occurs twice; allowed: once per run")
                if question_id is not None:
                    seen.add(question_id)
                    self._asked.setdefault(named, set()).add(question_id)
                    traces.append(
                        file.role,
                        {
                            "question_id": question_id, "benchmark": self.benchmark, "trial": trial,
                            "model": model.model, "response": record["full_response"],
                            "recorded_correct": record.get("correct"),
                        },
                    )  # fmt: skip
        return sha256

    def _note_question(self, record: dict[str, Any], sha256: str, where: str) -> str | None:
        """Return the id of a record's question, adding it if the files provide questions; None if it is unknown."""
        known = {name: record[name] for name in _FIELDS if name in record}
        fields.check_record(known, _FIELDS, where)
        fields.check_characters(known, where)
        question, gold = record["question"], answer_text(record["gold"])
        question_id = self._ids.get(normal_text(question))
        if question_id is None and not self._brings_questions:
            self._match.add_unknown(where, question)
            return None
        question_id = question_id or question_id_of(self.benchmark, question)
        self._ids.setdefault(normal_text(question), question_id)
        known_question = self._questions.setdefault(
            question_id,
            {
                "question_id": question_id, "benchmark": self.benchmark, "question": question, "prompt": question,
                "answer": gold, "answer_type": self._kind, "source": "official results",
                "source_revision": f"sha256:{sha256[:12]}",
            },
        )  # fmt: skip
        self._match.compare(where, known_question, {"answer": gold})
        return question_id

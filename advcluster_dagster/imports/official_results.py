"""Import of the result files that the paper's own evaluation scripts write.

Here: DOMAIN/BENCHMARK/MODEL/N_runs.json with questions, traces and verdicts in one. Not here: JSON Lines (questions.py,
traces.py). One such file at a time is read whole into memory, several times its size; its rows are then streamed.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from advcluster_dagster.contracts.inference import ANSWER_TYPES, BENCHMARK_QUESTIONS
from advcluster_dagster.imports import fields
from advcluster_dagster.imports.errors import ImportFileError, shown
from advcluster_dagster.imports.fields import Field, SpelledFloat
from advcluster_dagster.imports.json_lines import Progress, file_size
from advcluster_dagster.imports.provenance import ImportSummary, read_provenance
from advcluster_dagster.imports.questions import answer_text, check_question_ids, stage_question
from advcluster_dagster.imports.staging import Staging, questions_file, staging
from advcluster_dagster.imports.targets import check_benchmark, player_named, players
from advcluster_dagster.imports.traces import TraceFiles
from advcluster_dagster.settings.base import Role
from advcluster_dagster.study import Study

_FIELDS = {
    declared.name: declared
    for declared in (
        Field("question", fields.is_filled_text, fields.FILLED_TEXT, is_required=True),
        Field("full_response", fields.is_text_or_null, fields.TEXT_OR_NULL, is_required=True),
        Field("gold", fields.is_answer, fields.ANSWER, is_required=True),
        Field("correct", fields.is_flag, fields.FLAG),
    )
}


class _ResultFile(NamedTuple):
    """A result file and what its folders say."""

    domain: str
    benchmark: str
    family: str
    role: Role
    path: Path


def import_official_results(
    folder: Path,
    study: Study,
    family: str | None,
    imports_root: Path,
    answer_type: str,
    benchmark: str | None = None,
    on_progress: Progress | None = None,
) -> list[ImportSummary]:
    """Import questions, traces and recorded verdicts of every result file under a folder.

    A question's id is BENCHMARK-(first 12 hex digits of the sha256 of its text). Trials are the runs in ascending
    run_id, or as they stand when not all have one; a record that a run lacks is a missing trial. Questions are those of
    any record, and those of earlier imports of such files. Other fields of a record are left aside.

    Args:
        folder: Holds DOMAIN/BENCHMARK/MODEL/N_runs.json; MODEL is the study's name of a model or an alias.
        study: The study.
        family: The family of the models; None for every family that has a model of that name.
        imports_root: Where imports lie.
        answer_type: How the answers of these questions are compared; the files do not say it.
        benchmark: Only this benchmark; None for all in the folder.
        on_progress: Told bytes done and bytes in all.

    Raises:
        ImportFileError: anything is wrong; then nothing is imported.
    """
    if answer_type not in ANSWER_TYPES:
        raise ImportFileError(f"{folder}: answer type {shown(answer_type)}; allowed: {', '.join(ANSWER_TYPES)}")
    found = sorted(_result_files(folder, study, family, benchmark))
    if not found:
        raise ImportFileError(f"{folder}: holds no result files; allowed: DOMAIN/BENCHMARK/MODEL/10_runs.json")
    for (place, _), same in groupby(found, key=lambda file: (file[:3], file.role)):
        if len(paths := [str(file.path) for file in same]) > 1:
            raise ImportFileError(f"{' and '.join(paths)}: the same model twice ({'/'.join(place)}); allowed: once")
    n_done, n_total = 0, sum(file_size(file.path) for file in found)
    summaries = []
    with staging(imports_root, study.study) as files:
        for _, group in groupby(found, key=lambda file: file[:2]):
            import_ = _BenchmarkImport(list(group), folder, study, imports_root, answer_type, files)
            for n_bytes in import_.run():
                n_done += n_bytes
                if on_progress:
                    on_progress(n_done, n_total)
            summaries += import_.summaries
    return summaries


def question_id_of(benchmark: str, question: str) -> str:
    """Id of a question that has none: BENCHMARK-(first 12 hex digits of the sha256 of its text)."""
    return f"{benchmark}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"


def _result_files(folder: Path, study: Study, family: str | None, benchmark: str | None) -> Iterator[_ResultFile]:
    """Every result file, once for each family that it belongs to."""
    for path in folder.glob("*/*/**/*_runs.json"):
        domain, named, *model_parts = path.relative_to(folder).parts[:-1]
        if benchmark in (named, None):
            check_benchmark(study, domain, named, path)
            known = {name: players(study, name, path) for name in ([family] if family else study.families)}
            model = "/".join(model_parts)
            owners = [name for name in known if model in known[name]]
            if not owners:
                allowed = ", ".join(alias for names in known.values() for alias in names)
                raise ImportFileError(f"{path}, folder of the model: {shown(model)}; allowed: {allowed}")
            for name in owners:
                role, _ = player_named(model, known[name], f"{path}, folder of the model")
                yield _ResultFile(domain, named, name, role, path)


@dataclass
class _BenchmarkImport:
    """The result files of one benchmark on their way into staged files."""

    result_files: list[_ResultFile]
    folder: Path
    study: Study
    imports_root: Path
    answer_type: str
    files: Staging
    summaries: list[ImportSummary] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.domain, self.benchmark = self.result_files[0][:2]
        self._target = questions_file(self.imports_root, self.study.study, self.domain, self.benchmark)
        self._questions = {row["question_id"]: row for row in self._earlier_questions()}
        self._sources: dict[Path, str] = {}

    def run(self) -> Iterator[int]:
        """Stage questions, then traces; yields the size of each file when it is done."""
        staged = self.files.stage(self._target, BENCHMARK_QUESTIONS.columns)  # first, so that it is replaced first
        for family, group in groupby(self.result_files, key=lambda file: file.family):
            traces = TraceFiles(self.files, self.study, family, self.domain, self.benchmark, self.imports_root)
            sources: dict[Path, str] = {}
            for file in group:
                sources[file.path] = self._add_file(file, traces)
                yield file_size(file.path)
            self.summaries.append(traces.finish("official_results", *self._source_of(sources)))
            self._sources |= sources
        places = dict.fromkeys(self._questions, str(self.folder))
        check_question_ids(places, self.imports_root, self.study, self.domain, self.benchmark)
        for question in self._questions.values():
            stage_question(staged, question)
        name, sha256 = self._source_of(self._sources)
        summary = ImportSummary(
            "questions", "official_results", self.domain, self.benchmark, name, sha256, staged.n_rows,
            answer_type=self.answer_type,
        )  # fmt: skip
        staged.finish(summary)
        self.summaries.append(summary)

    def _earlier_questions(self) -> list[dict[str, Any]]:
        if self._target.exists() and read_provenance(self._target)["source_format"] == "official_results":
            return pl.read_parquet(self._target).to_dicts()
        return []

    def _source_of(self, sources: dict[Path, str]) -> tuple[str, str]:
        """Names of the files within the folder, and their hash: of all hashes in turn when there are several."""
        names = ", ".join(path.relative_to(self.folder).as_posix() for path in sources)
        hashes = list(sources.values())
        return names, hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    def _add_file(self, file: _ResultFile, traces: TraceFiles) -> str:
        """Stage the traces of a file and note its questions; returns the file's hash."""
        content = file.path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        runs = _runs(content, file.path)
        del content
        if len(runs) > self.study.trials:
            raise ImportFileError(
                f"{file.path}, field 'runs': {len(runs)} runs; allowed: at most {self.study.trials}, the study's trials"
            )
        model = self.study.families[file.family].model_of(file.role).model
        for trial, run in enumerate(runs):
            seen = set()
            for number, record in enumerate(_records(run, f"{file.path}, run {trial}"), start=1):
                where = f"{file.path}, run {trial}, record {number}"
                question_id = self._note_question(record, sha256, where)
                if question_id in seen:
                    raise ImportFileError(f"{where}, field 'question': stands there twice; allowed: once in a run")
                seen.add(question_id)
                traces.append(
                    file.role,
                    {
                        "question_id": question_id, "benchmark": self.benchmark, "trial": trial, "model": model,
                        "response": record["full_response"], "recorded_correct": record.get("correct"),
                    },
                )  # fmt: skip
        return sha256

    def _note_question(self, record: dict[str, Any], sha256: str, where: str) -> str:
        known = {name: record[name] for name in _FIELDS if name in record}
        fields.check_record(known, _FIELDS, where)
        fields.check_characters(known, where)
        question, gold = record["question"], answer_text(record["gold"])
        question_id = question_id_of(self.benchmark, question)
        noted = self._questions.setdefault(
            question_id,
            {
                "question_id": question_id, "benchmark": self.benchmark, "question": question, "prompt": question,
                "answer": gold, "answer_type": self.answer_type, "source": "official results",
                "source_revision": f"sha256:{sha256[:12]}",
            },
        )  # fmt: skip
        if noted["answer"] != gold:
            raise ImportFileError(
                f"{where}, field 'gold': {shown(gold)}; allowed: {shown(noted['answer'])}, as in an earlier record"
            )
        return question_id


def _runs(content: bytes, path: Path) -> list[dict[str, Any]]:
    """The runs of a file in the order of their ids; as they stand when not all have a whole number of their own."""
    try:
        document = json.loads(content.decode("utf-8-sig"), parse_float=SpelledFloat)
    except UnicodeDecodeError as error:
        raise ImportFileError(f"{path}: byte {error.start + 1} is not UTF-8; allowed: UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ImportFileError(f"{path}: not JSON that can be read: {error}") from None
    runs = document.get("runs") if isinstance(document, dict) else None
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        raise ImportFileError(f"{path}, field 'runs': allowed: a list of one or more runs")
    ids = [run.get("run_id") for run in runs]
    if all(type(run_id) is int for run_id in ids) and len(set(ids)) == len(ids):
        runs.sort(key=lambda run: run["run_id"])
    return runs


def _records(run: dict[str, Any], where: str) -> list[dict[str, Any]]:
    records = run.get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ImportFileError(f"{where}, field 'records': allowed: a list of objects")
    return records

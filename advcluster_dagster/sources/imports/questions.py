"""Import questions from JSON Lines, or from records of any form through a field map.

Memory holds the questions of one benchmark; they are small compared to their traces.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from advcluster_dagster.contracts.inference import ANSWER_TYPES, BENCHMARK_QUESTIONS
from advcluster_dagster.sources.imports import fields
from advcluster_dagster.sources.imports.copies import file_hash
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.field_map import FieldMap
from advcluster_dagster.sources.imports.fields import Field
from advcluster_dagster.sources.imports.json_lines import JsonLines, Progress
from advcluster_dagster.sources.imports.mapped_questions import MappedQuestions
from advcluster_dagster.sources.imports.provenance import ImportOutcome, ImportSummary
from advcluster_dagster.sources.imports.records import Record, is_table
from advcluster_dagster.sources.imports.staging import BeforeStoring, StagedFile, questions_file, staging, store
from advcluster_dagster.sources.imports.targets import check_benchmark
from advcluster_dagster.study.study import Study

_COLUMN_NAMES = tuple(column.name for column in BENCHMARK_QUESTIONS.columns)
QUESTION_FIELDS = {
    field.name: field
    for field in (
        Field("question_id", fields.is_name, fields.NAME, is_required=True),
        Field("question", fields.is_filled_text, fields.FILLED_TEXT, is_required=True),
        Field("answer", fields.is_answer, fields.ANSWER, is_required=True),
        Field("answer_type", ANSWER_TYPES.__contains__, ", ".join(ANSWER_TYPES), is_required=True),
        Field("prompt", fields.is_filled_text, fields.FILLED_TEXT),
        Field("answer_context", fields.is_json_object, "an object, or text that holds one"),
        Field("source", fields.is_name, fields.NAME),
        Field("source_revision", fields.is_name, fields.NAME),
        Field("source_key", fields.is_name, fields.NAME),
        Field("benchmark", fields.is_name, fields.NAME),
        Field("domain", fields.is_name, fields.NAME),
    )
}


def import_questions(
    path: Path,
    study: Study,
    domain: str,
    benchmark: str,
    imports_root: Path,
    on_progress: Progress | None = None,
    *,
    fields_given: FieldMap | None = None,
    answer_type: str | None = None,
    before_storing: BeforeStoring = store,
) -> ImportSummary:
    """Import the questions of a benchmark, replacing any imported before.

    A numeric answer keeps its spelling; prompt defaults to the question, source to the file name and source_revision
    to the beginning of its hash.

    Args:
        path: JSON Lines (plain or gzipped) or a JSON array in our own columns; with ``fields_given``, any fields.
            Parquet and CSV are always read through a map, by common field names unless some are given.
        study: The study.
        domain: Domain of the benchmark.
        benchmark: The benchmark.
        imports_root: Folder of imports.
        on_progress: Called with bytes processed and bytes in total.
        fields_given: Field map, see :mod:`.field_map`.
        answer_type: How answers are compared, for records read through a map.
        before_storing: Called once everything is read; an exception leaves the existing imports unchanged.

    Raises:
        ImportFileError: any input is invalid; nothing is imported then.
    """
    check_benchmark(study, domain, benchmark, path)
    check_source_is_imported(study, benchmark, path)
    with staging(imports_root, study.study) as files:
        outcome = ImportOutcome()
        if fields_given is None and not is_table(path):
            lines: Iterable[Record] = JsonLines(path, on_progress)
        else:
            mapped = MappedQuestions(path, fields_given or FieldMap({}, {}), answer_type)
            lines, outcome.facts = mapped.records(benchmark, on_progress), mapped.facts
        records = _read(lines, path, study, domain, benchmark, imports_root)
        source_format: Any = "json_lines" if isinstance(lines, JsonLines) else "mapped_questions"
        sha256 = lines.sha256 if isinstance(lines, JsonLines) else file_hash(path)
        defaults = {"benchmark": benchmark, "source": path.name, "source_revision": f"sha256:{sha256[:12]}"}
        staged = files.stage(questions_file(imports_root, study.study, domain, benchmark), BENCHMARK_QUESTIONS.columns)
        for record in records.values():
            stage_question(staged, {**defaults, "prompt": record["question"], **record})
        summary = ImportSummary("questions", source_format, domain, benchmark, path.name, sha256, n_rows=staged.n_rows)
        staged.finish(summary)
        outcome.summaries.append(summary)
        before_storing(outcome, files)
    return summary


def stage_question(staged: StagedFile, question: Mapping[str, Any]) -> None:
    """Append a question given by column names; source_key defaults to its id."""
    question = {**question, "source_key": question.get("source_key") or question["question_id"]}
    staged.append([question.get(name) for name in _COLUMN_NAMES], len(question["question"]) + len(question["prompt"]))


def answer_text(answer: str | int | fields.SpelledFloat) -> str:
    """Convert a gold answer to text; a number keeps its spelling in the file."""
    return answer.spelling if isinstance(answer, fields.SpelledFloat) else str(answer)


def check_source_is_imported(study: Study, benchmark: str, path: Path) -> None:
    """Check that the study takes a benchmark's questions from imports.

    Raises:
        ImportFileError: the benchmark has another source.
    """
    if (source := study.benchmark(benchmark).source) != "imported":
        raise ImportFileError(
            f"{path}: questions of benchmark {benchmark} are {source}; allowed: benchmarks with source: imported"
        )


def check_answer_type(
    known: Sequence[Mapping[str, Any]], answer_type: str | None, benchmark: str, path: Path, target: Path
) -> None:
    """Check a given answer type against that of the questions imported before, the rows of ``target``.

    Raises:
        ImportFileError: some of the questions have another answer type.
    """
    others = [row["answer_type"] for row in known if answer_type not in (row["answer_type"], None)]
    if others:
        raise ImportFileError(
            f"{path}: --answer-type {answer_type}, but {len(others)} of the {len(known)} questions imported for "
            f"{benchmark} are compared as {', '.join(sorted(set(others)))}; omit --answer-type to keep that, or "
            f"import the questions again, or remove {target} and import once more"
        )


def check_question_ids(
    places: Mapping[str, str], imports_root: Path, study: Study, domain: str, benchmark: str
) -> None:
    """Check that no question id (with its position) is used by another imported benchmark of the study.

    Raises:
        ImportFileError: another benchmark has a question of the same id.
    """
    for other_domain, names in study.domains.items():
        for name in names:
            path = questions_file(imports_root, study.study, other_domain, name)
            if (other_domain, name) != (domain, benchmark) and path.exists():
                for question_id in places.keys() & imported_question_ids(path):
                    raise ImportFileError(
                        f"{places[question_id]}, field 'question_id': {shown(question_id)} of benchmark {benchmark} "
                        f"is also a question of benchmark {name}; allowed: ids unique in the study"
                    )


def imported_question_ids(path: Path) -> list[str]:
    """Question ids of an imported file, in file order."""
    ids: list[str] = pq.read_table(path, columns=["question_id"]).column(0).to_pylist()
    return ids


def _read(
    lines: Iterable[Record], path: Path, study: Study, domain: str, benchmark: str, imports_root: Path
) -> dict[str, dict[str, Any]]:
    """Validate the records and return them by question id, without null fields."""
    places: dict[str, str] = {}
    records: dict[str, dict[str, Any]] = {}
    for where, record in lines:
        fields.check_record(record, QUESTION_FIELDS, where)
        fields.check_agreement(record, {"benchmark": benchmark, "domain": domain}, where)
        question_id = record["question_id"]
        if question_id in records:
            raise ImportFileError(
                f"{where}, field 'question_id': {shown(question_id)} already occurs in "
                f"{places[question_id].rpartition(', ')[2]}; "
                "allowed: each question once"
            )
        places[question_id] = where
        records[question_id] = {name: value for name, value in record.items() if value is not None}
        records[question_id]["answer"] = answer_text(record["answer"])
        records[question_id]["answer_context"] = fields.as_json(record.get("answer_context"))
    if not records:
        raise ImportFileError(f"{path}: the file contains no questions; allowed: one JSON object per line")
    check_question_ids(places, imports_root, study, domain, benchmark)
    return records

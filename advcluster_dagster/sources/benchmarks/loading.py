"""Convert the rows of a data set to the questions of a benchmark."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from advcluster_dagster.contracts.inference import ANSWER_TYPES, BENCHMARK_QUESTIONS
from advcluster_dagster.sources.benchmarks.data_files import DataFile, find_data_file, read_rows
from advcluster_dagster.sources.benchmarks.definition import BadRowError, BenchmarkDefinition, BenchmarkError, Item, Row
from advcluster_dagster.sources.imports import fields
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.benchmarks import Benchmark

#: Bad rows listed in one warning; further ones are only counted.
N_NAMED = 20


@dataclass(frozen=True)
class Loaded:
    """Questions of one benchmark in one domain, and notes for the user."""

    questions: pl.DataFrame
    warnings: tuple[str, ...]


def load_benchmark(home: Home, definition: BenchmarkDefinition, settings: Benchmark, domain: str) -> Loaded:
    """Load the questions of a benchmark in file order.

    Rows without an answer, with a repeated id or that cannot be read are skipped and listed in a warning.

    Raises:
        BenchmarkError: the file could not be found or read, or contains no question of the domain.
    """
    expected = definition.expected_size(domain)
    file = find_data_file(home, definition, settings, domain)
    items, faults = _read(definition, read_rows(file.path), domain)
    if not items:
        first = f"; {faults[0]}" if faults else ""
        raise BenchmarkError(f"benchmark {definition.name!r}: {file.path} has no question of domain {domain}{first}")
    where = f"benchmark {definition.name} of domain {domain}"
    warnings = []
    if faults:
        more = f" (and {len(faults) - N_NAMED} more)" if len(faults) > N_NAMED else ""
        warnings.append(f"{where}: rows skipped: {len(faults)}, {'; '.join(faults[:N_NAMED])}{more}")
    if expected is not None and len(items) != expected:
        warnings.append(f"{where}: questions found: {len(items)}, expected: {expected}")
    return Loaded(_frame(definition, items, domain, file), tuple(warnings))


def _read(definition: BenchmarkDefinition, rows: Iterable[Any], domain: str) -> tuple[dict[str, Item], list[str]]:
    """Return questions by id, and a line for each bad row."""
    items: dict[str, Item] = {}
    places: dict[str, int] = {}
    faults = []
    for number, values in enumerate(rows):
        try:
            if not isinstance(values, dict):
                raise BadRowError("not a JSON object")
            item = definition.read(Row(values, number), domain)
            if item is not None:
                question_id = item.source_id if definition.keeps_ids else f"{definition.name}-{item.source_id}"
                _check(question_id, item)
                if question_id in items:
                    raise BadRowError(f"id {question_id} already occurs in row {places[question_id] + 1}")
                items[question_id], places[question_id] = item, number
        except BadRowError as fault:
            faults.append(f"row {number + 1}: {fault}")
    return items, faults


def _check(question_id: str, item: Item) -> None:
    if not fields.is_name(question_id):
        raise BadRowError(f"id {shown(question_id)} is not {fields.NAME}")
    if item.answer_type not in ANSWER_TYPES:
        raise BadRowError(f"answer_type {shown(item.answer_type)} is not one of {', '.join(ANSWER_TYPES)}")
    try:
        fields.check_characters({"question": item.question, "prompt": item.prompt, "answer": item.answer}, "text")
    except ImportFileError as error:
        raise BadRowError(str(error)) from None


def _frame(definition: BenchmarkDefinition, items: dict[str, Item], domain: str, file: DataFile) -> pl.DataFrame:
    rows = [
        {
            "question_id": question_id,
            "benchmark": definition.name,
            "question": item.question,
            "prompt": item.prompt,
            "answer": item.answer,
            "answer_type": item.answer_type,
            "answer_context": json.dumps(item.context, ensure_ascii=True) if item.context else None,
            "source": file.source,
            "source_revision": file.revision,
            "source_key": item.source_key or question_id,
        }
        for question_id, item in items.items()
    ]
    columns = {column.name: column.dtype for column in BENCHMARK_QUESTIONS.columns}
    return pl.DataFrame(rows, schema={name: dtype for name, dtype in columns.items() if name != "domain"})

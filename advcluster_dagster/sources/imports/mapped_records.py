"""Read traces and their questions from records of any form through a field map.

A record is one trial of a question, or several if its response is a list of texts.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.field_map import FieldMap
from advcluster_dagster.sources.imports.json_lines import Progress
from advcluster_dagster.sources.imports.log_folder import LogFiles
from advcluster_dagster.sources.imports.logged_trials import LoggedTrial, LogHeader
from advcluster_dagster.sources.imports.mapped_questions import MappedQuestions, field_name, not_text_message
from advcluster_dagster.sources.imports.records import read_records

#: Columns that identify the model of a trace.
_OF_MODEL = ("model", "role", "label")
_WORDS = {"true": True, "1": True, "false": False, "0": False}


class MappedRecords:
    """A file of records as a log of one model; see :class:`~.logged_trials.EvaluationLog`."""

    def __init__(self, path: Path, given: FieldMap, answer_type: str | None = None) -> None:
        """Read the first record.

        Args:
            path: JSON Lines, a JSON array, Parquet or CSV.
            given: Fields and constants for columns; other columns use their common field names.
            answer_type: How answers are compared; None to use the file's answer_type or infer it from the gold answers.

        Raises:
            ImportFileError: the file has no record, or no field for the response.
        """
        self._path = path
        self._questions = MappedQuestions(path, given, answer_type)
        self.map = self._questions.map
        if "response" not in self.map.paths:
            where, names = self._questions.first_place, ", ".join(map(str, list(self._questions.first)[:40]))
            raise ImportFileError(f"{where}: no field for response; map it with --map response=FIELD; it has {names}")
        self._of_model = {name: self.map.value(self._questions.first, name) for name in _OF_MODEL}
        self.warnings: list[str] = []

    @property
    def header(self) -> LogHeader:
        """Header of the log; the model is named in the first record, else by the file name."""
        name = str(self._of_model["model"] or self._path.name.split(".")[0])
        role, label = (
            None if (value := self._of_model[column]) is None else str(value) for column in ("role", "label")
        )
        names = (name, name.rpartition("/")[2])
        return LogHeader(self._path, "", names, str(self._path), self._path.name, role=role, label=label)

    @property
    def facts(self) -> list[str]:
        """Describe the fields that were read."""
        return self._questions.facts

    def trials(self, benchmark: str, on_progress: Progress | None = None) -> Iterator[LoggedTrial]:
        """Yield the trials; see :class:`~.logged_trials.EvaluationLog`.

        Raises:
            ImportFileError: a record lacks its question's id and text, belongs to another model, or has a list or
                object instead of text.
        """
        n_trials: Counter[str] = Counter()
        for where, record in read_records(self._path, on_progress):
            for column, first in self._of_model.items():
                if (value := self.map.value(record, column)) != first:
                    raise ImportFileError(
                        f"{where}: {column} is {shown(value)}, but {shown(first)} in the first record; allowed: one"
                        " model per file"
                    )
            question = self._questions.question(record, where)
            ids = self._questions.ids(record, question, benchmark, where)
            first_trial, responses = self._responses(record, where)
            for place, response in enumerate(responses):
                trial = n_trials[ids[-1]] if first_trial is None else first_trial + place
                n_trials[ids[-1]] += 1
                yield LoggedTrial(where, ids, question, trial, {"response": response, **self._trace_fields(record)})

    def _responses(self, record: Mapping[str, Any], where: str) -> tuple[int | None, list[str | None]]:
        response, trial = self.map.value(record, "response"), self.map.value(record, "trial")
        trial = int(trial) if isinstance(trial, str) and trial.isdecimal() else trial
        if trial is not None and (type(trial) is not int or trial < 0):
            raise ImportFileError(
                f"{where}, field '{field_name(self.map, 'trial')}': {shown(trial)}; allowed: 0, 1, 2, ..."
            )
        if isinstance(response, list) and all(isinstance(text, str | None) for text in response):
            return trial, response
        if isinstance(response, list | dict):
            raise ImportFileError(not_text_message("response", response, self.map, where))
        return trial, [response if response is None else str(response)]

    def _trace_fields(self, record: Mapping[str, Any]) -> dict[str, Any]:
        values = {
            column: self.map.value(record, column)
            for column in ("finish_reason", "prompt_tokens", "completion_tokens", "recorded_correct")
        }
        recorded = values["recorded_correct"]
        values["recorded_correct"] = _WORDS.get(str(recorded).lower()) if not isinstance(recorded, bool) else recorded
        for column in ("prompt_tokens", "completion_tokens"):
            value = values[column]
            values[column] = int(value) if isinstance(value, str) and value.isdecimal() else value
        return {column: value for column, value in values.items() if value is not None}


def mapped_logs(path: Path, given: FieldMap, answer_type: str | None = None) -> LogFiles:
    """Wrap a file of records, or the record files of a folder, as logs."""
    suffixes = (".jsonl", ".json", ".ndjson", ".gz", ".parquet", ".csv", ".tsv")
    files = sorted(each for each in path.rglob("*") if each.suffix in suffixes) if path.is_dir() else [path]
    if not files:
        raise ImportFileError(f"{path}: the folder contains no file of records; allowed: {', '.join(suffixes)}")
    opened: Callable[[Path], MappedRecords] = lambda file: MappedRecords(file, given, answer_type)  # noqa: E731
    return LogFiles("mapped_records", tuple(files), opened, lambda _: None)

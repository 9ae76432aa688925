"""Questions and traces in records of any form, read through a map of their fields.

A record is a trial of a question, or several where its response is a list of texts. Without an id the question's text
identifies it.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.field_map import FieldMap, completed
from advcluster_dagster.sources.imports.fields import SpelledFloat
from advcluster_dagster.sources.imports.json_lines import Progress
from advcluster_dagster.sources.imports.log_folder import FoundLogs
from advcluster_dagster.sources.imports.logged_trials import LoggedTrial, LogHeader
from advcluster_dagster.sources.imports.records import read_records

#: GSM8K's mark before a gold answer, as `#### 18` or `# 18`.
_GOLD_MARK = re.compile(r"#+\s+")
_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+(?:[eE][-+]?\d+)?%?")
_LETTER = re.compile(r"\(?[A-J]\)?")
_MATHEMATICS = re.compile(r"[\\^_{}$]|\d\s*[/+*-]\s*\d")
_LITERAL = re.compile(r"""[\[({'"].*[\])}'"]""", re.DOTALL)
_WORDS = {"true": True, "1": True, "false": False, "0": False}


class MappedRecords:
    """A file of records as a log of one model; see :class:`~.logged_trials.EvaluationLog`."""

    def __init__(self, path: Path, given: FieldMap, answer_type: str | None = None) -> None:
        """Read the first record.

        Args:
            path: JSON Lines, a JSON array, Parquet or CSV.
            given: fields and constants for columns; others have their usual fields.
            answer_type: how answers are compared; None to take the file's word, else what its gold answers look like.

        Raises:
            ImportFileError: there is no record, or no field for the response.
        """
        self._path = path
        where, first = next(read_records(path), ("", {}))
        if not first:
            raise ImportFileError(f"{path}: the file holds no records; allowed: one JSON object a line, or a table")
        self.map = completed(given, first, where)
        self._answer_type = answer_type
        if "response" not in self.map.paths:
            names = ", ".join(map(str, list(first)[:40]))
            raise ImportFileError(f"{where}: no field for response; name it with --map response=FIELD; it has {names}")
        self._model = self.map.value(first, "model")
        self.warnings: list[str] = []

    @property
    def header(self) -> LogHeader:
        """The model is the first record's, else the file is named for it."""
        name = str(self._model or self._path.name.split(".")[0])
        return LogHeader(self._path, "", (name, name.rpartition("/")[2]), str(self._path), self._path.name)

    @property
    def facts(self) -> list[str]:
        """The fields that were read."""
        guessed = "" if self._kind is None else f"; gold answers look {self._kind}"
        return [f"fields of {self._path.name}: {self.map.described()}{guessed}"]

    @cached_property
    def _kind(self) -> str | None:
        """What the gold answers look like, where nothing else says how they are compared."""
        if self._answer_type is not None or "answer_type" in (*self.map.paths, *self.map.constants):
            return None
        return kind_of_golds([self._gold(record) for _, record in read_records(self._path)])

    def trials(self, benchmark: str, on_progress: Progress | None = None) -> Iterator[LoggedTrial]:
        """Its trials; see :class:`~.logged_trials.EvaluationLog`.

        Raises:
            ImportFileError: a record lacks its question's id and text, holds another model, or a list or object where
                a text belongs.
        """
        n_trials: Counter[str] = Counter()
        for where, record in read_records(self._path, on_progress):
            if (model := self.map.value(record, "model")) != self._model:
                raise ImportFileError(
                    f"{where}: of model {shown(model)}, the first record is of {shown(self._model)}; allowed: one model"
                    " a file"
                )
            question = self._question(record, where)
            ids = self._ids(record, question, benchmark, where)
            first_trial, responses = self._responses(record, where)
            for place, response in enumerate(responses):
                trial = n_trials[ids[-1]] if first_trial is None else first_trial + place
                n_trials[ids[-1]] += 1
                yield LoggedTrial(where, ids, question, trial, {"response": response, **self._of_trace(record)})

    def _question(self, record: Mapping[str, Any], where: str) -> dict[str, Any]:
        found = {column: self._text(record, column, where) for column in ("question", "prompt", "source_key")}
        question: dict[str, Any] = {column: text for column, text in found.items() if text is not None}
        if "question" in question:
            question.setdefault("prompt", question["question"])
        if (gold := self._gold(record)) is not None:
            if isinstance(gold, list | dict | bool):
                raise ImportFileError(_not_a_text("answer", gold, self.map, where))
            question["answer"] = gold
        if options := self.map.value(record, "options"):
            question["answer_context"] = {"options": options}
        kind = self._answer_type or self._text(record, "answer_type", where) or self._kind
        return {**question, "answer_type": kind, "source": self._path.name}

    def _gold(self, record: Mapping[str, Any]) -> Any:
        gold = self.map.value(record, "answer")
        return _GOLD_MARK.sub("", gold, count=1) if isinstance(gold, str) and _GOLD_MARK.match(gold) else gold

    def _ids(
        self, record: Mapping[str, Any], question: Mapping[str, Any], benchmark: str, where: str
    ) -> tuple[str, ...]:
        name = self.map.value(record, "question_id")
        if isinstance(name, str) and not name.isdecimal():
            return (name,)
        if name is not None and not isinstance(name, list | dict | bool):
            return (str(name), f"{benchmark}-{name}")
        if not (text := question.get("question")):
            raise ImportFileError(f"{where}: no id and no text of the question; name one with --map question_id=FIELD")
        return (f"{benchmark}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}",)

    def _responses(self, record: Mapping[str, Any], where: str) -> tuple[int | None, list[str | None]]:
        response, trial = self.map.value(record, "response"), self.map.value(record, "trial")
        trial = int(trial) if isinstance(trial, str) and trial.isdecimal() else trial
        if trial is not None and (type(trial) is not int or trial < 0):
            raise ImportFileError(f"{where}, field '{_name(self.map, 'trial')}': {shown(trial)}; allowed: 0, 1, 2, ...")
        if isinstance(response, list) and all(isinstance(text, str | None) for text in response):
            return trial, response
        if isinstance(response, list | dict):
            raise ImportFileError(_not_a_text("response", response, self.map, where))
        return trial, [response if response is None else str(response)]

    def _of_trace(self, record: Mapping[str, Any]) -> dict[str, Any]:
        found = {
            column: self.map.value(record, column)
            for column in ("finish_reason", "prompt_tokens", "completion_tokens", "recorded_correct")
        }
        recorded = found["recorded_correct"]
        found["recorded_correct"] = _WORDS.get(str(recorded).lower()) if not isinstance(recorded, bool) else recorded
        for column in ("prompt_tokens", "completion_tokens"):
            value = found[column]
            found[column] = int(value) if isinstance(value, str) and value.isdecimal() else value
        return {column: value for column, value in found.items() if value is not None}

    def _text(self, record: Mapping[str, Any], column: str, where: str) -> str | None:
        value = self.map.value(record, column)
        if isinstance(value, list | dict):
            raise ImportFileError(_not_a_text(column, value, self.map, where))
        return None if value is None else str(value)


def mapped_logs(path: Path, given: FieldMap, answer_type: str | None = None) -> FoundLogs:
    """A file of records, or those in a folder, in the place of logs."""
    suffixes = (".jsonl", ".json", ".ndjson", ".gz", ".parquet", ".csv", ".tsv")
    files = sorted(each for each in path.rglob("*") if each.suffix in suffixes) if path.is_dir() else [path]
    if not files:
        raise ImportFileError(f"{path}: the folder holds no file of records; allowed: {', '.join(suffixes)}")
    opened: Callable[[Path], MappedRecords] = lambda file: MappedRecords(file, given, answer_type)  # noqa: E731
    return FoundLogs("mapped_records", tuple(files), opened, lambda _: None)


def kind_of_golds(golds: list[Any]) -> str:
    """The answer type that nearly all gold answers fit: numeric, choice, python_output, math or else text.

    >>> kind_of_golds(["18", "1,200"]), kind_of_golds(["A", "(C)"]), kind_of_golds(["[1, 2]", "'ab'", "3"])
    ('numeric', 'choice', 'python_output')
    """
    texts = [gold.spelling if isinstance(gold, SpelledFloat) else str(gold) for gold in golds if gold is not None]
    patterns = (("numeric", _NUMBER), ("choice", _LETTER))
    for kind, pattern in patterns:
        if texts and sum(bool(pattern.fullmatch(text.strip())) for text in texts) >= 0.98 * len(texts):
            return kind
    n_literals = sum(bool(_LITERAL.fullmatch(text.strip())) for text in texts)
    n_mathematics = sum(bool(_MATHEMATICS.search(text) or _NUMBER.fullmatch(text.strip())) for text in texts)
    if n_literals > 0.4 * len(texts):
        return "python_output"
    return "math" if texts and n_mathematics >= 0.5 * len(texts) else "text"


def _name(fields: FieldMap, column: str) -> str:
    return ".".join(fields.paths.get(column, (column,)))


def _not_a_text(column: str, value: Any, fields: FieldMap, where: str) -> str:
    kind = "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "true or false"
    deeper = f"{_name(fields, column)}.{0 if isinstance(value, list) else next(iter(value), 'NAME')}"
    hint = f"; name a part of it with --map {column}={deeper}" if not isinstance(value, bool) else ""
    return f"{where}, field '{_name(fields, column)}': is {kind}; allowed: text or a number{hint}"

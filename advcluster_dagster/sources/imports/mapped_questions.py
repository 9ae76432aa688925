"""Read questions from records of any form through a field map.

A question without an id is identified by a hash of its text.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.field_map import FieldMap, complete_map
from advcluster_dagster.sources.imports.fields import SpelledFloat
from advcluster_dagster.sources.imports.json_lines import Progress
from advcluster_dagster.sources.imports.records import Record, read_records

#: GSM8K's marker before a gold answer, as in `#### 18` or `# 18`.
_GOLD_MARK = re.compile(r"#+\s+")
_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+(?:[eE][-+]?\d+)?%?")
_LETTER = re.compile(r"\(?[A-J]\)?")
_MATHEMATICS = re.compile(r"[\\^_{}$]|\d\s*[/+*-]\s*\d")
_LITERAL = re.compile(r"""[\[({'"].*[\])}'"]""", re.DOTALL)


class MappedQuestions:
    """The questions of a file of records."""

    def __init__(self, path: Path, given: FieldMap, answer_type: str | None = None) -> None:
        """Read the first record.

        Args:
            path: JSON Lines, a JSON array, Parquet or CSV.
            given: Fields and constants for columns; other columns use their common field names.
            answer_type: How answers are compared; None to use the file's answer_type or infer it from the gold answers.

        Raises:
            ImportFileError: the file has no record, or the first one lacks a field of ``given``.
        """
        self._path = path
        where, first = next(read_records(path), ("", {}))
        if not first:
            raise ImportFileError(f"{path}: the file has no records; allowed: one JSON object per line, or a table")
        self.first_place, self.first = where, first
        self.map = complete_map(given, first, where)
        self._answer_type = answer_type

    @property
    def facts(self) -> list[str]:
        """Describe the fields that were read."""
        guessed = "" if self._kind is None else f"; gold answers look {self._kind}"
        return [f"fields of {self._path.name}: {self.map.describe()}{guessed}"]

    @cached_property
    def _kind(self) -> str | None:
        """Answer type inferred from the gold answers; None if it is given elsewhere."""
        if self._answer_type is not None or "answer_type" in (*self.map.paths, *self.map.constants):
            return None
        return infer_answer_type([self._gold_of(record) for _, record in read_records(self._path)])

    def records(self, benchmark: str, on_progress: Progress | None = None) -> Iterator[Record]:
        """Yield position and question of each record, by columns of ``benchmark_questions``.

        Raises:
            ImportFileError: a record lacks both id and text of its question, or has a list instead of text.
        """
        for where, record in read_records(self._path, on_progress):
            question = self.question(record, where)
            yield where, {"question_id": self.ids(record, question, benchmark, where)[-1], **question}

    def question(self, record: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Extract a record's question by columns; missing columns are omitted, except answer_type."""
        texts = {column: self._text(record, column, where) for column in ("question", "prompt", "source_key")}
        question: dict[str, Any] = {column: text for column, text in texts.items() if text is not None}
        if "question" in question:
            question.setdefault("prompt", question["question"])
        if (gold := self._gold_of(record)) is not None:
            if isinstance(gold, list | dict | bool):
                raise ImportFileError(not_text_message("answer", gold, self.map, where))
            question["answer"] = gold
        if options := self.map.value(record, "options"):
            question["answer_context"] = {"options": options}
        kind = self._answer_type or self._text(record, "answer_type", where) or self._kind
        return {**question, "answer_type": kind, "source": self._path.name}

    def ids(
        self, record: Mapping[str, Any], question: Mapping[str, Any], benchmark: str, where: str
    ) -> tuple[str, ...]:
        """Possible ids of a question; the last one is assigned if the question is new.

        Raises:
            ImportFileError: the record has neither an id nor the text of its question.
        """
        name = self.map.value(record, "question_id")
        if isinstance(name, str) and not name.isdecimal():
            return (name,)
        if name is not None and not isinstance(name, list | dict | bool):
            return (str(name), f"{benchmark}-{name}")
        if not (text := question.get("question")):
            raise ImportFileError(f"{where}: no id and no text of the question; map one with --map question_id=FIELD")
        return (f"{benchmark}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}",)

    def _gold_of(self, record: Mapping[str, Any]) -> Any:
        gold = self.map.value(record, "answer")
        return _GOLD_MARK.sub("", gold, count=1) if isinstance(gold, str) and _GOLD_MARK.match(gold) else gold

    def _text(self, record: Mapping[str, Any], column: str, where: str) -> str | None:
        value = self.map.value(record, column)
        if isinstance(value, list | dict):
            raise ImportFileError(not_text_message(column, value, self.map, where))
        return None if value is None else str(value)


def infer_answer_type(golds: list[Any]) -> str:
    """Infer the answer type that fits most gold answers: numeric, choice, python_output, math, else text.

    >>> infer_answer_type(["18", "1,200"]), infer_answer_type(["A", "(C)"]), infer_answer_type(["[1, 2]", "'ab'", "3"])
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


def field_name(fields: FieldMap, column: str) -> str:
    """The field that holds a column, as a dotted path."""
    return ".".join(fields.paths.get(column, (column,)))


def not_text_message(column: str, value: Any, fields: FieldMap, where: str) -> str:
    """Error message for a list, object or boolean where text is expected."""
    kind = "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "true or false"
    deeper = f"{field_name(fields, column)}.{0 if isinstance(value, list) else next(iter(value), 'NAME')}"
    hint = f"; map a part of it with --map {column}={deeper}" if not isinstance(value, bool) else ""
    return f"{where}, field '{field_name(fields, column)}': is {kind}; allowed: text or a number{hint}"

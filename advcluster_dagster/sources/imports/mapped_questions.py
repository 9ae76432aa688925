"""Questions in records of any form, read through a map of their fields.

Without an id its text identifies a question.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.field_map import FieldMap, completed
from advcluster_dagster.sources.imports.fields import SpelledFloat
from advcluster_dagster.sources.imports.json_lines import Progress
from advcluster_dagster.sources.imports.records import Record, read_records

#: GSM8K's mark before a gold answer, as `#### 18` or `# 18`.
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
            given: fields and constants for columns; others have their usual fields.
            answer_type: how answers are compared; None to take the file's word, else what its gold answers look like.

        Raises:
            ImportFileError: there is no record, or the first one lacks a field that was given.
        """
        self._path = path
        where, first = next(read_records(path), ("", {}))
        if not first:
            raise ImportFileError(f"{path}: the file holds no records; allowed: one JSON object a line, or a table")
        self.first_place, self.first = where, first
        self.map = completed(given, first, where)
        self._answer_type = answer_type

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

    def records(self, benchmark: str, on_progress: Progress | None = None) -> Iterator[Record]:
        """Place and question of each record, by columns of ``benchmark_questions``.

        Raises:
            ImportFileError: a record lacks both id and text of its question, or has a list where a text belongs.
        """
        for where, record in read_records(self._path, on_progress):
            question = self.question(record, where)
            yield where, {"question_id": self.ids(record, question, benchmark, where)[-1], **question}

    def question(self, record: Mapping[str, Any], where: str) -> dict[str, Any]:
        """What a record holds of its question, by columns; what it lacks is left out, but for the answer type."""
        texts = {column: self._text(record, column, where) for column in ("question", "prompt", "source_key")}
        question: dict[str, Any] = {column: text for column, text in texts.items() if text is not None}
        if "question" in question:
            question.setdefault("prompt", question["question"])
        if (gold := self._gold(record)) is not None:
            if isinstance(gold, list | dict | bool):
                raise ImportFileError(not_a_text("answer", gold, self.map, where))
            question["answer"] = gold
        if options := self.map.value(record, "options"):
            question["answer_context"] = {"options": options}
        kind = self._answer_type or self._text(record, "answer_type", where) or self._kind
        return {**question, "answer_type": kind, "source": self._path.name}

    def ids(
        self, record: Mapping[str, Any], question: Mapping[str, Any], benchmark: str, where: str
    ) -> tuple[str, ...]:
        """Ids under which a question may be known; the last is the one it gets where it is new.

        Raises:
            ImportFileError: the record holds neither an id nor the text of its question.
        """
        name = self.map.value(record, "question_id")
        if isinstance(name, str) and not name.isdecimal():
            return (name,)
        if name is not None and not isinstance(name, list | dict | bool):
            return (str(name), f"{benchmark}-{name}")
        if not (text := question.get("question")):
            raise ImportFileError(f"{where}: no id and no text of the question; name one with --map question_id=FIELD")
        return (f"{benchmark}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}",)

    def _gold(self, record: Mapping[str, Any]) -> Any:
        gold = self.map.value(record, "answer")
        return _GOLD_MARK.sub("", gold, count=1) if isinstance(gold, str) and _GOLD_MARK.match(gold) else gold

    def _text(self, record: Mapping[str, Any], column: str, where: str) -> str | None:
        value = self.map.value(record, column)
        if isinstance(value, list | dict):
            raise ImportFileError(not_a_text(column, value, self.map, where))
        return None if value is None else str(value)


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


def field_name(fields: FieldMap, column: str) -> str:
    """The field that holds a column, as a dotted path."""
    return ".".join(fields.paths.get(column, (column,)))


def not_a_text(column: str, value: Any, fields: FieldMap, where: str) -> str:
    """The message on a list, object or flag where a text belongs."""
    kind = "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "true or false"
    deeper = f"{field_name(fields, column)}.{0 if isinstance(value, list) else next(iter(value), 'NAME')}"
    hint = f"; name a part of it with --map {column}={deeper}" if not isinstance(value, bool) else ""
    return f"{where}, field '{field_name(fields, column)}': is {kind}; allowed: text or a number{hint}"

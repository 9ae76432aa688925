"""Map fields of third-party records to our columns, as given with ``--map`` or by common field names.

Paths are dotted, list items by index: ``output.0``, ``metadata.gold``. A constant is a whole number or quoted text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advcluster_dagster.sources.imports.errors import ImportFileError, shown

#: Columns that a record may provide, with their common field names; the first one present in a file is used.
USUAL_FIELDS: dict[str, tuple[str, ...]] = {
    "question_id": ("question_id", "session_id", "id", "task_id", "doc_id", "qid", "uid", "index"),
    "question": ("question", "problem", "query", "prompt", "input", "instruction"),
    "answer": ("answer", "gold", "target", "reference", "correct_answer", "label", "ground_truth"),
    "answer_type": ("answer_type",),
    "prompt": (),
    "options": ("options", "choices"),
    "source_key": ("source_key",),
    "response": ("response", "output", "outputs", "completion", "completions", "raw_generations", "generations",
                 "generation", "model_output", "reply"),
    "model": ("model", "generator", "model_name", "model_id"),
    "role": (),
    "label": (),
    "trial": ("trial", "epoch", "sample_index"),
    "finish_reason": ("finish_reason", "stop_reason"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
    "recorded_correct": ("recorded_correct", "correct", "is_correct"),
}  # fmt: skip
_MISSING = object()
_QUOTED = re.compile(r"""(['"])(.*)\1""", re.DOTALL)


@dataclass(frozen=True)
class FieldMap:
    """Paths and constants by column; a path is a sequence of names and list indices."""

    paths: Mapping[str, tuple[str, ...]]
    constants: Mapping[str, Any]

    def value(self, record: Mapping[str, Any], column: str) -> Any:
        """Return a record's value for a column, or None if it has none."""
        if column in self.constants:
            return self.constants[column]
        value = _follow(record, self.paths[column]) if column in self.paths else None
        return None if value is _MISSING else value

    def describe(self) -> str:
        """List every column with its field or constant."""
        parts = [f"{column} = {'.'.join(path)}" for column, path in self.paths.items()]
        return ", ".join([*parts, *(f"{column} = {json.dumps(value)}" for column, value in self.constants.items())])


def parse_map(entries: Sequence[str]) -> FieldMap:
    """Parse ``column=path`` and ``column='constant'`` entries.

    Raises:
        ImportFileError: an entry is malformed, names an unknown column, or repeats a column.

    >>> parse_map(["response=output.0", "answer_type='numeric'"]).paths
    {'response': ('output', '0')}
    """
    paths: dict[str, tuple[str, ...]] = {}
    constants: dict[str, Any] = {}
    for entry in entries:
        column, equals, target = (part.strip() for part in entry.partition("="))
        if not equals or not target:
            raise ImportFileError(f"--map {shown(entry)}; allowed: column=field, such as response=output.0")
        if column not in USUAL_FIELDS:
            raise ImportFileError(f"--map {shown(entry)}: column {shown(column)}; allowed: {', '.join(USUAL_FIELDS)}")
        if column in paths or column in constants:
            raise ImportFileError(f"--map {shown(entry)}: column {column} is given twice")
        if match := _QUOTED.fullmatch(target):
            constants[column] = match[2]
        elif target.isdecimal():
            constants[column] = int(target)
        else:
            paths[column] = tuple(re.sub(r"\[(\d+)\]", r".\1", target).strip(".").split("."))
    return FieldMap(paths, constants)


def complete_map(given: FieldMap, first: Mapping[str, Any], where: str) -> FieldMap:
    """Complete a map with the common field names that the first record has.

    Raises:
        ImportFileError: the first record lacks a field of ``given``.
    """
    for column, path in given.paths.items():
        if _follow(first, path) is _MISSING:
            raise ImportFileError(
                f"{where}: --map {column}={'.'.join(path)}, but there is no such field; it has {_fields(first)}"
            )
    used = {path[0] for path in given.paths.values()}
    paths = dict(given.paths)
    for column, names in USUAL_FIELDS.items():
        name = next((name for name in names if name in first and name not in used), None)
        if column not in paths and column not in given.constants and name is not None:
            paths[column] = (name,)
            used.add(name)
    return FieldMap(paths, given.constants)


def _fields(record: Mapping[str, Any]) -> str:
    names = [
        f"{name}.{inner}" if inner else name
        for name, value in record.items()
        for inner in (list(value)[:8] if isinstance(value, Mapping) and value else [""])
    ]
    return ", ".join(shown(name).strip("'\"") for name in names[:40])


def _follow(value: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return _MISSING
    return value

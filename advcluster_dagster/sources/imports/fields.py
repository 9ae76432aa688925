"""Fields of imported records and their validation.

Checks are plain functions rather than pydantic models: trace files have millions of lines, and numbers keep their
spelling.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from advcluster_dagster.sources.imports.errors import ImportFileError, shown

#: Longest text of one field, in bytes of UTF-8.
MAX_TEXT_BYTES = 16 * 2**20

_MAX_NAME_CHARACTERS = 300
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Field:
    """A field of a record; ``allowed`` describes what ``accepts`` tests. An optional field may be null."""

    name: str
    accepts: Callable[[Any], bool]
    allowed: str
    is_required: bool = False


class SpelledFloat(float):
    """A JSON number that keeps its spelling, so that an answer of 1.50 stays 1.50."""

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling


def is_text(value: Any) -> bool:
    """Text within the size limit."""
    if not isinstance(value, str):
        return False
    return len(value) <= MAX_TEXT_BYTES // 4 or len(value.encode("utf-8", "surrogatepass")) <= MAX_TEXT_BYTES


def is_text_or_null(value: Any) -> bool:
    """Text within the size limit, or null."""
    return value is None or is_text(value)


def is_filled_text(value: Any) -> bool:
    """Text that is not blank."""
    return is_text(value) and not value.isspace() and value != ""


def is_name(value: Any) -> bool:
    """A short line of printable characters."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME_CHARACTERS and value.isprintable()


def is_count(value: Any) -> bool:
    """A non-negative integer that fits a 64-bit column; booleans are excluded."""
    return type(value) is int and 0 <= value < 2**63


def is_flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def is_answer(value: Any) -> bool:
    """A text or a number."""
    return is_filled_text(value) or type(value) in (int, SpelledFloat)


def is_json_object(value: Any) -> bool:
    """An object, or the text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
    return isinstance(value, dict)


TEXT = f"text of at most {MAX_TEXT_BYTES // 2**20} MiB"
FILLED_TEXT = f"{TEXT}, not blank"
TEXT_OR_NULL = f"{TEXT}, or null for a call that failed"
ANSWER = "text that is not blank, or a number"
FLAG = "true or false"
NAME = f"a line of 1 to {_MAX_NAME_CHARACTERS} printable characters"
COUNT = "a whole number from 0"


def check_record(record: Mapping[str, Any], fields: Mapping[str, Field], where: str) -> None:
    """Check a record's fields: known names, required values, allowed values.

    Raises:
        ImportFileError: a field is unknown, missing or has an invalid value.
    """
    if unknown := record.keys() - fields.keys():
        raise ImportFileError(f"{where}, field {shown(min(unknown))}: unknown; allowed: {', '.join(fields)}")
    for field in fields.values():
        value = record.get(field.name)
        if value is None:
            if field.is_required and (field.name not in record or not field.accepts(None)):
                is_missing = "is null" if field.name in record else "is missing"
                raise ImportFileError(f"{where}, field '{field.name}': {is_missing}; allowed: {field.allowed}")
        elif not field.accepts(value):
            raise ImportFileError(f"{where}, field '{field.name}': {shown(value)}; allowed: {field.allowed}")


def check_characters(record: Mapping[str, Any], where: str) -> None:
    """Reject texts that cannot be stored in a table.

    Raises:
        ImportFileError: a text contains a NUL character or an unpaired surrogate.
    """
    for name, value in record.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if match := _UNSTORABLE.search(text):
            code = f"U+{ord(match.group()):04X}"
            raise ImportFileError(f"{where}, field {shown(name)}: contains {code}; allowed: text without it")


def check_agreement(record: Mapping[str, Any], expected: Mapping[str, str], where: str) -> None:
    """Check that fields such as ``benchmark`` agree with the arguments of the import.

    Raises:
        ImportFileError: a field has another value.
    """
    for name, value in expected.items():
        if record.get(name, value) not in (value, None):
            raise ImportFileError(f"{where}, field '{name}': {shown(record[name])}; allowed: {value!r}, as imported")


def as_json(value: Any) -> str | None:
    """Serialise to JSON; text that is already a JSON object is kept, other text becomes a JSON string."""
    if value is None or (isinstance(value, str) and is_json_object(value)):
        return value
    return json.dumps(value, ensure_ascii=False)

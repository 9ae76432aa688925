"""The answer in a field of a JSON object, for benchmarks whose responses are JSON.

JSON's own quotation marks are the only ones that most models write around a string, whereas a Python literal needs
its own. So in these benchmarks a text that is no Python literal stands for the string of its characters: ``"abc"``
and ``"'abc'"`` are the string abc, ``"5"`` is the number 5. The same holds for their gold answers.
"""

import json
import re
from contextlib import suppress
from typing import Any

from advcluster_dagster.science.grading.literals import read_literal
from advcluster_dagster.science.json_values import JsonValues, find_values
from advcluster_dagster.science.lenient_json import BrokenJson, read_value
from advcluster_dagster.science.thinking import find_behind_thinking

_END_OF_OBJECT = re.compile(r"\}\s*(?:```\s*)?\Z")


def behind_thinking(response: str) -> str | None:
    """The response behind its thinking, where marks inside JSON strings are none; None when thinking never ends."""
    spans = [(value.start, value.end) for value in find_values(response).complete]
    span = find_behind_thinking(response, spans)
    return None if span is None else response[slice(*span)]


def answer_in_field(text: str, field: str, answer_type: str) -> str | None:
    """The text of a field of the last JSON object that has it; None without, or when that object is cut off.

    Where an object is no JSON, for unescaped quotation marks in another field say, its last field is still read.
    """
    values = find_values(text)
    holders = [v for v in values.complete if isinstance(v.value, dict) and field in v.value]
    if not holders or _ends_broken(values, holders[-1].end):
        return _last_field(text, field, answer_type)
    return _as_text(holders[-1].value[field], answer_type)


def names_field(text: str, field: str) -> bool:
    """Whether the text has the field's name as JSON writes it."""
    return f'"{field}"' in text


def _last_field(text: str, field: str, answer_type: str) -> str | None:
    """The field with which the text ends, ``"answer": VALUE}``, whatever stands before it."""
    name = text.rfind(f'"{field}"')
    end = _END_OF_OBJECT.search(text, max(name, 0))
    colon = text.find(":", name) + 1
    if name < 0 or end is None or not 0 < colon <= end.start() or text[name + len(field) + 2 : colon].strip() != ":":
        return None
    with suppress(BrokenJson):
        value, behind = read_value(text, colon)
        if not text[behind : end.start()].strip(" \n\t,"):
            return _as_text(value, answer_type)
    written = text[colon : end.start()].strip()
    return written if written and "\n" not in written else None


def python_text(text: str) -> str:
    """A Python literal as it stands; any other text as the literal of the string of its characters."""
    for spelling in (text, text.replace("\n", "\\n")):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            read_literal(spelling)
            return spelling
    return repr(text)


def _ends_broken(values: JsonValues, end: int) -> bool:
    """Whether something that begins as JSON and is never completed follows a position."""
    return values.broken is not None and values.broken.has_string and values.broken.position > end


def _as_text(value: Any, answer_type: str) -> str | None:
    if answer_type == "python_output":
        return python_text(value) if isinstance(value, str) else repr(value)
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(filter(None, (_as_text(item, answer_type) for item in value))) or None
    return json.dumps(value, ensure_ascii=False)

"""Extract the answer from a field of a JSON object, for benchmarks whose responses are JSON.

Most models write only JSON's quotation marks around a string, without those of a Python literal. In these benchmarks
a text that is not a Python literal therefore denotes itself as a string: ``"abc"`` and ``"'abc'"`` are the string
abc, ``"5"`` is the number 5. The same holds for their gold answers.
"""

import json
import re
from contextlib import suppress
from typing import Any

from advcluster_dagster.science.grading.literals import read_literal
from advcluster_dagster.science.json_values import JsonValues, find_values
from advcluster_dagster.science.lenient_json import BrokenJson, read_value
from advcluster_dagster.science.thinking import find_after_thinking

_END_OF_OBJECT = re.compile(r"\}\s*(?:```\s*)?\Z")


def after_thinking(response: str) -> str | None:
    """The response after its thinking; marks inside JSON strings are ignored. None if the thinking never ends."""
    spans = [(value.start, value.end) for value in find_values(response).complete]
    span = find_after_thinking(response, spans)
    return None if span is None else response[slice(*span)]


def answer_in_field(text: str, field: str, answer_type: str) -> str | None:
    """The value of a field in the last JSON object that has it, as text; None if there is none or it is cut off.

    If the object is invalid JSON, for example because of unescaped quotation marks in another field, its last field
    is still read.
    """
    values = find_values(text)
    holders = [v for v in values.complete if isinstance(v.value, dict) and field in v.value]
    if not holders or _ends_broken(values, holders[-1].end):
        return _last_field(text, field, answer_type)
    return _as_text(holders[-1].value[field], answer_type)


def names_field(text: str, field: str) -> bool:
    """Whether the text contains the field's name as a JSON string."""
    return f'"{field}"' in text


def _last_field(text: str, field: str, answer_type: str) -> str | None:
    """The field at the end of the text, ``"answer": VALUE}``, regardless of what precedes it."""
    name = text.rfind(f'"{field}"')
    end = _END_OF_OBJECT.search(text, max(name, 0))
    colon = text.find(":", name) + 1
    if name < 0 or end is None or not 0 < colon <= end.start() or text[name + len(field) + 2 : colon].strip() != ":":
        return None
    with suppress(BrokenJson):
        value, value_end = read_value(text, colon)
        if not text[value_end : end.start()].strip(" \n\t,"):
            return _as_text(value, answer_type)
    written = text[colon : end.start()].strip()
    return written if written and "\n" not in written else None


def python_text(text: str) -> str:
    """Return a Python literal unchanged, and any other text as a string literal."""
    for spelling in (text, text.replace("\n", "\\n")):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            read_literal(spelling)
            return spelling
    return repr(text)


def _ends_broken(values: JsonValues, end: int) -> bool:
    """Whether an incomplete JSON value follows a position."""
    return values.broken is not None and values.broken.has_string and values.broken.position > end


def _as_text(value: Any, answer_type: str) -> str | None:
    if answer_type == "python_output":
        return python_text(value) if isinstance(value, str) else repr(value)
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(filter(None, (_as_text(item, answer_type) for item in value))) or None
    return json.dumps(value, ensure_ascii=False)

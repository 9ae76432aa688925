"""Describe an invalid setting by key, value and remedy, from pydantic's errors."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from advcluster_dagster.study.base import NAME_PATTERN

#: Remedy by pattern.
_PATTERNS = {
    NAME_PATTERN: "names consist of a-z, 0-9, '_', '.', '-' and start with a letter or digit; rename it",
    r"^[A-Z][A-Z0-9_]*$": "give the name of an environment variable: capitals, digits and '_'",
    r"^[a-z][a-z0-9]*://[^/]+(/.*)?$": "give an address such as s3://BUCKET/PREFIX",
}
_QUOTES = "allowed: text; put a value that YAML reads otherwise (off, yes, 1) in quotes"
_WHOLE, _NUMBER = "give a whole number, without quotes", "give a number, without quotes"
_SECTION = "write keys and values below it, indented"
_LIST = "give a list, such as [a, b]"
_BOOLEAN = "give true or false"
_Context = Mapping[str, Any]
#: Remedy by kind of pydantic error.
_REMEDIES: dict[str, Callable[[_Context], str]] = {
    "string_type": lambda _: _QUOTES,
    "string_pattern_mismatch": lambda c: _PATTERNS.get(c["pattern"], f"give text that matches {c['pattern']}"),
    "string_too_short": lambda c: f"give text of at least {c['min_length']} character(s), or omit the setting",
    "string_too_long": lambda c: f"give text of at most {c['max_length']} characters",
    "int_type": lambda _: _WHOLE,
    "int_parsing": lambda _: _WHOLE,
    "int_from_float": lambda _: _WHOLE,
    "float_type": lambda _: _NUMBER,
    "float_parsing": lambda _: _NUMBER,
    "finite_number": lambda _: "give a finite number",
    "bool_type": lambda _: _BOOLEAN,
    "bool_parsing": lambda _: _BOOLEAN,
    "greater_than": lambda c: f"give a number above {c['gt']:g}",
    "greater_than_equal": lambda c: f"give a number of at least {c['ge']:g}",
    "less_than": lambda c: f"give a number below {c['lt']:g}",
    "less_than_equal": lambda c: f"give a number of at most {c['le']:g}",
    "literal_error": lambda c: f"give {c['expected']}",
    "dict_type": lambda _: _SECTION,
    "model_type": lambda _: _SECTION,
    "model_attributes_type": lambda _: _SECTION,
    "tuple_type": lambda _: _LIST,
    "list_type": lambda _: _LIST,
    "too_short": lambda c: f"give at least {c['min_length']}",
    "too_long": lambda c: f"give at most {c['max_length']}",
}
_ANY_REMEDY = "see docs/study_file.md and docs/operations.md for allowed values"


@dataclass(frozen=True)
class WrongSetting:
    """An invalid setting: ``place`` is the path of keys to it, ``text`` one line."""

    place: tuple[str | int, ...]
    text: str


def describe(error: ValidationError, record: type[BaseModel]) -> WrongSetting:
    """Describe the first invalid setting, and how many more there are.

    Args:
        error: raised when validating a settings file.
        record: the class it was validated against, to suggest names for a mistyped one.
    """
    faults = error.errors(include_url=False)
    first = faults[0]
    place = tuple(part for part in first["loc"] if part != "[key]")
    key, kind = ".".join(map(str, place)), first["type"]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if kind == "value_error":
        message = re.sub(r"^Value error, ", "", first["msg"])
        text = f"{key}: {message}{more}" if key else f"{message}{more}"
        return WrongSetting(place or _leading_key(message), text)
    if kind == "missing":
        return WrongSetting(place, f"{key} is missing; add it{_meaning(record, place)}{more}")
    value = _short(first["input"])
    if kind == "extra_forbidden":
        return WrongSetting(place, f"{key} is {value}: there is no such setting; {_instead(record, place)}{more}")
    find_remedy = _REMEDIES.get(kind)
    remedy = find_remedy(first.get("ctx") or {}) if find_remedy else _ANY_REMEDY
    return WrongSetting(place, f"{key} is {value}; {remedy}{more}")


def _leading_key(message: str) -> tuple[str | int, ...]:
    """Return the path of keys at the start of a message about the whole record."""
    key = message.partition(" ")[0]
    return tuple(int(part) if part.isdecimal() else part for part in key.split("."))


def _short(value: Any) -> str:
    text = re.sub(r"://[^@/\s]*@", "://...@", repr(value))  # hides passwords in URLs
    return text if len(text) <= 60 else f"{text[:57]}..."


def _instead(record: type[BaseModel], place: tuple[str | int, ...]) -> str:
    """Suggest what to do about an unknown setting."""
    section = _type_at(record, place[:-1])
    known = list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []
    near = get_close_matches(str(place[-1]), known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"remove it; known here: {', '.join(known)}"


def _meaning(record: type[BaseModel], place: tuple[str | int, ...]) -> str:
    """Return a setting's description as the end of a message; empty without a description."""
    section = _type_at(record, place[:-1])
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        return ""
    field = section.model_fields.get(str(place[-1]))
    description = (field.description or "").rstrip(".") if field else ""
    return f": {description[:1].lower()}{description[1:]}" if description else ""


def _type_at(annotation: Any, place: tuple[str | int, ...]) -> Any:
    """Return the type at a path of keys in a record; None if there is no such path."""
    for part in place:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            annotation = field.annotation if field else None
        elif get_origin(annotation) in (dict, tuple):
            annotation = get_args(annotation)[get_origin(annotation) is dict]
        else:
            return None
    return annotation

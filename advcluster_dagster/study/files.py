"""Read a YAML settings file into a validated model; every fault is one line."""

import re
from collections.abc import Hashable, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.study.base import NAME_PATTERN, Settings

S = TypeVar("S", bound=Settings)


class SettingsError(AdvClusterError, ValueError):
    """A settings file that cannot be used; one line that names the file, the key, the value and what is allowed."""


def read_settings(path: Path, record: type[S], what: str, help_page: str) -> S:
    """Read a settings file into a validated model.

    Args:
        path: the file.
        record: the model.
        what: the kind of file, for messages.
        help_page: documentation page that describes every setting, for messages.

    Raises:
        SettingsError: the file is missing, is not YAML, or a setting is wrong; one line with the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such {what}") from None
    except OSError as error:
        remedy = "; let this user read it" if isinstance(error, PermissionError) else ""
        raise SettingsError(f"{path}: cannot be read: {error.strerror}{remedy}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not a text file in UTF-8; restore it from a backup or write it again") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: {_describe_yaml(error)}") from None
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds {type(content).__name__}"
        raise SettingsError(f"{path}: a {what} holds keys and values, this one {found}; see {help_page}")
    try:
        return record.model_validate(content)
    except ValidationError as error:
        line = _line_of(text, error.errors()[0]["loc"])
        raise SettingsError(f"{path}: {_describe(error, record)}{line}; see {help_page}") from None


def _describe_yaml(error: yaml.YAMLError) -> str:
    """What YAML cannot read, and where."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{place}not YAML: {problem}; correct the line (indentation, colons, quotation marks)"


def _line_of(text: str, loc: Sequence[int | str]) -> str:
    """The line of a setting, or of the nearest section above it that is in the file; empty at the top."""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), None
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if str(part) not in pairs:
                break
            key, node = pairs[str(part)]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return "" if line is None else f" (line {line})"


def _describe(error: ValidationError, record: type[BaseModel]) -> str:
    """The first wrong setting in one line, and how many more there are."""
    faults = error.errors()
    first = faults[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    message = re.sub(r"^(Value error, |Input (?=should))", "", first["msg"])
    if first["type"] == "string_pattern_mismatch" and first["ctx"]["pattern"] == NAME_PATTERN:
        message = "names consist of a-z, 0-9, '_', '.', '-' and start with a letter or digit"
    if first["type"] == "string_type":
        message = "allowed: text; put a value that YAML reads otherwise (off, yes, 1) in quotes"
    if first["type"] == "extra_forbidden":
        message = f"there is no such setting{_suggestion(record, first['loc'])}"
    value = "" if first["type"] in ("missing", "value_error") else f" is {_short(first['input'])}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if first["type"] == "missing":
        return f"{key} is missing; add it{more}"
    return f"{key}{value}: {message}{more}" if key else f"{message}{more}"


def _suggestion(record: type[BaseModel], loc: Sequence[int | str]) -> str:
    """The most similar name that is a setting in the place of an unknown one; empty where none is similar."""
    names = _names_at(record, loc[:-1])
    similar = get_close_matches(str(loc[-1]), names, n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def _names_at(record: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Names of the settings of a section; empty where the place is no section of settings."""
    current: Any = record
    for part in loc:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field is not None else None
            if get_origin(current) in (Union, UnionType):
                current = next((arg for arg in get_args(current) if _is_record(arg)), None)
        else:  # a key or an index of a container: the settings are those of its values
            current = next((arg for arg in reversed(get_args(current)) if _is_record(arg)), None)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _short(value: Any) -> str:
    text = re.sub(r"://[^@/\s]*@", "://...@", repr(value))  # a password put where none belongs goes no further
    return text if len(text) <= 60 else f"{text[:57]}..."


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader that refuses a key given twice, which plain YAML readers overwrite in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key!r} is given twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)

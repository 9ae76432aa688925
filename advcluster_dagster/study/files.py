"""Read a YAML settings file into a validated model; every fault is one line."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.study.base import NAME_PATTERN, Settings

S = TypeVar("S", bound=Settings)


class SettingsError(AdvClusterError, ValueError):
    """A settings file that cannot be used; one line that names the file, the key, the value and what is allowed."""


def read_settings(path: Path, record: type[S], what: str) -> S:
    """Read a file of settings; ``what`` is what people call such a file.

    Raises:
        SettingsError: the file is missing, is not YAML, or a setting is wrong; one line.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such {what}") from None
    except OSError as error:
        remedy = "; let this user read it" if isinstance(error, PermissionError) else ""
        raise SettingsError(f"{path}: cannot be read: {error.strerror}{remedy}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: a {what} holds keys and values, this one holds {type(content).__name__}")
    try:
        return record.model_validate(content)
    except ValidationError as error:
        raise SettingsError(f"{path}: {_describe(error)}") from None


def _describe(error: ValidationError) -> str:
    """The first wrong setting in one line, and how many more there are."""
    faults = error.errors()
    first = faults[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    message = re.sub(r"^Value error, ", "", first["msg"])
    if first["type"] == "string_pattern_mismatch" and first["ctx"]["pattern"] == NAME_PATTERN:
        message = "names consist of a-z, 0-9, '_', '.', '-' and start with a letter or digit"
    if first["type"] == "string_type":
        message = "allowed: text; put a value that YAML reads otherwise (off, yes, 1) in quotes"
    if first["type"] == "extra_forbidden":
        message = "there is no such setting"
    value = "" if first["type"] in ("missing", "value_error") else f" is {_short(first['input'])}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{key}{value}: {message}{more}" if key else f"{message}{more}"


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

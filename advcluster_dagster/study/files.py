"""Read a YAML settings file into a validated model; every fault is one line."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.study.base import Settings
from advcluster_dagster.study.wrong_settings import describe
from advcluster_dagster.study.yaml_text import YamlText, YamlTextError

S = TypeVar("S", bound=Settings)
_KINDS = {"list": "a list", "str": "one text", "int": "one number", "float": "one number", "bool": "one word"}


class SettingsError(AdvClusterError, ValueError):
    """An unusable settings file; one line with file, line, key, value and remedy."""


def read_settings(path: Path, record: type[S], file_kind: str) -> S:
    """Read a settings file; ``file_kind`` names it in messages, such as "study file".

    Raises:
        SettingsError: the file is missing, is not YAML, or a setting is wrong; one line.
    """
    text = _parsed(path, file_kind)
    if text.content is None:
        raise SettingsError(f"{path}: the {file_kind} is empty; add settings (see docs/) or remove it")
    if not isinstance(text.content, dict):
        kind = type(text.content).__name__
        content = _KINDS.get(kind, f"a value of type {kind}")
        raise SettingsError(f"{path}: a {file_kind} needs keys and values, found {content}; write lines `key: value`")
    try:
        return record.model_validate(text.content)
    except ValidationError as error:
        fault = describe(error, record)
        line = text.line_of(fault.place)
        place = f"{path}, line {line}" if line else str(path)
        raise SettingsError(f"{place}: {fault.text}") from None


def _parsed(path: Path, file_kind: str) -> YamlText:
    try:
        return YamlText(path.read_bytes())
    except FileNotFoundError:
        raise SettingsError(f"{path}: {file_kind} not found; correct its name, or create it first") from None
    except OSError as error:
        remedies = {PermissionError: "give this user read permission", IsADirectoryError: "name a file"}
        remedy = remedies.get(type(error), "make sure that the file can be read")
        raise SettingsError(f"{path}: cannot be read: {error.strerror}; {remedy}") from None
    except YamlTextError as error:
        place = f"{path}, line {error.line}" if error.line else str(path)
        raise SettingsError(f"{place}: {error}") from None

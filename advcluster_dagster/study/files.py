"""Read a YAML settings file into a validated model; every fault is one line."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.study.base import Settings
from advcluster_dagster.study.wrong_settings import describe
from advcluster_dagster.study.yaml_text import YamlText, YamlTextError

S = TypeVar("S", bound=Settings)
_HOLDS = {"list": "a list", "str": "one text", "int": "one number", "float": "one number", "bool": "one word"}


class SettingsError(AdvClusterError, ValueError):
    """A settings file that cannot be used; one line that names the file, the line, the key, the value and what to do
    about it.
    """


def read_settings(path: Path, record: type[S], what: str) -> S:
    """Read a file of settings; ``what`` is what people call such a file.

    Raises:
        SettingsError: the file is missing, is not YAML, or a setting is wrong; one line.
    """
    text = _parsed(path, what)
    if text.content is None:
        raise SettingsError(f"{path}: the {what} is empty; write settings into it, as docs/ shows, or remove it")
    if not isinstance(text.content, dict):
        kind = type(text.content).__name__
        holds = _HOLDS.get(kind, f"a value of type {kind}")
        raise SettingsError(f"{path}: a {what} holds keys and values, this one holds {holds}; write lines `key: value`")
    try:
        return record.model_validate(text.content)
    except ValidationError as error:
        fault = describe(error, record)
        line = text.line_of(fault.place)
        place = f"{path}, line {line}" if line else str(path)
        raise SettingsError(f"{place}: {fault.text}") from None


def _parsed(path: Path, what: str) -> YamlText:
    try:
        return YamlText(path.read_bytes())
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such {what}; correct its name, or write it there first") from None
    except OSError as error:
        remedies = {PermissionError: "let this user read it", IsADirectoryError: "name a file"}
        remedy = remedies.get(type(error), "see that the file can be read")
        raise SettingsError(f"{path}: cannot be read: {error.strerror}; {remedy}") from None
    except YamlTextError as error:
        place = f"{path}, line {error.line}" if error.line else str(path)
        raise SettingsError(f"{place}: {error}") from None

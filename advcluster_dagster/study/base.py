"""Shared by all sections of a study: names, labels, owners, the base class of settings."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]*$"
MAX_NAME = 60
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=MAX_NAME)]


def _on_one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"is {text!r}; give one line without control or invisible characters")
    return text


def _is_owner(text: str) -> str:
    if not re.fullmatch(r"team:[\w.-]+|[\w.%+-]+@[\w.-]+\.[A-Za-z]{2,7}", text, re.ASCII):  # Dagster's rule
        raise ValueError(f"is {text!r}; allowed: an email address, or team:NAME")
    return text


#: A person or a team responsible for a study.
Owner = Annotated[str, StringConstraints(max_length=MAX_NAME), AfterValidator(_is_owner)]
#: Display name.
Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(_on_one_line)]


def is_name(text: str) -> bool:
    """Return whether a text is a valid name of a study, family, domain, benchmark or frozen taxonomy."""
    return bool(re.fullmatch(NAME_PATTERN, text)) and len(text) <= MAX_NAME


class Settings(BaseModel):
    """Base class of all settings: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

"""What every section stands on: names, labels, the base record."""

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
    if not re.fullmatch(r"team:[\w.-]+|[\w.%+-]+@[\w.-]+\.[A-Za-z]{2,7}", text, re.ASCII):  # as Dagster has them
        raise ValueError(f"is {text!r}; allowed: a mail address, or team:NAME")
    return text


#: A person or a team that answers for a study.
Owner = Annotated[str, StringConstraints(max_length=MAX_NAME), AfterValidator(_is_owner)]
#: What people read in place of a name.
Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(_on_one_line)]


def is_name(text: str) -> bool:
    """Whether a text may name a study, a family, a domain, a benchmark, a frozen taxonomy."""
    return bool(re.fullmatch(NAME_PATTERN, text)) and len(text) <= MAX_NAME


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

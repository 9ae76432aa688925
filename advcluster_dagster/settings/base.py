"""What every section stands on: names, roles, the base record."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=60)]
Role = Literal["larger", "smaller"]
ROLES: tuple[Role, Role] = ("larger", "smaller")


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

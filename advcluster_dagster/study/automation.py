"""Automation settings: drop folder and schedule."""

import re
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from advcluster_dagster.study.base import Settings

#: Smallest and largest value of each cron field: minute, hour, day, month, weekday. Checked here because Dagster checks
#: schedules when it builds definitions, where the study file and its line are no longer known.
_CRON_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/([1-9]\d?))?")


class Automation(Settings):
    """Automatic runs while the UI's daemon runs (docs/automation.md)."""

    drop_folder: str | None = Field(
        None,
        min_length=1,
        description="Folder whose files DOMAIN/NAME.jsonl are additional benchmarks of the study; null is"
        " benchmarks/STUDY. Relative paths start at the home folder.",
    )
    follow_changes: bool | None = Field(
        None,
        description="Whether changed settings, files and code start a run; null: yes, unless the run may call a paid"
        " model. Switches in the UI take precedence.",
    )
    schedule: str | None = Field(
        None, description="Schedule of periodic runs: five cron fields of numbers, `*`, `-`, `,` and `/`."
    )
    timezone: str = Field("UTC", description="Time zone of the schedule, such as Europe/Berlin.")
    keep_taxonomies: bool = Field(
        False,
        description="Whether automatic runs keep an existing taxonomy and only measure how well it covers new data; a"
        " manual run clusters again.",
    )

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, schedule: str | None) -> str | None:
        if schedule is None:
            return None
        fields = schedule.split()
        if len(fields) != len(_CRON_BOUNDS) or not all(map(_is_cron_field, fields, _CRON_BOUNDS)):
            raise ValueError(f"schedule is {schedule!r}; allowed: minute hour day month weekday, such as 0 3 * * 1")
        return schedule

    @field_validator("timezone")
    @classmethod
    def _is_timezone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ValueError, OSError, KeyError):  # an unknown name is a KeyError
            raise ValueError(f"timezone is {timezone!r}; allowed: a name such as UTC or Europe/Berlin") from None
        return timezone


def _is_cron_field(field: str, bounds: tuple[int, int]) -> bool:
    for part in field.split(","):
        match = _CRON_PART.fullmatch(part)
        numbers = [int(number) for number in (match.groups()[:2] if match else ()) if number is not None]
        if not match or numbers != sorted(numbers) or not all(bounds[0] <= n <= bounds[1] for n in numbers):
            return False
    return True

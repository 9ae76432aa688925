import pytest
from pydantic import ValidationError

from advcluster_dagster.study.automation import Automation


@pytest.mark.parametrize("schedule", [None, "0 3 * * 1", "*/15 0-6,22 1 * 0-7", "5 4 31 12 *", "10-40/10 * * * *"])
def test_schedules_that_are_understood(schedule):
    assert Automation(schedule=schedule).schedule == schedule


@pytest.mark.parametrize(
    "schedule",
    ["", "daily", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "5-1 * * * *",
     "*/0 * * * *", "1,,2 * * * *", "* * * * mon"],
)  # fmt: skip
def test_schedules_that_are_refused(schedule):
    with pytest.raises(ValidationError, match="allowed: minute hour day month weekday"):
        Automation(schedule=schedule)


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin"])
def test_time_zones(timezone):
    assert Automation(timezone=timezone).timezone == timezone


@pytest.mark.parametrize("timezone", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd"])
def test_time_zones_that_there_are_none_of(timezone):
    with pytest.raises(ValidationError, match="allowed: a name such as UTC"):
        Automation(timezone=timezone)

"""Commands over frozen taxonomies: taxonomy freeze."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from advcluster_dagster.cli.common import CommandError, StudyArgument, existing_home, open_study, screen


def freeze_command(
    study: StudyArgument,
    family: Annotated[
        list[str] | None, typer.Option("--family", "-f", help="Only this family; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call it; the day's date by default.")] = None,
) -> None:
    """Freeze the present taxonomy: what comes after it is measured by it from the next run on."""
    from advcluster_dagster.orchestration.instance import open_instance
    from advcluster_dagster.planning.selection import Selection
    from advcluster_dagster.planning.status import study_status
    from advcluster_dagster.planning.taxonomy_freezing import freeze_taxonomy
    from advcluster_dagster.study.base import is_name

    called = name or f"{datetime.now(UTC):%Y-%m-%d}"
    if not is_name(called):
        raise CommandError(f"--name is {called!r}; names consist of a-z, 0-9, '_', '.', '-', as those of a study do")
    platform, declared = open_study(existing_home(), study)
    families = tuple(family or declared.families)
    Selection(families).check(declared)
    with open_instance(platform.home) as instance:
        statuses = study_status(platform, declared, instance)
    for chosen in families:
        freeze_taxonomy(platform, declared, chosen, called, statuses)
        screen.print(f"Froze the taxonomy of {chosen} as {called}.")

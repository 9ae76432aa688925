"""Commands for frozen taxonomies: taxonomy freeze."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from advcluster_dagster.cli.common import CommandError, StudyArgument, existing_home, open_study, screen


def freeze_command(
    study: StudyArgument,
    family: Annotated[
        list[str] | None, typer.Option("--family", "-f", help="Only this family; may be repeated.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the frozen taxonomy; by default today's date.")
    ] = None,
) -> None:
    """Freeze the current taxonomy; from the next run on, later results are compared with it."""
    from advcluster_dagster.orchestration.instance import open_instance
    from advcluster_dagster.planning.selection import Selection
    from advcluster_dagster.planning.status import study_status
    from advcluster_dagster.planning.taxonomy_freezing import freeze_taxonomy
    from advcluster_dagster.study.base import is_name

    taxonomy_name = name or f"{datetime.now(UTC):%Y-%m-%d}"
    if not is_name(taxonomy_name):
        raise CommandError(f"--name is {taxonomy_name!r}; names consist of a-z, 0-9, '_', '.', '-', like study names")
    platform, declared = open_study(existing_home(), study)
    families = tuple(family or declared.families)
    Selection(families).check(declared)
    with open_instance(platform.home) as instance:
        statuses = study_status(platform, declared, instance)
    for family_name in families:
        freeze_taxonomy(platform, declared, family_name, taxonomy_name, statuses)
        screen.print(f"Froze the taxonomy of {family_name} as {taxonomy_name}.")

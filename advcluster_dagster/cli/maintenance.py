"""Commands that operate a home: backup, restore, housekeeping."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import StudyArgument, existing_home, home_from_environment, open_study, screen


def backup(
    file: Annotated[Path, typer.Argument(help="File to write, .tar.gz; it must lie outside the home.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
) -> None:
    """Write everything a home holds into one file; runs may go on meanwhile."""
    from advcluster_dagster.storage.backup import back_up

    home = existing_home()
    made = back_up(home, file, replace=force)
    screen.print(
        f"Wrote {made.n_files} files of {escape(str(home.root))} to {escape(str(file))}, {made.n_bytes / 1e6:.1f} MB.",
        soft_wrap=True,
    )


def restore(file: Annotated[Path, typer.Argument(help="A file that backup wrote.")]) -> None:
    """Fill an empty home from a backup: tables, ledger and history as they were."""
    from advcluster_dagster.storage.backup import restore as restore_home

    home = home_from_environment()
    made = restore_home(file, home)
    screen.print(f"Restored {made.n_files} files of {made.made_at} into {escape(str(home.root))}.", soft_wrap=True)


def housekeeping(
    study: StudyArgument,
    keep_days: Annotated[
        float | None,
        typer.Option(
            "--keep-days", min=0, help="Runs that ended longer ago may go, in days; platform.yaml says how many."
        ),
    ] = None,
) -> None:
    """Remove old runs that nothing refers to from the history, and pack the ledger's file."""
    from advcluster_dagster.orchestration.instance import open_instance
    from advcluster_dagster.orchestration.retention import prune

    platform, declared = open_study(existing_home(), study)
    with open_instance(platform.home) as instance:
        age = platform.home.settings.keep_history_days if keep_days is None else keep_days
        done = prune(platform, declared, instance, age)
    screen.print(
        f"Removed {done.n_removed} runs and {done.n_log_files} log files, kept {done.n_needed} old runs that results"
        " refer to;"
        f" the ledger gave back {done.n_bytes_freed / 1e6:.1f} MB."
    )

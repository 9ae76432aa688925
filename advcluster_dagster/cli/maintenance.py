"""Commands that maintain a home: backup, restore, housekeeping."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import StudyArgument, existing_home, home_from_environment, open_study, screen


def backup(
    file: Annotated[Path, typer.Argument(help="File to write, .tar.gz, outside the home.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
) -> None:
    """Back up a home to one file; runs may continue meanwhile."""
    from advcluster_dagster.storage.backup import back_up

    home = existing_home()
    written = back_up(home, file, replace=force)
    screen.print(
        f"Wrote {written.n_files} files of {escape(str(home.root))} to {escape(str(file))},"
        f" {written.n_bytes / 1e6:.1f} MB.",
        soft_wrap=True,
    )


def restore(file: Annotated[Path, typer.Argument(help="File written by backup.")]) -> None:
    """Restore a backup into an empty home: tables, ledger and history."""
    from advcluster_dagster.storage.backup import restore as restore_home

    home = home_from_environment()
    restored = restore_home(file, home)
    screen.print(
        f"Restored {restored.n_files} files of {restored.made_at} into {escape(str(home.root))}.", soft_wrap=True
    )


def housekeeping(
    study: StudyArgument,
    keep_days: Annotated[
        float | None,
        typer.Option(
            "--keep-days",
            min=0,
            help="Days to keep a run after it ended; by default keep_history_days of platform.yaml.",
        ),
    ] = None,
) -> None:
    """Delete old runs that no result refers to from the history, and vacuum the ledger."""
    from advcluster_dagster.orchestration.instance import open_instance
    from advcluster_dagster.orchestration.retention import prune

    platform, declared = open_study(existing_home(), study)
    with open_instance(platform.home) as instance:
        age = platform.home.settings.keep_history_days if keep_days is None else keep_days
        pruned = prune(platform, declared, instance, age)
    screen.print(
        f"Deleted {pruned.n_removed} runs and {pruned.n_log_files} log files, kept {pruned.n_needed} old runs that"
        f" results refer to; freed {pruned.n_bytes_freed / 1e6:.1f} MB in the ledger."
    )

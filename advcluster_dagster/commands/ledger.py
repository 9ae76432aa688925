"""Commands over the call ledger: ledger export, ledger import."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.commands.common import StudyArgument, open_study, screen
from advcluster_dagster.storage.home import Home


def export_command(
    study: StudyArgument,
    file: Annotated[Path, typer.Argument(help="File to write, gzip-compressed JSON Lines.")],
) -> None:
    """Write every reply that a study used to one file."""
    from advcluster_dagster.models.ledger_files import export_replies

    platform, declared = open_study(Home.from_environment(), study)
    written = export_replies(platform.ledger, declared.study, file)
    screen.print(f"Wrote {written.n_calls} calls to {escape(str(file))}.", soft_wrap=True)


def import_command(file: Annotated[Path, typer.Argument(help="A file that ledger export wrote.")]) -> None:
    """Take the replies of such a file into this home's ledger; its runs then ask nothing for them."""
    from advcluster_dagster.assets.resources import Platform
    from advcluster_dagster.models.ledger_files import import_replies

    read = import_replies(Platform(Home.from_environment()).ledger, file)
    screen.print(f"Took in {read.n_calls} calls of study {read.study}, {read.n_known} of them known before.")

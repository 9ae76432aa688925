"""Commands that take results to other tools: export inspect."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import StudyArgument, existing_home, screen


def export_inspect(
    study: StudyArgument,
    family: Annotated[str, typer.Option("--family", "-f", help="Model family of the study.", show_default=False)],
    domain: Annotated[str | None, typer.Option("--domain", "-d", help="One domain; by default all graded.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to write to; by default exports/STUDY/inspect of the home.")
    ] = None,
) -> None:
    """Write traces and verdicts as Inspect logs, one a domain, benchmark and role; open them with `inspect view`."""
    from advcluster_dagster.exports.inspect_logs import export_inspect_logs

    home = existing_home()
    declared = home.register_study(study)
    folder = to or home.root / "exports" / declared.study / "inspect"
    for log in export_inspect_logs(home.lake, declared, family, folder, domain):
        screen.print(f"Wrote {log.n_samples} trials to {escape(str(log.path))}.", soft_wrap=True)
    screen.print(f"Look at them with: inspect view start --log-dir {escape(str(folder))}", soft_wrap=True)

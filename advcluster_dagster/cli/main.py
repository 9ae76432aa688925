"""Command line: registration of the commands, error reporting."""

import logging
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli import audit as auditing
from advcluster_dagster.cli import compare as comparing
from advcluster_dagster.cli import export as exporting
from advcluster_dagster.cli import imports as importing
from advcluster_dagster.cli import label as labelling
from advcluster_dagster.cli import ledger
from advcluster_dagster.cli import maintenance as operating
from advcluster_dagster.cli import run as running
from advcluster_dagster.cli import show as looking
from advcluster_dagster.cli import taxonomy as taxonomies
from advcluster_dagster.cli.common import screen
from advcluster_dagster.stop_signals import Stopped, stop_signals

app = typer.Typer(
    name="advcluster",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find out where a larger language model beats its smaller sibling, why, and what the smaller one gets wrong"
    " first.\n\nAll data are stored in the folder that ADVCLUSTER_HOME names, by default the project's data folder.",
)
import_app = typer.Typer(no_args_is_help=True, help="Import existing questions and traces.")
export_app = typer.Typer(no_args_is_help=True, help="Export traces, verdicts and preference pairs to other tools.")
ledger_app = typer.Typer(no_args_is_help=True, help="Share a study's model replies; show costs and batches.")
taxonomy_app = typer.Typer(no_args_is_help=True, help="Freeze a taxonomy, to compare later ones with it.")

#: Set by the options of every command, read by :func:`main`.
_options = {"debug": False}


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"advcluster {version('advcluster-dagster')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Handle the options that all commands share."""
    del version
    _options["debug"] = debug


_COMMANDS: tuple[Callable[..., None], ...] = (
    running.demo,
    comparing.compare,
    importing.init,
    running.run,
    running.regrade,
    running.status,
    looking.findings,
    looking.studies,
    looking.query,
    running.report,
    labelling.label,
    looking.ui,
    operating.backup,
    operating.restore,
    operating.housekeeping,
    auditing.audit,
    auditing.lineage,
)
for _command in _COMMANDS:
    app.command()(_command)
app.add_typer(import_app, name="import")
import_app.command("questions")(importing.import_questions_command)
import_app.command("traces")(importing.import_traces_command)
app.add_typer(export_app, name="export")
export_app.command("inspect")(exporting.export_inspect)
export_app.command("preferences")(exporting.export_preferences_command)
app.add_typer(ledger_app, name="ledger")
ledger_app.command("export")(ledger.export_command)
ledger_app.command("import")(ledger.import_command)
ledger_app.command("new")(ledger.new_command)
ledger_app.command("costs")(ledger.costs_command)
ledger_app.command("batches")(ledger.batches_command)

app.add_typer(taxonomy_app, name="taxonomy")
taxonomy_app.command("freeze")(taxonomies.freeze_command)


def main() -> None:
    """Run the command line. Expected errors print one line and exit with status 1; ``--debug`` shows their traceback.

    Any other exception is a bug: its traceback is printed.
    """
    for name in ("alembic", "dagster", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with stop_signals():
            app(standalone_mode=True)
    except Stopped as stopped:
        screen.print("Stopped. Completed work is kept; run again to continue.")
        sys.exit(stopped.status)
    except Exception as error:
        from advcluster_dagster.cli.faults import expected_error_line

        line = expected_error_line(error)
        if line is None or _options["debug"]:
            raise
        screen.print(f"[red]error[/red] {escape(line)}", soft_wrap=True)
        sys.exit(1)

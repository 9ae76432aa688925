"""Commands to look at results: query, ui."""

import subprocess
import sys
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.commands.common import CommandError, only_study, screen
from advcluster_dagster.storage.home import Home


def query(
    sql: Annotated[str, typer.Argument(help="SQL as DuckDB speaks it; every table by its asset's name.")],
    study: Annotated[
        str | None, typer.Option("--study", "-s", help="Name of the study; may be left out if there is one.")
    ] = None,
    format: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
) -> None:
    """Ask the tables of a study: advcluster query "select * from edi_summary" --study demo."""
    from advcluster_dagster.storage.views import query_study
    from advcluster_dagster.tables_for_people import print_rows

    home = Home.existing()
    print_rows(query_study(home, only_study(home, study), sql), format)


def ui(
    port: Annotated[int, typer.Option(help="Port of the web page.")] = 3000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback are open to everyone there.")
    ] = "127.0.0.1",
) -> None:
    """Start the Dagster UI and daemon for all studies of this home, until interrupted."""
    from advcluster_dagster.automation.instance import instance_environment, mark_dead_runs, open_instance
    from advcluster_dagster.partitions import sync_partitions

    home = Home.from_environment()
    with open_instance(home) as instance:
        mark_dead_runs(instance, is_only_server=True)
        studies, faults = home.readable_studies()
        for fault in faults:
            screen.print(f"left out: {escape(fault)}", soft_wrap=True)
        for study in studies:
            sync_partitions(instance, study)
    screen.print(f"Dagster UI at http://{host}:{port} (stop with Ctrl-C)")
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-m",
        "advcluster_dagster.code_location",
        "-h",
        host,
        "-p",
        str(port),
    ]
    ended = subprocess.run(command, env=instance_environment(home), check=False)
    if ended.returncode not in (0, -2, 130):
        raise CommandError(f"the UI ended with status {ended.returncode}; its own lines above say why")

"""Commands to look at results: query, ui."""

import signal
import threading
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import existing_home, home_from_environment, only_study, screen


def query(
    sql: Annotated[str, typer.Argument(help="SQL as DuckDB speaks it; every table by its asset's name.")],
    study: Annotated[
        str | None, typer.Option("--study", "-s", help="Name of the study; may be left out if there is one.")
    ] = None,
    format: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
) -> None:
    """Ask the tables of a study: advcluster query "select * from edi_summary" --study demo."""
    from advcluster_dagster.cli.tables import print_rows
    from advcluster_dagster.storage.views import query_study

    home = existing_home()
    print_rows(query_study(home, only_study(home, study), sql), format)


def ui(
    port: Annotated[int, typer.Option(help="Port of the web page.")] = 3000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback are open to everyone there.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", help="A further name by which browsers may ask, such as one of a proxy; repeatable."
        ),
    ] = None,
) -> None:
    """Start the Dagster UI and daemon for all studies of this home, until interrupted."""
    from advcluster_dagster.orchestration.instance import mark_dead_runs, open_instance
    from advcluster_dagster.orchestration.partition_definitions import sync_partitions
    from advcluster_dagster.orchestration.ui_processes import run_ui

    home, stop = home_from_environment(), threading.Event()
    with open_instance(home) as instance:
        mark_dead_runs(instance, is_only_server=True)
        studies, faults = home.readable_studies()
        for fault in faults:
            screen.print(f"left out: {escape(fault)}", soft_wrap=True)
        for study in studies:
            sync_partitions(instance, study)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    screen.print(f"Dagster UI at http://{host}:{port} (stop with Ctrl-C)")
    run_ui(home, host, port, allow_host or (), stop)

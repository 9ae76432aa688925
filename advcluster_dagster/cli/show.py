"""Commands that show results: findings, studies, query, ui."""

import signal
import threading
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import (
    FormatOption,
    StudyArgument,
    ToOption,
    existing_home,
    home_from_environment,
    only_study,
    screen,
)


def query(
    sql: Annotated[str, typer.Argument(help="SQL in DuckDB's dialect; tables have the names of their assets.")],
    study: Annotated[
        str | None, typer.Option("--study", "-s", help="Name or file of the study; optional if the home has only one.")
    ] = None,
    format: FormatOption = None,
    to: ToOption = None,
) -> None:
    """Query the tables of a study: advcluster query "select * from edi_summary" --study demo."""
    from advcluster_dagster.cli.rows import write_rows
    from advcluster_dagster.storage.views import query_study

    home = existing_home()
    rows = query_study(home, only_study(home, study), sql)
    write_rows(rows, format, to)
    if to is not None:
        screen.print(f"Wrote {rows.height} rows to {escape(str(to))}.", soft_wrap=True)


def findings(
    study: StudyArgument,
    family: Annotated[str | None, typer.Option("--family", "-f", help="Only this family.")] = None,
) -> None:
    """Print the findings on the report's first page, one sentence per line."""
    from advcluster_dagster.api.studies import open_study
    from advcluster_dagster.cli.tables import printable
    from advcluster_dagster.planning.selection import Selection

    opened = open_study(study, existing_home().root)
    Selection(families=() if family is None else (family,)).check(opened.settings)
    for name in opened.settings.families if family is None else (family,):
        has_judge = not opened.table("trace_pairs", family=name).is_empty()
        for line in opened.findings(name, has_judge):
            print(printable(line))


def studies(format: FormatOption = None, to: ToOption = None) -> None:
    """List the studies of this home: families, domains, benchmarks, trials, and whether there is a report."""
    import polars as pl

    from advcluster_dagster.cli.rows import write_rows
    from advcluster_dagster.storage.pages import page_path

    home = existing_home()
    known, faults = home.readable_studies()
    rows = [
        {
            "study": study.study,
            "families": list(study.families),
            "domains": list(study.domains),
            "benchmarks": sum(len(names) for names in study.domains.values()),
            "trials": study.trials,
            "report": page_path(home.reports, study.study, "study_report").exists(),
        }
        for study in known
    ]
    texts, lists = {"study": pl.String}, {"families": pl.List(pl.String), "domains": pl.List(pl.String)}
    numbers = {"benchmarks": pl.Int64, "trials": pl.Int64, "report": pl.Boolean}
    write_rows(pl.DataFrame(rows, schema={**texts, **lists, **numbers}), format, to)
    for fault in faults:
        screen.print(f"[yellow]skipped[/yellow] {escape(fault)}", soft_wrap=True)


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 3000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any other than loopback is open to the whole network.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="Additional host name to accept, such as that of a proxy; may be repeated."),
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
            screen.print(f"skipped: {escape(fault)}", soft_wrap=True)
        for study in studies:
            sync_partitions(instance, study)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    screen.print(f"Dagster UI at http://{host}:{port} (stop with Ctrl-C)")
    run_ui(home, host, port, allow_host or (), stop)

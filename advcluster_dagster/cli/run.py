"""Commands that run a study or show what a run would do: demo, run, regrade, status, report."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import (
    CommandError,
    FormatOption,
    StudyArgument,
    ToOption,
    existing_home,
    home_from_environment,
    open_study,
    print_drop_faults,
    screen,
)
from advcluster_dagster.cli.progress import run_progress

if TYPE_CHECKING:
    from pathlib import Path

    import dagster as dg

    from advcluster_dagster.orchestration.run_study import RunOutcome
    from advcluster_dagster.pipeline.platform import Platform
    from advcluster_dagster.planning.selection import Selection
    from advcluster_dagster.storage.home import Home
    from advcluster_dagster.study.study import Study


WaitOption = Annotated[
    bool, typer.Option("--wait", help="If another process runs the study, wait until it ends, then run.")
]


def demo(wait: WaitOption = False) -> None:
    """Run the demo study: two simulated families, four domains; needs no key and no download."""
    from advcluster_dagster.pipeline.platform import Platform

    home = home_from_environment()
    _run_and_print(Platform(home), home.register_study("demo"), command="demo", must_wait=wait)


def run(
    study: StudyArgument,
    family: Annotated[
        list[str] | None, typer.Option("--family", "-f", help="Only this family; may be repeated.")
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option("--domain", "-d", help="Only this domain; may be repeated.")
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            "-s",
            help="Only these assets, in Dagster's selection syntax: final_taxonomy, +final_taxonomy (with its"
            " dependencies), 'group:grading and not graded_trials'; may be repeated, and takes commas.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the steps and model calls of a run, without running it.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Repeat failed model calls.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Fail at the first call that the ledger cannot answer.")
    ] = False,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost", min=0, help="Stop when this run has spent so many US dollars; finished work is kept."
        ),
    ] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Submit chat calls as batches: half the price, replies within a day.")
    ] = False,
    keep_taxonomies: Annotated[
        bool,
        typer.Option("--keep-taxonomies", help="Keep existing taxonomies and measure how well they cover new data."),
    ] = False,
    wait: WaitOption = False,
    format: FormatOption = None,
    to: ToOption = None,
) -> None:
    """Run the steps of a study that are not up to date; a killed or repeated run only makes the missing model calls."""
    from advcluster_dagster.ledger.prices import load_prices
    from advcluster_dagster.ledger.spending_limits import refuse_unpriced
    from advcluster_dagster.pipeline.platform import Platform
    from advcluster_dagster.planning.asset_selection import select_assets
    from advcluster_dagster.planning.selection import Selection

    if not dry_run and (format, to) != (None, None):
        raise CommandError("--format and --to apply to --dry-run only; add --dry-run")
    home = home_from_environment()
    assets = () if select is None else select_assets(select)
    selection = Selection(tuple(family or ()), tuple(domain or ()), assets, keeps_taxonomies=keep_taxonomies)
    declared = home.register_study(study)
    print_drop_faults(home, declared.study)
    platform = Platform(home, offline, retry_failed, max_cost=max_cost, is_batched=batch)
    if dry_run:
        _show_plan(platform, declared, selection, format, to)
        return
    if max_cost is not None:
        refuse_unpriced(declared, load_prices(home.prices))
    _run_and_print(platform, declared, selection, command="run", must_wait=wait)


def regrade(
    study: StudyArgument,
    family: Annotated[
        list[str] | None, typer.Option("--family", "-f", help="Only this family; may be repeated.")
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option("--domain", "-d", help="Only this domain; may be repeated.")
    ] = None,
    wait: WaitOption = False,
) -> None:
    """Grade existing traces again and run the steps downstream; generates no traces."""
    from advcluster_dagster.orchestration.regrading import regrade_study
    from advcluster_dagster.pipeline.platform import Platform
    from advcluster_dagster.planning.selection import Selection

    home = home_from_environment()
    selection = Selection(tuple(family or ()), tuple(domain or ()))
    declared = home.register_study(study)
    _run_and_print(Platform(home), declared, selection, regrade_study, command="regrade", must_wait=wait)


def status(
    study: StudyArgument,
    format: FormatOption = None,
    to: ToOption = None,
) -> None:
    """Show which steps and partitions are fresh, stale, missing, failed or blocked, and why."""
    from advcluster_dagster.cli.rows import write_rows
    from advcluster_dagster.cli.tables import status_rows, status_table
    from advcluster_dagster.orchestration.instance import open_instance
    from advcluster_dagster.planning.status import study_status

    platform, declared = open_study(existing_home(), study)
    print_drop_faults(platform.home, declared.study)
    with open_instance(platform.home) as instance:
        statuses = list(study_status(platform, declared, instance).values())
        notices = _notices(platform.home, declared, instance)
    write_rows(status_rows(statuses), format, to, status_table(declared, statuses))
    notices.show()


def report(study: StudyArgument) -> None:
    """Write the report and the explorer of a study from its tables, and print their addresses."""
    from advcluster_dagster.pipeline.platform import Platform
    from advcluster_dagster.planning.selection import Selection

    home = existing_home()
    assets = ("study_report", "evidence_explorer")
    _run_and_print(Platform(home), home.register_study(study), Selection(assets=assets))


def _run_and_print(
    platform: "Platform",
    study: "Study",
    selection: "Selection | None" = None,
    run: "Callable[..., RunOutcome] | None" = None,
    command: str | None = None,
    must_wait: bool = False,
) -> None:
    """Run a study by ``run`` (default `run_study`) with progress bars, and print the outcome.

    With a ``command``, the study is locked against other processes; ``must_wait`` waits for the lock.
    """
    from advcluster_dagster.orchestration.instance import open_instance
    from advcluster_dagster.orchestration.run_lock import only_run
    from advcluster_dagster.orchestration.run_study import run_study
    from advcluster_dagster.planning.selection import Selection

    def print_line(line: str) -> None:
        screen.print(escape(line), soft_wrap=True)

    with ExitStack() as stack:
        instance = stack.enter_context(open_instance(platform.home))
        if command is not None:
            typed = f"advcluster {command}" + ("" if command == "demo" else f" {study.study}")
            stack.enter_context(only_run(platform.home, study.study, instance, typed, must_wait, print_line))
        bars = stack.enter_context(run_progress())
        platform.on_progress = bars.on_calls
        outcome = (run or run_study)(platform, study, instance, selection or Selection(), bars.on_run)
        notices = _notices(platform.home, study, instance)
    # The bars do not see calls of other processes; in this process they also count those of failed steps.
    _print_outcome(outcome, bars.n_asked or outcome.n_asked, is_complete=not notices.missing)
    notices.show()
    _print_pages(platform.home, study)
    if outcome.failures:
        raise CommandError(f"{len(outcome.failures)} partition(s) did not finish; see the lines above")


@dataclass(frozen=True)
class _Notices:
    """Notices that follow the outcome: failed checks that do not block, and data still to be imported."""

    warnings: tuple[str, ...]
    missing: tuple[str, ...]

    def show(self) -> None:
        """Print one line per notice on the error stream."""
        from advcluster_dagster.cli.tables import printable

        for line in self.missing:
            screen.print(f"[yellow]missing[/yellow] {escape(line)}", soft_wrap=True)
        for line in self.warnings:
            screen.print(f"[yellow]warning[/yellow] {escape(printable(line))}", soft_wrap=True)


def _notices(home: "Home", study: "Study", instance: "dg.DagsterInstance") -> _Notices:
    from advcluster_dagster.planning.failed_checks import failed_warnings
    from advcluster_dagster.sources.imports.missing import missing_imports

    missing = tuple(line for domain in study.domains for line in missing_imports(home.imports, study, domain))
    return _Notices(tuple(warning.text for warning in failed_warnings(instance, study)), missing)


def _print_outcome(outcome: "RunOutcome", n_asked: int, is_complete: bool = True) -> None:
    from advcluster_dagster.cli.tables import printable

    for text in outcome.tracebacks:
        screen.print(escape(printable(text)), soft_wrap=True)
    for partition, fault in outcome.failures.items():
        screen.print(f"[red]failed[/red] {escape(f'{partition.label}: {fault}')}", soft_wrap=True)
    for partition, reason in outcome.waiting.items():
        screen.print(f"{escape(f'{partition.label}: {reason}')}", soft_wrap=True)
    for line in outcome.call_failures:
        screen.print(f"[yellow]{escape(line)}[/yellow]", soft_wrap=True)
    fresh = f"Nothing to do: all {'is' if is_complete else 'that can run is'} fresh"
    idle = "Nothing was run" if outcome.failures or outcome.waiting else fresh
    steps = f"{outcome.n_steps} steps in {outcome.n_runs} runs" if outcome.n_runs else idle
    screen.print(f"{steps}, {n_asked if outcome.n_runs else 0} model calls.")


def _print_pages(home: "Home", study: "Study") -> None:
    """Print the addresses of a study's existing pages."""
    from advcluster_dagster.storage.pages import page_path

    assets = {"Report": "study_report", "Explorer": "evidence_explorer"}
    pages = {name: page_path(home.reports, study.study, asset) for name, asset in assets.items()}
    for name, page in pages.items():
        if page.exists():
            screen.print(f"{name + ':':9} {page.as_uri()}", soft_wrap=True)
    if any(page.exists() for page in pages.values()):
        screen.print("UI:       make ui (or: advcluster ui), then http://127.0.0.1:3000")


def _show_plan(
    platform: "Platform", study: "Study", selection: "Selection", form: str | None, to: "Path | None"
) -> None:
    from advcluster_dagster.cli.rows import write_rows
    from advcluster_dagster.cli.tables import plan_rows, plan_table
    from advcluster_dagster.ledger.prices import load_prices
    from advcluster_dagster.orchestration.instance import open_instance
    from advcluster_dagster.planning.dry_run import plan_run

    with open_instance(platform.home) as instance:
        planned = plan_run(platform, study, instance, selection)
        notices = _notices(platform.home, study, instance)
    as_of = load_prices(platform.home.prices).as_of
    write_rows(plan_rows(planned), form, to, plan_table(planned, as_of, is_complete=not notices.missing))
    notices.show()

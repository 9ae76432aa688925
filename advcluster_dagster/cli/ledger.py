"""Commands for the call ledger: ledger export, ledger import, ledger new, ledger costs, ledger batches."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.markup import escape

from advcluster_dagster.cli.common import (
    FormatOption,
    StudyArgument,
    ToOption,
    existing_home,
    home_from_environment,
    open_study,
    screen,
)


def export_command(
    study: StudyArgument,
    file: Annotated[Path, typer.Argument(help="File to write, gzip-compressed JSON Lines.")],
) -> None:
    """Export every model reply that a study used to one file."""
    from advcluster_dagster.ledger.files import export_replies

    platform, declared = open_study(existing_home(), study)
    written = export_replies(platform.ledger, declared.study, file)
    screen.print(f"Wrote {written.n_calls} calls to {escape(str(file))}.", soft_wrap=True)


def import_command(
    file: Annotated[
        Path, typer.Argument(help="File written by ledger export, or a ledger's file of unwritten replies.")
    ],
) -> None:
    """Import the replies of such a file into this home's ledger; runs reuse them instead of calling models."""
    from advcluster_dagster.ledger.files import import_replies
    from advcluster_dagster.ledger.unwritten_replies import is_unwritten_file
    from advcluster_dagster.pipeline.platform import Platform

    is_unwritten = is_unwritten_file(file)  # checked first: opening the ledger imports and removes the files it finds
    ledger = Platform(home_from_environment()).ledger
    if is_unwritten:
        ledger.import_unwritten_file(file)
        screen.print(f"Imported the replies of {escape(str(file))}.", soft_wrap=True)
        return
    read = import_replies(ledger, file)
    screen.print(f"Imported {read.n_calls} calls of study {read.study} ({read.n_known} already present).")


def new_command() -> None:
    """Create an empty ledger to replace a lost one; the replies that runs need are requested and paid for again."""
    from advcluster_dagster.ledger.home_ledger import begin_ledger

    path = begin_ledger(existing_home())
    screen.print(f"Created an empty ledger{'' if path is None else f', {escape(str(path))}'}.", soft_wrap=True)


def costs_command(study: StudyArgument, format: FormatOption = None, to: ToOption = None) -> None:
    """Show calls, tokens and cost of a study's model calls, by asset and model."""
    from advcluster_dagster.cli.rows import write_rows
    from advcluster_dagster.cli.tables import costs_rows, costs_table
    from advcluster_dagster.ledger.prices import dollars, load_prices
    from advcluster_dagster.ledger.spending_limits import spent_by_study

    platform, declared = open_study(existing_home(), study)
    totals = platform.ledger.totals_by_asset_and_model(declared.study)
    write_rows(costs_rows(totals), format, to, costs_table(totals) if totals else Group())
    if not totals:
        screen.print(f"Study {declared.study} has made no model calls yet.")
        return
    spent = spent_by_study(platform.ledger, declared, load_prices(platform.home.prices))
    limit = declared.spending.max_cost
    of_limit = f" of the {dollars(limit)} that spending.max_cost allows" if limit is not None else ""
    screen.print(f"Total, including repeated calls: {dollars(spent)}{of_limit}.", soft_wrap=True)


def batches_command() -> None:
    """Show the batches of all studies that were submitted to providers and not collected yet."""
    from advcluster_dagster.ledger.batches import open_batches
    from advcluster_dagster.pipeline.platform import Platform

    batches = open_batches(Platform(existing_home()).ledger)
    for server, batch_id, state, n_calls in batches:
        print(f"{server}  {batch_id or '(no id yet)'}  {state}  {n_calls} calls")
    if not batches:
        screen.print("No open batches.")

"""Commands that trace results to their sources: audit, lineage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from advcluster_dagster.cli.common import CommandError, StudyArgument, existing_home, screen
from advcluster_dagster.extras import install_command

if TYPE_CHECKING:
    from advcluster_dagster.audit.chain import Kind, Start
    from advcluster_dagster.audit.records import Node
    from advcluster_dagster.audit.verify import Verification
    from advcluster_dagster.storage.home import Home
    from advcluster_dagster.study.study import Study

_MOST_CHANGES = 10


def audit(
    study: StudyArgument,
    cluster: Annotated[str | None, typer.Option(help="Start at a cluster: FAMILY/CLUSTER.")] = None,
    cell: Annotated[str | None, typer.Option(help="Start at a heatmap cell: FAMILY/CLUSTER/DOMAIN.")] = None,
    advantage: Annotated[str | None, typer.Option(help="Start at an advantage: FAMILY/ADVANTAGE_ID.")] = None,
    edi: Annotated[str | None, typer.Option(help="Start at an index: FAMILY/DOMAIN or FAMILY/DOMAIN/QUESTION.")] = None,
    diff: Annotated[
        str | None, typer.Option(help="What changed between an asset's materialisations: ASSET or ASSET@PARTITION.")
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Also write audit.html next to the report.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as one JSON object, with full texts.")
    ] = False,
) -> None:
    """Trace results back to traces, prompts and runs, and verify every link; without a starting point, all results."""
    home = existing_home()
    declared = home.register_study(study)
    options = {"cluster": cluster, "cell": cell, "advantage": advantage, "edi": edi, "diff": diff}
    chosen = [name for name, value in options.items() if value is not None]
    if len(chosen) > 1:
        raise CommandError(f"--{' and --'.join(chosen)}: give only one of them")
    if page and chosen:
        raise CommandError("--page shows the whole study; omit the starting point")
    if diff is not None:
        _show_changes(home, declared, diff, as_json)
        return
    with _collector_paused():
        _audit(home, declared, _start(declared, options), page, as_json)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Disable Python's cycle collector, which would scan all rows read over and over and free nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def lineage(
    study: StudyArgument,
    to: Annotated[str, typer.Option("--to", help="JSON Lines file to write, or URL of a server.", show_default=False)],
) -> None:
    """Write or send a study's history as OpenLineage events; a server's key is read from OPENLINEAGE_API_KEY."""
    from advcluster_dagster.orchestration.instance import open_instance

    try:
        from advcluster_dagster.audit.openlineage_events import lineage_events
        from advcluster_dagster.audit.openlineage_out import emit
    except ModuleNotFoundError as error:
        raise CommandError(
            f"module {error.name} is missing; install the extra: {install_command('openlineage')}"
        ) from None
    home = existing_home()
    declared = home.register_study(study)
    with open_instance(home) as instance:
        n_events = emit(lineage_events(home, declared, instance), to)
    screen.print(f"Wrote {n_events} events to {escape(to)}.", soft_wrap=True)


def _start(study: "Study", options: "dict[str, str | None]") -> "Start | None":
    from advcluster_dagster.audit.chain import Start

    kinds: tuple[Kind, ...] = ("cluster", "cell", "advantage", "edi")
    return next((Start.parse(study, kind, value) for kind in kinds if (value := options[kind])), None)


def _audit(home: "Home", study: "Study", start: "Start | None", page: bool, as_json: bool) -> None:
    from advcluster_dagster.audit.chain import chain_of
    from advcluster_dagster.audit.evidence import Evidence
    from advcluster_dagster.audit.page import write_page
    from advcluster_dagster.audit.shown import MOST_CHILDREN, TEXT_LIMIT, audit_json
    from advcluster_dagster.audit.verify import verify
    from advcluster_dagster.ledger.home_ledger import open_ledger
    from advcluster_dagster.orchestration.instance import open_instance

    with open_instance(home) as instance, open_ledger(home) as ledger:
        verification = verify(home, study, instance, ledger, start.roots if start else ())
        evidence = Evidence(verification, ledger, None if as_json else TEXT_LIMIT)
        chain = chain_of(start, evidence, None if as_json else MOST_CHILDREN) if start else None
    written = write_page(home, verification) if page else None
    if as_json:
        print(audit_json(verification, chain))
    else:
        _show(verification, chain)
    if written:
        screen.print(f"Page: {written.as_uri()}", soft_wrap=True)
    if not verification.is_intact:
        raise CommandError(
            f"the chain is broken in {len(verification.breaks)} place(s){'' if as_json else ', listed above'}"
        )


def _show(verification: "Verification", chain: "Node | None") -> None:
    from advcluster_dagster.audit.shown import break_lines, chain_tree, counts_table

    console = Console(highlight=False, emoji=False)
    if chain:
        console.print(chain_tree(chain))
    else:
        console.print(counts_table(verification))
    for line in verification.notes:
        console.print(Text(f"note: {line}"), soft_wrap=True)
    for line in break_lines(verification):
        console.print(Text(f"broken: {line}"), soft_wrap=True)
    counts = verification.counts.values()
    verified = f"{sum(c.n_files for c in counts)} files, {sum(c.n_hashes for c in counts):,} hashes,"
    verified += f" {sum(c.n_references for c in counts):,} references, {sum(c.n_calls for c in counts):,} model calls"
    console.print(f"{'Intact' if verification.is_intact else 'Not intact'}: {verified} verified.")


def _show_changes(home: "Home", study: "Study", given: str, as_json: bool) -> None:
    from advcluster_dagster.audit.differences import asset_changes
    from advcluster_dagster.audit.shown import change_lines, changes_json
    from advcluster_dagster.orchestration.instance import open_instance

    with open_instance(home) as instance:
        changes = asset_changes(instance, study, given, _MOST_CHANGES)
    if as_json:
        print(changes_json(changes))
        return
    for line in change_lines(changes):
        print(line)

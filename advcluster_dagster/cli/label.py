"""The command for human labels: label."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import CommandError, StudyArgument, existing_home, screen


def label(
    study: StudyArgument,
    sheet: Annotated[Path, typer.Argument(help="CSV file to write, or to read with --read.")],
    family: Annotated[
        str | None, typer.Option("--family", "-f", help="Family of the sheet; required if the study has several.")
    ] = None,
    read: Annotated[bool, typer.Option("--read", help="Read the labels and print the agreement.")] = False,
) -> None:
    """Write a blinded sheet for human labels, or read one back and print its agreement with the judges."""
    from advcluster_dagster.exports.label_sheets import read_sheet, write_sheet

    home = existing_home()
    declared = home.register_study(study)
    if family is None and len(declared.families) != 1:
        raise CommandError(f"name a family with --family; the study has {', '.join(declared.families)}")
    family_name = family or next(iter(declared.families))
    if family_name not in declared.families:
        raise CommandError(f"--family is {family_name!r}; the study has {', '.join(declared.families)}")
    if not read:
        n_items = write_sheet(home, declared, family_name, sheet)
        screen.print(
            f"Wrote {n_items} items to {escape(str(sheet))}: fill in the column label, then read it with --read."
        )
        return
    for agreement in read_sheet(home, declared, family_name, sheet):
        ends = "" if agreement.low is None else f" [{agreement.low:.2f}, {agreement.high:.2f}]"
        kappa = "undefined" if agreement.kappa is None else f"{agreement.kappa:.2f}{ends}"
        share = "" if agreement.share is None else f", {100 * agreement.share:.0f} % equal"
        print(f"{agreement.kind}: kappa {kappa} on {agreement.n_labelled} of {agreement.n_items} items{share}")

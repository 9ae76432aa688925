"""Shared by several commands: arguments, the console, the command error, opening a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from advcluster_dagster.errors import AdvClusterError

if TYPE_CHECKING:
    from advcluster_dagster.pipeline.platform import Platform
    from advcluster_dagster.storage.home import Home
    from advcluster_dagster.study.study import Study

screen = Console(stderr=True, highlight=False, emoji=False)

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a study, or a study file (.yaml).", show_default=False)
]
StudyOption = Annotated[
    str, typer.Option("--study", "-s", help="Name of a study, or a study file (.yaml).", show_default=False)
]
DomainOption = Annotated[str, typer.Option("--domain", "-d", help="Domain of the study.", show_default=False)]
BenchmarkOption = Annotated[str, typer.Option("--benchmark", "-b", help="Benchmark of the domain.", show_default=False)]


FormatOption = Annotated[
    str | None, typer.Option("--format", help="table, json, jsonl, csv, or (with --to) parquet.", show_default="table")
]
ToOption = Annotated[
    Path | None, typer.Option("--to", help="File to write instead of printing; its extension may set the format.")
]


class CommandError(AdvClusterError):
    """The command failed; the message is one complete line."""


def home_from_environment() -> "Home":
    """See :meth:`Home.from_environment`. Imports lazily, so that ``--help`` loads no settings models."""
    from advcluster_dagster.storage.home import Home

    return Home.from_environment()


def existing_home() -> "Home":
    """See :meth:`Home.existing`."""
    from advcluster_dagster.storage.home import Home

    return Home.existing()


def open_study(home: "Home", study: str) -> "tuple[Platform, Study]":
    """Return the home's platform and a study of it; a study given as a file is registered first."""
    from advcluster_dagster.pipeline.platform import Platform

    return Platform(home), home.register_study(study)


def only_study(home: "Home", name: str | None) -> "Study":
    """Return the study with this name or file; without a name, the home's only study.

    Raises:
        StudyError: no name is given and the home does not hold exactly one study.
    """
    from advcluster_dagster.study.study import StudyError

    known = [path.stem for path in home.study_files()]
    if name is None and len(known) != 1:
        raise StudyError(f"name a study with --study; known: {', '.join(known) or 'none yet'}")
    return home.register_study(name or known[0])


def print_drop_faults(home: "Home", study: str) -> None:
    """Print a warning for each entry of a study's drop folder that is not a benchmark."""
    for fault in home.drop_faults(study):
        screen.print(escape(fault), soft_wrap=True)

"""Commands that export results to other tools: export inspect, export preferences."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import CommandError, StudyArgument, existing_home, screen

if TYPE_CHECKING:
    from advcluster_dagster.storage.home import Home
    from advcluster_dagster.study.study import Study


def export_inspect(
    study: StudyArgument,
    family: Annotated[str, typer.Option("--family", "-f", help="Model family of the study.", show_default=False)],
    domain: Annotated[
        str | None, typer.Option("--domain", "-d", help="One domain; by default every graded domain.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to write to; by default exports/STUDY/inspect in the home.")
    ] = None,
) -> None:
    """Write traces and verdicts as Inspect logs, one per domain, benchmark and role; view them with `inspect view`."""
    from advcluster_dagster.exports.inspect_logs import export_inspect_logs

    home = existing_home()
    declared = home.register_study(study)
    folder = to or home.root / "exports" / declared.study / "inspect"
    for log in export_inspect_logs(home.lake, declared, family, folder, domain):
        screen.print(f"Wrote {log.n_samples} trials to {escape(str(log.path))}.", soft_wrap=True)
    screen.print(f"View them with: inspect view start --log-dir {escape(str(folder))}", soft_wrap=True)


class DatasetFormat(StrEnum):
    """Formats of a preference data set."""

    DPO = "dpo"
    KTO = "kto"
    SFT = "sft"


class ThinkingOption(StrEnum):
    """Whether thinking text stays in the responses."""

    KEEP = "keep"
    STRIP = "strip"


def _check_fresh(home: "Home", study: "Study", family: str) -> None:
    """Raise unless the family's preference pairs are up to date and their checks passed."""
    from advcluster_dagster.orchestration.instance import open_instance
    from advcluster_dagster.pipeline.platform import Platform
    from advcluster_dagster.planning.status import study_status
    from advcluster_dagster.study.partition import Partition

    with open_instance(home) as instance:
        statuses = study_status(Platform(home), study, instance)
    status = statuses.get(("preference_pairs", Partition(family)))
    if status is not None and status.state not in ("fresh", "missing"):
        reasons = "; ".join(status.texts)
        raise CommandError(
            f"preference pairs of {family} are {status.state} ({reasons}); run: advcluster run {study.study} --select"
            " +preference_pairs"
        )


def export_preferences_command(
    study: StudyArgument,
    family: Annotated[str, typer.Option("--family", "-f", help="Model family of the study.", show_default=False)],
    format: Annotated[
        DatasetFormat, typer.Option("--format", help="Format of the rows, as read by TRL.")
    ] = DatasetFormat.DPO,
    thinking: Annotated[
        ThinkingOption, typer.Option("--thinking", help="Keep or strip the text between thinking tags.")
    ] = ThinkingOption.KEEP,
    selection: Annotated[
        str | None,
        typer.Option("--selection", help="all, top_delta, cluster or random; by default the study's setting."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="Folder to write to; by default exports/STUDY/preferences/FAMILY/FORMAT in the home.",
        ),
    ] = None,
) -> None:
    """Write preference pairs for training, as JSON Lines, Parquet and a card; only benchmarks that allow training."""
    from advcluster_dagster.exports.preference_datasets import export_preferences

    home = existing_home()
    declared = home.register_study(study)
    folder = to or home.root / "exports" / declared.study / "preferences" / family / format.value
    _check_fresh(home, declared, family)
    exports = export_preferences(home, declared, family, folder, format.value, thinking.value, selection)
    for export in exports:
        counts = f"{export.written.n_rows} rows of {export.written.n_pairs} pairs"
        screen.print(escape(f"Wrote {counts} to {export.folder} ({export.selection})."), soft_wrap=True)
    screen.print("Read README.md there before you train: benchmarks are evaluation data.", soft_wrap=True)

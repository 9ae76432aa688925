"""Commands that import questions and traces: init, import questions, import traces."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import (
    BenchmarkOption,
    CommandError,
    DomainOption,
    StudyOption,
    home_from_environment,
    screen,
)
from advcluster_dagster.cli.progress import byte_progress

if TYPE_CHECKING:
    from advcluster_dagster.sources.imports.provenance import ImportOutcome
    from advcluster_dagster.sources.imports.staging import BeforeStoring, Staging
    from advcluster_dagster.storage.home import Home
    from advcluster_dagster.study.study import Study


AnswerTypeOption = Annotated[
    str | None, typer.Option(help="Type of the answers, such as numeric, if the file does not name it.")
]
FieldsOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="COLUMN=FIELD of your records, such as response=output.0; may be repeated."),
]


def init(
    name: Annotated[str, typer.Argument(help="Name of the new study: a-z, 0-9, '_', '.', '-'.")],
) -> None:
    """Write a study file to fill in, for a study of existing traces."""
    from advcluster_dagster.cli.study_template import write_study_template

    path = write_study_template(home_from_environment(), name)
    screen.print(f"Wrote {escape(str(path))}.", soft_wrap=True)
    screen.print("Fill in your models, domains and benchmarks, then import questions and traces:")
    line = f"  advcluster import questions FILE --study {name} --domain DOMAIN --benchmark BENCHMARK"
    screen.print(line, soft_wrap=True)
    screen.print(
        f"  advcluster import traces FILE --study {name} --family FAMILY --domain DOMAIN --benchmark BENCHMARK",
        soft_wrap=True,
    )
    screen.print(f"  advcluster run {name}")


def import_questions_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON Lines (also .gz) or a JSON array with question_id, question, answer, answer_type, ...; records"
            " of any form with --map; Parquet or CSV."
        ),
    ],
    study: StudyOption,
    domain: DomainOption,
    benchmark: BenchmarkOption,
    answer_type: AnswerTypeOption = None,
    fields: FieldsOption = None,
) -> None:
    """Import the questions of one benchmark, replacing earlier imports of it."""
    from advcluster_dagster.sources.imports.field_map import parse_map
    from advcluster_dagster.sources.imports.questions import import_questions

    home = home_from_environment()
    declared = home.register_study(study)
    field_map = parse_map(fields or ()) if fields or answer_type else None
    with ExitStack() as bar:
        on_progress = bar.enter_context(byte_progress(f"questions of {benchmark}"))
        import_questions(
            file, declared, domain, benchmark, home.imports, on_progress, fields_given=field_map,
            answer_type=answer_type, before_storing=_confirm_import(home, declared, True, bar.close),
        )  # fmt: skip
    screen.print("Imported.")


def import_traces_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON Lines (also .gz) or a JSON array with question_id, model, trial, response, ...; records of any"
            " form with --map; Parquet or CSV; a folder of 10_runs.json files; or logs of Inspect (.eval) or"
            " lm-evaluation-harness (samples_*.jsonl), a file or a folder."
        ),
    ],
    study: StudyOption,
    family: Annotated[str, typer.Option("--family", "-f", help="Model family of the study.", show_default=False)],
    domain: Annotated[
        str | None, typer.Option("--domain", "-d", help="Domain; a folder of 10_runs.json names its own.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", "-b", help="Benchmark; a folder of 10_runs.json names its own.")
    ] = None,
    answer_type: AnswerTypeOption = None,
    fields: FieldsOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Import without asking, even if the data look wrong.")
    ] = False,
) -> None:
    """Import the traces of one benchmark.

    Logs, and a folder {domain}/{benchmark}/{model}/10_runs.json, also bring the questions. A summary is shown before
    anything is stored. If at least half of the responses hold no answer, or half of the recorded verdicts are
    contradicted, the import has to be confirmed.
    """
    from advcluster_dagster.sources.imports.evaluation_logs import find_logs, import_logs
    from advcluster_dagster.sources.imports.field_map import parse_map
    from advcluster_dagster.sources.imports.mapped_records import mapped_logs
    from advcluster_dagster.sources.imports.official_results import import_official_results
    from advcluster_dagster.sources.imports.records import is_table
    from advcluster_dagster.sources.imports.traces import import_traces

    home = home_from_environment()
    declared = home.register_study(study)
    is_mapped = bool(fields) or (file.is_file() and is_table(file))
    logs = mapped_logs(file, parse_map(fields or ()), answer_type) if is_mapped else find_logs(file)
    with ExitStack() as bar:
        on_progress = bar.enter_context(byte_progress(f"traces of {family}"))
        accept = _confirm_import(home, declared, yes, bar.close)
        if file.is_dir() and not logs:
            import_official_results(
                file, declared, family, home.imports, answer_type, benchmark, on_progress, before_storing=accept
            )
        elif domain is None or benchmark is None:
            raise CommandError(f"{'logs need' if logs else 'a file of traces needs'} --domain and --benchmark")
        elif logs:
            place = (family, domain, benchmark, home.imports)
            import_logs(file, logs, declared, *place, answer_type, on_progress, accept)
        else:
            place = (family, domain, benchmark, home.imports)
            import_traces(file, declared, *place, on_progress, answer_type, before_storing=accept)
    screen.print("Imported.")


def _confirm_import(home: "Home", study: "Study", yes: bool, stop_bar: Callable[[], None]) -> "BeforeStoring":
    """Return a hook that prints what is about to be stored and, if it looks wrong, needs ``yes`` or asks the user."""
    from advcluster_dagster.cli.tables import printable
    from advcluster_dagster.sources.imports.import_report import describe_import

    def accept(outcome: "ImportOutcome", files: "Staging") -> None:
        stop_bar()
        study_file = home.study_file(study.study)
        report = describe_import(outcome.summaries, study, home.imports, study_file, files.current)
        lines = [*report.lines, *(f"{fact[0].upper()}{fact[1:]}." for fact in outcome.facts)]
        for line in [*lines, *(f"Note: {remark}." for remark in outcome.remarks)]:
            screen.print(escape(printable(line)), soft_wrap=True)  # names of files
        if not report.doubts or yes:
            return
        if not sys.stdin.isatty() or not typer.confirm("Import it anyway?", err=True):
            raise CommandError("nothing was imported: see the note above; add --yes to import anyway")

    return accept

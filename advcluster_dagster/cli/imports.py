"""Commands that bring questions and traces: init, import questions, import traces."""

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
    from advcluster_dagster.sources.imports.evaluation_logs import LogImport
    from advcluster_dagster.storage.home import Home
    from advcluster_dagster.study.study import Study


def init(
    name: Annotated[str, typer.Argument(help="Name of the new study: a-z, 0-9, '_', '.', '-'.")],
) -> None:
    """Write a study file to fill in, for traces that exist already."""
    from advcluster_dagster.cli.study_template import write_study_template

    path = write_study_template(home_from_environment(), name)
    screen.print(f"Wrote {escape(str(path))}.", soft_wrap=True)
    screen.print("Name your models, domains and benchmarks in it, then import questions and traces:")
    screen.print(f"  advcluster import questions FILE --study {name} --domain DOMAIN --benchmark BENCHMARK")
    screen.print(
        f"  advcluster import traces FILE --study {name} --family FAMILY --domain DOMAIN --benchmark BENCHMARK"
    )
    screen.print(f"  advcluster run {name}")


def import_questions_command(
    file: Annotated[
        Path,
        typer.Argument(help="JSON Lines (also .gz) or a JSON array: question_id, question, answer, answer_type, ..."),
    ],
    study: StudyOption,
    domain: DomainOption,
    benchmark: BenchmarkOption,
) -> None:
    """Import the questions of one benchmark, replacing those imported before."""
    from advcluster_dagster.sources.imports.evaluation_logs import LogImport
    from advcluster_dagster.sources.imports.questions import import_questions

    home = home_from_environment()
    declared = home.register_study(study)
    with byte_progress(f"questions of {benchmark}") as on_progress:
        summary = import_questions(file, declared, domain, benchmark, home.imports, on_progress)
    _tell(LogImport([summary]), home, declared)


def import_traces_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON Lines (also .gz) or a JSON array: question_id, model, trial, response, ...; a folder of"
            " 10_runs.json files; or logs of Inspect (.eval) or lm-evaluation-harness (samples_*.jsonl), a file or a"
            " folder of them."
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
    answer_type: Annotated[
        str | None, typer.Option(help="For files that do not say it: the answers' type, such as numeric.")
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--map", help="Column = field of your records, such as response=output.0; may be repeated."),
    ] = None,
) -> None:
    """Import traces of one benchmark; logs, and a folder {domain}/{benchmark}/{model}/10_runs.json, bring questions."""
    from advcluster_dagster.sources.imports.evaluation_logs import LogImport, find_logs, import_logs
    from advcluster_dagster.sources.imports.field_map import parse_map
    from advcluster_dagster.sources.imports.mapped_records import mapped_logs
    from advcluster_dagster.sources.imports.official_results import import_official_results
    from advcluster_dagster.sources.imports.traces import import_traces

    home = home_from_environment()
    declared = home.register_study(study)
    outcome = LogImport()
    logs = find_logs(file) if not fields else mapped_logs(file, parse_map(fields), answer_type)
    with byte_progress(f"traces of {family}") as on_progress:
        if file.is_dir() and not logs:
            outcome.summaries += import_official_results(
                file, declared, family, home.imports, answer_type, benchmark, on_progress, outcome.remarks
            )
        elif domain is None or benchmark is None:
            raise CommandError(f"{'logs need' if logs else 'a file of traces needs'} --domain and --benchmark")
        elif logs:
            place = (family, domain, benchmark, home.imports)
            outcome = import_logs(file, logs, declared, *place, answer_type, on_progress)
        else:
            place = (family, domain, benchmark, home.imports)
            outcome.summaries.append(import_traces(file, declared, *place, on_progress, answer_type, outcome.remarks))
    _tell(outcome, home, declared)


def _tell(outcome: "LogImport", home: "Home", study: "Study") -> None:
    """What was imported and found in it, a line each."""
    from advcluster_dagster.cli.tables import printable
    from advcluster_dagster.sources.imports.import_report import describe_import

    lines = describe_import(outcome.summaries, study, home.imports, home.study_file(study.study))
    lines += [f"{fact[0].upper()}{fact[1:]}." for fact in outcome.facts]
    lines += [f"Note: {remark}." for remark in outcome.remarks]
    for line in lines:
        screen.print(escape(printable(line)), soft_wrap=True)  # names of files

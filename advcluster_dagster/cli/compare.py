"""The command that compares two models from their logs: compare."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from advcluster_dagster.cli.common import screen


def compare(
    larger: Annotated[
        Path,
        typer.Argument(
            help="Logs of the larger model, a file or a folder: Inspect (.eval), lm-evaluation-harness"
            " (samples_*.jsonl), or records in JSON Lines, a JSON array, Parquet or CSV."
        ),
    ],
    smaller: Annotated[Path, typer.Argument(help="Logs of the smaller model, in the same formats.")],
    questions: Annotated[
        Path | None, typer.Option("--questions", "-q", help="JSON Lines of questions, for logs without them.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            "-j",
            help="embedded, MODEL (OpenAI) or MODEL@URL; without a judge, only accuracies are compared.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Name of the study to write.")] = None,
    domain: Annotated[str, typer.Option("--domain", "-d", help="Domain of the questions.")] = "general",
    benchmark: Annotated[
        str | None,
        typer.Option("--benchmark", "-b", help="Name of the benchmark; by default the task named in the logs."),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--map", help="COLUMN=FIELD of your records, such as response=output.0; may be repeated."),
    ] = None,
    answer_type: Annotated[
        str | None,
        typer.Option("--answer-type", help="Type of the answers, such as numeric, if the logs do not name it."),
    ] = None,
    answer_field: Annotated[
        str | None, typer.Option("--answer-field", help="JSON field of a response that holds its answer.")
    ] = None,
    answer_marker: Annotated[str | None, typer.Option("--answer-marker", help="Text that precedes the answer.")] = None,
    whole_response: Annotated[bool, typer.Option("--whole-response", help="The whole response is the answer.")] = False,
    labels: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--labels",
            help="Two names shown in place of the models' names, larger first; required for one model in two ways,"
            ' such as --labels "with thinking" "without thinking".',
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Continue even if most responses hold no answer.")] = False,
) -> None:
    """Compare two models from their logs on the same questions: accuracies, their difference and, with a judge, why."""
    from advcluster_dagster.api.comparison import compare as compare_logs
    from advcluster_dagster.cli.tables import printable

    def print_note(line: str) -> None:
        screen.print(escape(printable(line)), soft_wrap=True)

    comparison = compare_logs(
        larger, smaller, questions=questions, judge=judge, name=name, domain=domain, benchmark=benchmark,
        fields=fields or (), answer_type=answer_type, answer_field=answer_field, answer_marker=answer_marker,
        whole_response=whole_response, labels=labels, accept=yes, on_note=print_note,
        on_finding=lambda line: print(printable(line), flush=True),
    )  # fmt: skip
    for label, page in (("Report:", comparison.study.report), ("Explorer:", comparison.study.explorer)):
        if page is not None:
            screen.print(f"{label:9} {page.as_uri()}", soft_wrap=True)
    screen.print(
        escape(f"Study:    {comparison.study.name} (advcluster status {comparison.study.name})"), soft_wrap=True
    )

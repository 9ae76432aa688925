"""Compare two models by their logs: write a study, import the logs, run the analyses that they permit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from advcluster_dagster.api.comparison_study import FAMILY, ComparisonStudy
from advcluster_dagster.api.sources import as_name, open_sources
from advcluster_dagster.api.studies import Study, in_home, run_tables
from advcluster_dagster.assets.registry import tables_behind
from advcluster_dagster.science.grading.answers import AnswerPlace

#: Maximum length of a model's name within the study's default name.
_MOST_OF_A_NAME = 22
#: Tables that need no judge.
_WITHOUT_JUDGE = (
    "analysis_question_set",
    "paired_accuracies",
    "selection_reliabilities",
    "split_half_gaps",
    "accuracy_summary",
    "benchmark_accuracy",
)


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison of two models.

    Attributes:
        study: The study that was written; ``study.table(...)`` returns its tables.
        family: Name of its family.
        larger: Name of the larger model.
        smaller: Name of the smaller model.
        lines: The findings, one sentence each.
        notes: Notes on the import.
        has_judge: Whether traces were compared by a judge.
    """

    study: Study
    family: str
    larger: str
    smaller: str
    lines: tuple[str, ...]
    notes: tuple[str, ...]
    has_judge: bool

    @property
    def differences(self) -> pl.DataFrame:
        """Accuracies and paired differences with intervals, by benchmark, by domain and overall."""
        return self.study.table("paired_accuracies", family=self.family)

    @property
    def kept(self) -> pl.DataFrame:
        """Kept questions: observed gap, and the gap expected in fresh trials."""
        return self.study.table("selection_reliabilities", family=self.family)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        from html import escape

        items = "".join(f"<li>{escape(line)}</li>" for line in self.lines)
        return f"<p><b>{escape(self.larger)}</b> over <b>{escape(self.smaller)}</b></p><ul>{items}</ul>"


def compare(
    larger: str | Path,
    smaller: str | Path,
    *,
    questions: str | Path | None = None,
    judge: str | None = None,
    name: str | None = None,
    domain: str = "general",
    benchmark: str | None = None,
    fields: Sequence[str] = (),
    answer_type: str | None = None,
    answer_field: str | None = None,
    answer_marker: str | None = None,
    whole_response: bool = False,
    labels: tuple[str, str] | None = None,
    accept: bool = False,
    home: str | Path | None = None,
    on_note: Callable[[str], None] = lambda _line: None,
    on_finding: Callable[[str], None] = lambda _line: None,
) -> Comparison:
    """Compare two models by their logs on the same questions.

    Writes a study, imports both logs and runs the analyses that they permit. Repeating the call makes no model calls;
    the study is available in the UI and to ``status``, ``audit`` and every other command.

    Args:
        larger: File or folder with the larger model's logs: Inspect, lm-evaluation-harness samples, or records (JSON
            Lines, a JSON array, Parquet, CSV).
        smaller: The same for the smaller model.
        questions: JSON Lines of questions, for logs that contain none.
        judge: ``embedded``, ``MODEL`` of OpenAI, or ``MODEL@URL`` of a compatible server; None compares accuracies
            only.
        name: Name of the study; by default derived from both models' names and the benchmark.
        domain: Domain of the questions.
        benchmark: Name of the benchmark; by default the logs' task.
        fields: ``column=field`` entries for records with other field names, such as ``response=output.0``.
        answer_type: How answers are compared, if the logs do not specify it.
        answer_field: JSON field of a response that contains its answer.
        answer_marker: Text that precedes the answer.
        whole_response: Treat the whole response as the answer.
        labels: Names shown in place of the models' names, larger first. With labels, both logs may be of one model
            that was asked in two ways, such as with and without thinking.
        accept: Continue even if most responses hold no answer or both logs have equal responses.
        home: Home folder; by default the one set in ADVCLUSTER_HOME.
        on_note: Called with each line on the import.
        on_finding: Called with each finding as soon as it is known: accuracies before a judge is queried or a report
            is written.

    Returns:
        The comparison; ``print`` shows the findings.

    Raises:
        CompareError: the logs share no question, have equal responses, or most responses hold no answer in the expected
            place.
        ImportFileError: a file cannot be read; the message names file, line and field.
        StudyError: a study of that name exists for other logs or settings.

    Example:
        >>> from advcluster_dagster import compare
        >>> result = compare("logs/large", "logs/small")  # doctest: +SKIP
        >>> print(result)  # doctest: +SKIP
    """
    opened = open_sources(Path(larger), Path(smaller), fields, answer_type, benchmark or "", labels is not None)
    benchmark = benchmark or opened[0].task or "questions"
    where = in_home(home)
    places = AnswerPlace(answer_marker, answer_field, whole_response)
    shown_as = labels or (opened[0].model, opened[1].model)
    name = name or _default_name(shown_as, benchmark)
    plan = ComparisonStudy(where, name, domain, benchmark, opened, answer_type, places, labels)
    notes = plan.prepare(Path(questions) if questions else None, judge, accept)
    for note in notes:
        on_note(note)
    study = Study(where, plan.name)
    run_tables(where, plan.name, tables_behind(*_WITHOUT_JUDGE))
    first = study.findings(FAMILY, has_judge=False)
    for line in first:
        on_finding(line)
    run_tables(where, plan.name, () if judge else ("study_report",))
    lines = [*(study.findings(FAMILY) if judge else first)]
    if not judge:
        lines.append("Add --judge MODEL or MODEL@URL to learn which habits make the difference, and what fails first.")
    for line in lines:
        if line not in first:
            on_finding(line)
    return Comparison(study, FAMILY, *shown_as, tuple(lines), tuple(notes), judge is not None)


def _default_name(models: tuple[str, str], benchmark: str) -> str:
    larger, smaller = (_shortened(as_name(model.rpartition("/")[2])) for model in models)
    return as_name(f"{larger}-vs-{smaller}-{benchmark}") or "comparison"


def _shortened(name: str) -> str:
    """Drop trailing words of a name until it fits."""
    while len(name) > _MOST_OF_A_NAME and "-" in name:
        name = name.rpartition("-")[0]
    return name[:_MOST_OF_A_NAME]

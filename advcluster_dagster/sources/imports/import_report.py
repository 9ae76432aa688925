"""Summarise an import for the user: what was read, whether answers can be located, what is still missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.science.grading.answers import AnswerPlace
from advcluster_dagster.science.grading.comparison import Comparison, compare_here
from advcluster_dagster.sources.imports.errors import shown
from advcluster_dagster.sources.imports.preview import NOTABLE_SHARE, Preview, answer_place, preview_traces
from advcluster_dagster.sources.imports.provenance import ImportSummary
from advcluster_dagster.sources.imports.staging import questions_file, traces_file
from advcluster_dagster.study.study import Study

_MOST_GOLDS = 5000
_KINDS = {
    "json_lines": "JSON Lines or a JSON array",
    "official_results": "result files",
    "inspect_logs": "logs of Inspect",
    "lm_eval_samples": "samples of the lm-evaluation-harness",
    "mapped_records": "records",
    "mapped_questions": "records",
}


@dataclass
class ImportReport:
    """Summary lines of an import, and those that say it looks wrong (``doubts``)."""

    lines: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def describe_import(
    summaries: Sequence[ImportSummary],
    study: Study,
    imports_root: Path,
    study_file: Path,
    current: Callable[[Path], Path] = lambda target: target,
) -> ImportReport:
    """Summarise the questions, the traces of each model, and which models have no traces.

    An import looks wrong if at least half of a model's sampled responses are missing or hold no answer, or if at
    least half of the recorded verdicts are contradicted.

    Args:
        summaries: The imports to describe.
        study: The study they belong to.
        imports_root: Folder of imports.
        study_file: The study file, to be named in advice.
        current: Returns the file with a target's content, for imports that are still staged
            (:meth:`~.staging.Staging.current`).
    """
    report = ImportReport()
    for summary in summaries:
        if summary.kind == "questions":
            report.lines += _describe_questions(summary, study, imports_root, current)
        else:
            _describe_traces(summary, study, imports_root, study_file, current, report)
    return report


def _describe_questions(
    summary: ImportSummary, study: Study, imports_root: Path, current: Callable[[Path], Path]
) -> list[str]:
    """Count, answer types and examples; unreadable gold answers; earlier traces whose question is gone."""
    place = (imports_root, study.study, summary.domain, summary.benchmark)
    questions = pl.read_parquet(current(questions_file(*place)))
    kinds = ", ".join(questions["answer_type"].unique().sort())
    examples = ", ".join(shown(answer) for answer in questions["answer"].head(3))
    lines = [
        f"Read {questions.height} questions of {summary.benchmark} from {summary.file_name} "
        f"({_KINDS[summary.source_format]}): answers compared as {kinds}, such as {examples}."
    ]
    if unread := _unreadable_golds(questions):
        question_id, answer, kind = unread[0]
        lines.append(
            f"Note: {len(unread)} gold answers do not parse as their answer_type, such as {shown(answer)} of "
            f"question {shown(question_id)} as {kind}; trials of such questions cannot be graded."
        )
    for family in study.families:
        for role in ROLES:
            path = current(traces_file(imports_root, study.study, family, summary.domain, summary.benchmark, role))
            n_lost = _n_without_question(path, questions) if path.exists() else 0
            if n_lost:
                lines.append(
                    f"Note: {n_lost} earlier imported traces of the {role} model of family {family} belong to "
                    "questions that no longer exist; import those traces again."
                )
    return lines


def _unreadable_golds(questions: pl.DataFrame) -> list[tuple[str, str, str]]:
    """Id, answer and answer type of questions whose gold answer does not compare equal to itself."""
    columns = ["question_id", "answer", "answer_type", "answer_context"]
    rows = questions.select(columns).head(_MOST_GOLDS).iter_rows()
    return [
        (question_id, answer, kind)
        for question_id, answer, kind, context in rows
        if compare_here(Comparison(kind, answer, answer, context)) in ("wrong", "grader_error")
    ]


def _n_without_question(path: Path, questions: pl.DataFrame) -> int:
    traces = pl.scan_parquet(path, glob=False).select("question_id")
    lost = traces.join(questions.lazy().select("question_id"), on="question_id", how="anti")
    return int(lost.select(pl.len()).collect().item())


class _TrialCounts(NamedTuple):
    """Counts of one model's traces: rows, questions, fewest and most trials per question, first trial number."""

    n_rows: int
    n_questions: int
    n_least: int
    n_most: int
    first: int
    n_short: int


def _count_trials(path: Path, n_trials: int) -> _TrialCounts:
    """Count the traces in a file; ``n_short`` questions have fewer than ``n_trials`` trials."""
    traces = pl.scan_parquet(path, glob=False)
    by_question = traces.group_by("question_id").agg(pl.len().alias("n"), first=pl.col("trial").min())
    counts = by_question.select(
        pl.col("n").sum().alias("rows"), pl.len().alias("questions"), least=pl.col("n").min(), most=pl.col("n").max(),
        first=pl.col("first").min(), short=(pl.col("n") < n_trials).sum(),
    ).collect()  # fmt: skip
    return _TrialCounts(*counts.row(0))


def _describe_traces(
    summary: ImportSummary,
    study: Study,
    imports_root: Path,
    study_file: Path,
    current: Callable[[Path], Path],
    report: ImportReport,
) -> None:
    """Describe each model's traces and a sample of its responses, then the totals per model."""
    family = summary.family or ""
    place = (imports_root, study.study, family, summary.domain, summary.benchmark)
    questions = pl.read_parquet(current(questions_file(imports_root, study.study, summary.domain, summary.benchmark)))
    where = answer_place(study.benchmark(summary.benchmark))
    kind = _KINDS[summary.source_format]
    lines = [f"Read {summary.n_rows} traces of {summary.benchmark} from {summary.file_name} ({kind})."]
    for role in summary.models:
        model = summary.labels.get(role, summary.models[role])
        path = current(traces_file(*place, role))
        counts, preview = _count_trials(path, study.trials), preview_traces(path, questions, role, where)
        each = f"{counts.n_least}" if counts.n_least == counts.n_most else f"{counts.n_least} to {counts.n_most}"
        lines.append(
            f"{role.capitalize()} {model}: {counts.n_rows} traces, {counts.n_questions} questions, trials per "
            f"question: {each}; {_describe_preview(preview)}."
        )
        named = f"{role} model {model}"
        setting = f"in {study_file}, benchmarks, {summary.benchmark}"
        doubts = _grading_doubts(preview, named, where, setting)
        report.doubts += doubts
        lines += [f"Note: {note}." for note in doubts]
        lines += [f"Note: {note}." for note in _trial_notes(counts, named, study, study_file)]
    report.lines += [*lines, _totals(summary, study, imports_root, current)]


def _describe_preview(preview: Preview) -> str:
    """Describe a sample of the responses."""
    if not preview.n_responses:
        return "no responses to check"
    missing = f" ({preview.n_missing} more are missing or too long)" if preview.n_missing else ""
    parts = [f"answers located in {preview.n_located} of {preview.n_responses} sampled responses{missing}"]
    if preview.examples:
        parts[0] += ", such as " + ", ".join(map(shown, preview.examples))
    if preview.n_decided:
        parts.append(f"right {preview.n_right} of {preview.n_decided} ({preview.n_right / preview.n_decided:.1%})")
    if preview.n_decided < preview.n_responses:
        parts.append(f"{preview.n_responses - preview.n_decided} can only be graded during the run")
    if preview.n_recorded:
        parts.append(f"recorded verdicts contradicted: {preview.n_contradicted} of {preview.n_recorded}")
    return "; ".join(parts)


def _grading_doubts(preview: Preview, model: str, place: AnswerPlace, setting: str) -> list[str]:
    """Name the setting to check if answers are missing or verdicts are contradicted."""
    n_all, n_without = preview.n_responses, preview.n_responses - preview.n_located
    if preview.n_missing and preview.n_missing >= NOTABLE_SHARE * (n_all + preview.n_missing):
        return [
            f"{preview.n_missing} of {n_all + preview.n_missing} responses of the {model} are missing or too long "
            "to check; trials without a response cannot be graded"
        ]
    if n_all and n_without >= NOTABLE_SHARE * n_all:
        advice = preview.proposal or "set answer_marker, answer_field or whole_response"
        return [
            f"{n_without} of {n_all} responses of the {model} have no answer {_as_words(place)} and count as wrong "
            f"(no_answer); {setting}: {advice}"
        ]
    if preview.n_recorded and preview.n_contradicted >= NOTABLE_SHARE * preview.n_recorded:
        return [
            f"{preview.n_contradicted} of {preview.n_recorded} recorded verdicts on the {model} are contradicted; "
            f"check the answer_type of the questions and where answers are expected ({setting})"
        ]
    return []


def _trial_notes(counts: _TrialCounts, model: str, study: Study, study_file: Path) -> list[str]:
    """Note how many questions have fewer trials than the study requires."""
    if not counts.n_short:
        return []
    first = f" (the first trial is number {counts.first}; trials count from 0)" if counts.first else ""
    is_same = counts.n_least == counts.n_most
    advice = f"; if there are no more, set trials: {counts.n_least} in {study_file}" if is_same else ""
    return [
        f"the study sets trials: {study.trials}, but {counts.n_short} of {counts.n_questions} questions of the {model} "
        f"have fewer, at least {counts.n_least}{first}; incomplete questions are not kept{advice}"
    ]


def _as_words(place: AnswerPlace) -> str:
    if place.is_whole:
        return "as a whole"
    if place.marker is not None:
        return f"after {shown(place.marker)}"
    if place.field is not None:
        return f"in a JSON field {shown(place.field)} or in \\boxed{{}}"
    return "in \\boxed{} or [ANSWER] marks"


def _totals(summary: ImportSummary, study: Study, imports_root: Path, current: Callable[[Path], Path]) -> str:
    """State how many traces each model of the family has in total."""
    family = summary.family or ""
    counts = []
    for role in ROLES:
        model = study.families[family].model_of(role)
        path = current(traces_file(imports_root, study.study, family, summary.domain, summary.benchmark, role))
        n_rows = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()) if path.exists() else 0
        absent = "none yet" if model.provider == "imported" else f"not imported (provider {model.provider})"
        counts.append(f"{role} {model.shown_as} {n_rows or absent}")
    return f"Traces of {summary.benchmark} in family {family} so far: {', '.join(counts)}."

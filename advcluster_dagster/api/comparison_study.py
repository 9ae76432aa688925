"""The study of a comparison: its file, the imports of its logs, and whether they are there already."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from advcluster_dagster.api.judges import judge_settings
from advcluster_dagster.api.sources import ComparedLogs
from advcluster_dagster.contracts.columns import ROLES, Role
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.science.grading.answers import AnswerPlace
from advcluster_dagster.sources.imports.copies import file_hash
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.evaluation_logs import import_logs
from advcluster_dagster.sources.imports.import_report import describe_import
from advcluster_dagster.sources.imports.preview import NOTABLE_SHARE, Preview, answer_place, preview_traces
from advcluster_dagster.sources.imports.provenance import ImportSummary
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.staging import questions_file, traces_file
from advcluster_dagster.storage.files import atomic_write
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import StudyError

#: Name of the family in the study.
FAMILY = "models"
_HEADER = """\
# Written by `advcluster compare`; an ordinary study file: docs/study_file.md lists every setting.
# Without a section `judges`, `advcluster run` compares traces with an embedded stand-in, which needs no key.
"""
#: Maximum number of trials of a study.
_MOST_TRIALS = 1000
_SAME_QUESTIONS = "compare logs of the same version of the questions"


class CompareError(AdvClusterError, ValueError):
    """Two logs cannot be compared; the message is one line."""


@dataclass
class ComparisonStudy:
    """The study of a comparison: its file and imports, created unless they exist."""

    home: Home
    name: str
    domain: str
    benchmark: str
    opened: tuple[ComparedLogs, ComparedLogs]
    answer_type: str | None
    place: AnswerPlace
    labels: tuple[str, str] | None = None

    @property
    def _file(self) -> Path:
        return self.home.studies / f"{self.name}.yaml"

    @property
    def _record(self) -> Path:
        return self.home.imports / self.name / "compared.json"

    def prepare(self, questions: Path | None, judge: str | None, accept: bool) -> list[str]:
        """Write the study and import the logs unless that is done already; returns notes on the import."""
        origin: dict[str, Any] = {
            "larger": self.opened[0].sha256,
            "smaller": self.opened[1].sha256,
            "questions": file_hash(questions) if questions else None,
            "domain": self.domain,
            "benchmark": self.benchmark,
            "answer_type": self.answer_type,
            "place": asdict(self.place),
            **({"labels": list(self.labels)} if self.labels else {}),
        }
        if self._file.exists():
            self._check_same(origin)
            if judge:
                self._set_judge(judge)
            return []
        notes = self._create(questions, judge, accept)
        with atomic_write(self._record) as staged:
            staged.write_text(json.dumps(origin), encoding="utf-8")
        return notes

    def _check_same(self, origin: Mapping[str, Any]) -> None:
        known = json.loads(self._record.read_text(encoding="utf-8")) if self._record.exists() else {}
        if known != origin:
            changed = [key for key in origin if known.get(key) != origin[key]] if known else []
            difference = f"other {', '.join(changed)}" if changed else "another origin"
            raise StudyError(
                f"study {self.name} exists with {difference}; choose another --name, or remove {self._file}"
            )

    def _create(self, questions: Path | None, judge: str | None, accept: bool) -> list[str]:
        try:
            self._write(_MOST_TRIALS, self.place, judge)  # the number of trials is known after the import
            inferred = None if questions or self.answer_type else self.opened[0].answer_type(self.benchmark)
            summaries, notes = self._import(questions, self.answer_type or inferred)
            if inferred:
                notes.append(f"the logs do not specify how answers are compared; the gold answers look {inferred}")
            previews = self._previews()
            n_trials = self._n_trials()
            fitting = _fitting(previews) if self.place == AnswerPlace() else None
            self.place = fitting or self.place
            self._write(max(min(n_trials), 1), self.place, judge)
            previews = self._previews() if fitting else previews
            study = self.home.load_study(self.name)
            lines = describe_import(summaries, study, self.home.imports, self._file).lines
            self._check(previews, accept)
        except BaseException:
            self._remove()
            raise
        if n_trials[0] != n_trials[1]:
            notes.append(f"The models have {n_trials[0]} and {n_trials[1]} trials per question; {min(n_trials)} count")
        # The lines on each model already describe what was read.
        shown = [line for line in lines if not line.startswith(("Read ", "Traces of"))]
        return list(dict.fromkeys([*shown, *(f"{note[0].upper()}{note[1:]}." for note in notes)]))

    def _import(self, questions: Path | None, answer_type: str | None) -> tuple[list[ImportSummary], list[str]]:
        study = self.home.load_study(self.name)
        summaries, notes = [], []
        if questions is not None:
            summaries.append(import_questions(questions, study, self.domain, self.benchmark, self.home.imports))
        for role, source in zip(ROLES, self.opened, strict=True):
            place = (FAMILY, self.domain, self.benchmark, self.home.imports)
            try:
                outcome = import_logs(
                    source.path, source.logs, study, *place, answer_type, role=role, advice=_SAME_QUESTIONS
                )
            except ImportFileError:
                self._check_overlap()  # explains any other error
                raise
            summaries += outcome.summaries
            notes += [*outcome.facts, *outcome.remarks]
        return summaries, notes

    def _check_overlap(self) -> None:
        ids = [source.question_ids(self.benchmark) for source in self.opened]
        if not ids[0] & ids[1]:
            raise CompareError(
                f"{self.opened[0].path} and {self.opened[1].path} share no question; allowed: logs of the"
                " same questions"
            )

    def _traces(self, role: Role) -> Path:
        return traces_file(self.home.imports, self.name, FAMILY, self.domain, self.benchmark, role)

    def _n_trials(self) -> list[int]:
        """Maximum number of trials per question, by model."""
        counts = [pl.scan_parquet(self._traces(role), glob=False).group_by("question_id").len() for role in ROLES]
        return [int(lengths.select(pl.col("len").max()).collect().item()) for lengths in counts]

    def _previews(self) -> list[Preview]:
        """Preview a sample of each model's responses."""
        study = self.home.load_study(self.name)
        questions = pl.read_parquet(questions_file(self.home.imports, self.name, self.domain, self.benchmark))
        where = answer_place(study.benchmark(self.benchmark))
        return [preview_traces(self._traces(role), questions, role, where) for role in ROLES]

    def _are_alike(self) -> bool:
        """Whether both models gave the same response in every shared trial."""
        larger, smaller = (
            pl.scan_parquet(self._traces(role), glob=False).select("question_id", "trial", "response") for role in ROLES
        )
        both = larger.join(smaller, on=["question_id", "trial"], suffix="_of_smaller")
        is_other = pl.col("response").ne_missing(pl.col("response_of_smaller"))
        n_both, n_other = both.select(pl.len(), is_other.sum()).collect().row(0)
        return bool(n_both > 0 and n_other == 0)

    def _check(self, previews: Sequence[Preview], accept: bool) -> None:
        if not accept and self._are_alike():
            raise CompareError(
                f"all responses of {self.opened[0].path} and {self.opened[1].path} are equal; allowed: logs of two"
                " models, or --yes if the models do answer identically"
            )
        for source, preview in zip(self.opened, previews, strict=True):
            n_all = preview.n_responses
            if not accept and (not n_all or preview.n_located < (1 - NOTABLE_SHARE) * n_all):
                advice = preview.proposal or "set --answer-field, --answer-marker or --whole-response"
                raise CompareError(
                    f"{source.path}: only {preview.n_located} of {n_all} sampled responses hold an answer in the"
                    f" expected place; {advice}, or continue with --yes"
                )

    def _write(self, trials: int, place: AnswerPlace, judge: str | None) -> None:
        models: list[dict[str, Any]] = [
            {"model": source.model, "provider": "imported", "aliases": sorted(_aliases(source) - _aliases(other))}
            for source, other in (self.opened, self.opened[::-1])
        ]
        for model, label in zip(models, self.labels or (), strict=self.labels is not None):
            model["label"] = label
        settings: dict[str, Any] = {
            "study": self.name,
            "trials": trials,
            "families": {FAMILY: dict(zip(ROLES, models, strict=True))},
            "domains": {self.domain: [self.benchmark]},
            "benchmarks": {self.benchmark: _place_settings(place)},
            **judge_settings(judge or "embedded"),
            # A comparison runs on request, not through the UI's daemon.
            "automation": {"follow_changes": False},
        }
        self._save(settings)

    def _set_judge(self, judge: str) -> None:
        """Set the judge in a study written by `compare`; other settings are kept."""
        settings = yaml.safe_load(self._file.read_text(encoding="utf-8"))
        updated = {key: value for key, value in settings.items() if key not in ("judges", "providers")}
        updated |= judge_settings(judge)
        if updated != settings:
            self._save(updated)

    def _save(self, settings: Mapping[str, Any]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._file) as staged:
            staged.write_text(_HEADER + yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        self.home.load_study(self.name)

    def _remove(self) -> None:
        """Remove everything of a comparison that failed."""
        import shutil

        self._file.unlink(missing_ok=True)
        shutil.rmtree(self.home.imports / self.name, ignore_errors=True)


def _aliases(source: ComparedLogs) -> set[str]:
    """Alternative names of the model in the logs."""
    return {*source.chosen[0].header.model_names} - {source.model}


def _place_settings(place: AnswerPlace) -> dict[str, Any]:
    named = {"answer_marker": place.marker, "answer_field": place.field, "whole_response": place.is_whole or None}
    return {key: value for key, value in named.items() if value is not None}


def _fitting(previews: Sequence[Preview]) -> AnswerPlace | None:
    """A place that fits a model's responses if the default one does not."""
    return next((preview.fitting for preview in previews if preview.fitting is not None), None)

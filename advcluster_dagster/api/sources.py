"""The files of one model that are compared: which format, which model, how many trials, which task."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from advcluster_dagster.sources.imports.copies import file_hash, joint_hash
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.field_map import FieldMap, parse_map
from advcluster_dagster.sources.imports.log_folder import FoundLogs, choose_logs, find_logs
from advcluster_dagster.sources.imports.logged_trials import EvaluationLog, LoggedTrial
from advcluster_dagster.sources.imports.mapped_questions import kind_of_golds
from advcluster_dagster.sources.imports.mapped_records import MappedRecords, mapped_logs
from advcluster_dagster.sources.imports.source_files import access_fault
from advcluster_dagster.study.base import MAX_NAME

#: Trials whose gold answers say how answers are compared.
_MOST_GOLDS = 500


@dataclass(frozen=True)
class ComparedLogs:
    """Logs of one model.

    Attributes:
        path: file or folder as it was named.
        logs: what lies there.
        chosen: those of one task without copies, opened.
        model: name of the model.
        task: name of the task in a study's alphabet; empty where the files do not say it.
        sha256: of all files.
    """

    path: Path
    logs: FoundLogs
    chosen: Sequence[EvaluationLog]
    model: str
    task: str
    sha256: str

    def answer_type(self, benchmark: str) -> str | None:
        """What the first gold answers look like, where the logs do not say how answers are compared; else None."""
        golds = []
        for logged in islice(self._trials(benchmark), _MOST_GOLDS):
            if logged.question.get("answer_type") is not None or "answer" not in logged.question:
                return None
            golds.append(logged.question["answer"])
        return kind_of_golds(golds)

    def question_ids(self, benchmark: str) -> set[str]:
        """Ids of all questions."""
        return {logged.ids[-1] for logged in self._trials(benchmark)}

    def _trials(self, benchmark: str) -> Iterator[LoggedTrial]:
        return chain.from_iterable(log.trials(benchmark) for log in self.chosen)


def open_sources(
    larger: Path,
    smaller: Path,
    fields: Sequence[str] = (),
    answer_type: str | None = None,
    benchmark: str = "",
    may_share_model: bool = False,
) -> tuple[ComparedLogs, ComparedLogs]:
    """The logs of the larger and of the smaller model.

    Args:
        larger: file or folder: logs of Inspect or lm-evaluation-harness, or records (JSON Lines, JSON array, Parquet,
            CSV).
        smaller: as ``larger``.
        fields: ``column=field`` entries for records of another form.
        answer_type: how answers are compared, for records that do not say it.
        benchmark: of logs of several tasks, those of the task of this name are taken.
        may_share_model: both may be of one model, asked in two ways.

    Raises:
        ImportFileError: a path cannot be read, holds several models, or both are of one model.
    """
    given = parse_map(fields)
    one, two = (_opened(path, given, answer_type, benchmark) for path in (larger, smaller))
    if one.sha256 == two.sha256:
        raise ImportFileError(f"{larger} and {smaller} hold the same bytes; allowed: logs of two models")
    if one.model == two.model and not may_share_model:
        named = [_with_folder(logs) for logs in (one, two)]
        if one.logs.source_format != "mapped_records" or named[0] == named[1] or _says_model(one):
            raise ImportFileError(
                f"{larger} and {smaller} are both of model {shown(one.model)}; allowed: logs of two models, or of one"
                " model in two ways with --labels"
            )
        one, two = (
            _opened(logs.path, FieldMap(given.paths, {**given.constants, "model": name}), answer_type, benchmark)
            for logs, name in zip((one, two), named, strict=True)
        )
    return one, two


def _opened(path: Path, given: FieldMap, answer_type: str | None, benchmark: str) -> ComparedLogs:
    if not path.is_dir() and (fault := access_fault(path)):
        raise ImportFileError(f"{path}: {fault}")
    is_mapped = bool(given.paths) or set(given.constants) - {"model"}
    logs = (None if is_mapped else find_logs(path)) or mapped_logs(path, given, answer_type)
    chosen = choose_logs(logs, path, benchmark, [])
    models = sorted({log.header.model_names[0] for log in chosen})
    if len(models) > 1:
        raise ImportFileError(f"{path}: holds logs of the models {', '.join(models)}; allowed: those of one model")
    task = as_name(chosen[0].header.task.rpartition("/")[2])
    return ComparedLogs(path, logs, chosen, models[0], task, joint_hash([file_hash(each) for each in logs.paths]))


def _says_model(source: ComparedLogs) -> bool:
    """Whether the records themselves name their model."""
    (first, *_) = source.chosen
    return isinstance(first, MappedRecords) and "model" in first.map.paths


def _with_folder(source: ComparedLogs) -> str:
    folder = source.path.resolve() if source.path.is_dir() else source.path.resolve().parent
    return f"{folder.name}/{source.model}"


def as_name(text: str) -> str:
    """A text in the alphabet of a study's names; empty where nothing is left of it.

    >>> as_name("Meta-Llama 3.1 (70B)")
    'meta-llama-3.1-70b'
    """
    return re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-_.")[:MAX_NAME].rstrip("-_.")

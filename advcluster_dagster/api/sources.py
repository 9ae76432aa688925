"""Open the logs of two models for a comparison: format, model, task and files."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from advcluster_dagster.sources.imports.copies import file_hash, joint_hash
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.field_map import FieldMap, parse_map
from advcluster_dagster.sources.imports.log_folder import LogFiles, choose_logs, find_logs
from advcluster_dagster.sources.imports.logged_trials import EvaluationLog, LoggedTrial
from advcluster_dagster.sources.imports.mapped_questions import infer_answer_type
from advcluster_dagster.sources.imports.mapped_records import MappedRecords, mapped_logs
from advcluster_dagster.sources.imports.source_files import access_fault
from advcluster_dagster.study.base import MAX_NAME

#: Maximum number of trials whose gold answers are used to infer the answer type.
_MOST_GOLDS = 500


@dataclass(frozen=True)
class ComparedLogs:
    """Logs of one model.

    Attributes:
        path: File or folder as given by the user.
        logs: All logs found there.
        chosen: The opened logs of one task, without copies.
        model: Name of the model.
        task: Name of the task in a study's alphabet; empty if the files do not name it.
        sha256: Joint hash of all files.
    """

    path: Path
    logs: LogFiles
    chosen: Sequence[EvaluationLog]
    model: str
    task: str
    sha256: str

    def answer_type(self, benchmark: str) -> str | None:
        """Infer the answer type from the first gold answers; None if the logs specify it or contain no answers."""
        golds = []
        for logged in islice(self._trials(benchmark), _MOST_GOLDS):
            if logged.question.get("answer_type") is not None or "answer" not in logged.question:
                return None
            golds.append(logged.question["answer"])
        return infer_answer_type(golds)

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
    """Open the logs of the larger and the smaller model.

    Args:
        larger: File or folder: logs of Inspect or lm-evaluation-harness, or records (JSON Lines, JSON array, Parquet,
            CSV).
        smaller: Like ``larger``.
        fields: ``column=field`` entries for records with other field names.
        answer_type: How answers are compared, for records that do not specify it.
        benchmark: Selects the task of this name from logs of several tasks.
        may_share_model: Whether both may be of one model, asked in two ways.

    Raises:
        ImportFileError: a path cannot be read, contains several models, or both contain the same model.
    """
    field_map = parse_map(fields)
    first, second = (_opened(path, field_map, answer_type, benchmark) for path in (larger, smaller))
    if first.sha256 == second.sha256:
        raise ImportFileError(f"{larger} and {smaller} have the same content; allowed: logs of two models")
    if first.model == second.model and not may_share_model:
        names = [_with_folder(logs) for logs in (first, second)]
        if first.logs.source_format != "mapped_records" or names[0] == names[1] or _has_model_field(first):
            raise ImportFileError(
                f"{larger} and {smaller} are both of model {shown(first.model)}; allowed: logs of two models,"
                " or of one model in two ways with --labels"
            )
        first, second = (
            _opened(
                logs.path, FieldMap(field_map.paths, {**field_map.constants, "model": name}), answer_type, benchmark
            )
            for logs, name in zip((first, second), names, strict=True)
        )
    return first, second


def _opened(path: Path, given: FieldMap, answer_type: str | None, benchmark: str) -> ComparedLogs:
    if not path.is_dir() and (fault := access_fault(path)):
        raise ImportFileError(f"{path}: {fault}")
    is_mapped = bool(given.paths) or set(given.constants) - {"model"}
    logs = (None if is_mapped else find_logs(path)) or mapped_logs(path, given, answer_type)
    chosen = choose_logs(logs, path, benchmark, [])
    models = sorted({log.header.model_names[0] for log in chosen})
    if len(models) > 1:
        raise ImportFileError(f"{path}: contains logs of the models {', '.join(models)}; allowed: logs of one model")
    task = as_name(chosen[0].header.task.rpartition("/")[2])
    return ComparedLogs(path, logs, chosen, models[0], task, joint_hash([file_hash(each) for each in logs.paths]))


def _has_model_field(source: ComparedLogs) -> bool:
    """Whether the records have a field for the model."""
    (first, *_) = source.chosen
    return isinstance(first, MappedRecords) and "model" in first.map.paths


def _with_folder(source: ComparedLogs) -> str:
    folder = source.path.resolve() if source.path.is_dir() else source.path.resolve().parent
    return f"{folder.name}/{source.model}"


def as_name(text: str) -> str:
    """Convert a text to the alphabet of a study's names; may be empty.

    >>> as_name("Meta-Llama 3.1 (70B)")
    'meta-llama-3.1-70b'
    """
    return re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-_.")[:MAX_NAME].rstrip("-_.")

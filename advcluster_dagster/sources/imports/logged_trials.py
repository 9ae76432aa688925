"""Tool-independent records of an evaluation log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from advcluster_dagster.sources.imports.json_lines import Progress


@dataclass(frozen=True)
class LogHeader:
    """Metadata of a log.

    ``model_names`` are possible names of its model, the log's own first. ``run`` is equal for attempts at the same run,
    of which one is imported: the last successful one, else the last. ``order`` sorts logs by time. ``status`` is how
    the run ended, None for success. ``role`` and ``label`` are those of the model in the study, if the log has them.
    """

    path: Path
    task: str
    model_names: tuple[str, ...]
    run: str
    order: str
    status: str | None = None
    role: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class LoggedTrial:
    """One trial of a log.

    ``ids`` are possible ids of the question; the last one is unique in the study as far as the reader can ensure.
    ``question`` and ``trace`` hold columns of `benchmark_questions` and `larger_traces`; answer_type is None if the log
    does not specify it. ``trial`` counts from 0 within the log. ``texts`` are further texts of the log that may be the
    question's wording.
    """

    where: str
    ids: tuple[str, ...]
    question: Mapping[str, Any]
    trial: int
    trace: Mapping[str, Any]
    texts: tuple[str, ...] = ()


class EvaluationLog(Protocol):
    """A log of one run of one model on one task."""

    @property
    def header(self) -> LogHeader:
        """Metadata of the log."""

    @property
    def facts(self) -> list[str]:
        """Which responses and verdicts were used; available once the trials are read."""

    @property
    def warnings(self) -> list[str]:
        """What was ignored, and why; available once the trials are read."""

    def trials(self, benchmark: str, on_progress: Progress | None = None) -> Iterator[LoggedTrial]:
        """Yield the trials, a bounded number in memory at a time; numeric ids get the benchmark as prefix.

        Raises:
            ImportFileError: the log cannot be read, or contains something other than model traces.
        """

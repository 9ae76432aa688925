"""Records of an evaluation log, whatever the tool."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from advcluster_dagster.sources.imports.json_lines import Progress


@dataclass(frozen=True)
class LogHeader:
    """What a log says about itself.

    ``model_names`` are the names that its model may go by, the log's own first. ``run`` is the same for attempts at one
    and the same run, of which one counts: the last that ended well, else the last. ``order`` sorts logs by time.
    ``status`` is how the run ended, None for success. ``role`` and ``label`` are those of the model in the study, where
    the log says them.
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
    """One trial.

    ``ids`` are the names that the question may go by; the last one is unique in the study as far as a reader can make
    it so. ``question`` and ``trace`` hold columns of `benchmark_questions` and `larger_traces`; the answer's type is
    None where the log does not say it. ``trial`` counts from 0 within the log. ``texts`` are further texts of the
    log that may be the question's wording.
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
        """What it says about itself."""

    @property
    def facts(self) -> list[str]:
        """Which of its responses and verdicts were taken; known once the trials are read."""

    @property
    def warnings(self) -> list[str]:
        """What of it was not taken, and why; known once the trials are read."""

    def trials(self, benchmark: str, on_progress: Progress | None = None) -> Iterator[LoggedTrial]:
        """Its trials, in memory a bounded number at a time; ids that a tool only counted begin with the benchmark.

        Raises:
            ImportFileError: the log cannot be read, or holds what is no trace of a model.
        """

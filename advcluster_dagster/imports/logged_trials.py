"""What the log of an evaluation tool is read into, whatever the tool.

Here: what a log says about itself, and one trial of it. Not here: any tool's format (inspect_logs.py,
lm_eval_samples.py), what becomes of the trials (evaluation_logs.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from advcluster_dagster.imports.json_lines import Progress


@dataclass(frozen=True)
class LogHeader:
    """What a log says about itself.

    ``model_names`` are the names that its model may go by, the log's own first. ``run`` is the same for attempts at one
    and the same run, of which only the last counts; ``order`` sorts logs by time. ``warning`` says what a person should
    know about the log.
    """

    path: Path
    task: str
    model_names: tuple[str, ...]
    run: str
    order: str
    warning: str | None = None


@dataclass(frozen=True)
class LoggedTrial:
    """One trial.

    ``ids`` are the names that the question may go by; the last one is unique in the study as far as a reader can make
    it so. ``question`` and ``trace`` hold columns of `benchmark_questions` and `larger_traces`; the answer's type is
    None where the log does not say it. ``trial`` counts from 0 within the log.
    """

    where: str
    ids: tuple[str, ...]
    question: Mapping[str, Any]
    trial: int
    trace: Mapping[str, Any]


class EvaluationLog(Protocol):
    """A log of one run of one model on one task."""

    @property
    def header(self) -> LogHeader:
        """What it says about itself."""

    def trials(self, benchmark: str, on_progress: Progress | None = None) -> Iterator[LoggedTrial]:
        """Its trials, in memory a bounded number at a time; ids that a tool only counted begin with the benchmark.

        Raises:
            ImportFileError: the log cannot be read, or holds what is no trace of a model.
        """

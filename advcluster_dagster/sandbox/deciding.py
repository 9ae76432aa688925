"""Decide comparisons of answers, using worker processes where needed."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from advcluster_dagster.contracts.vocabularies import ComparisonVerdict
from advcluster_dagster.sandbox.pool import WorkerPool
from advcluster_dagster.science.grading.comparison import Comparison, compare_here, verdict_of
from advcluster_dagster.science.grading.programs import ProgramRun, is_stated_output, read_run

_VERDICTS: dict[str, ComparisonVerdict] = {
    "correct": "correct",
    "wrong": "wrong",
    "grader_error": "grader_error",
    "timeout": "grader_timeout",
}
# Verdicts of program runs that ended at one of our limits and so say nothing about the input.
_UNDECIDED: dict[str, ComparisonVerdict] = {
    "timeout": "grader_timeout",
    "memory": "grader_error",
    "output": "grader_error",
    "lost": "grader_error",
}


class Deciders:
    """Worker pools for grading, each started on demand; a context manager.

    Args:
        n_servers: Servers per pool; by default one per processor.
        with_bubblewrap: False to not use bubblewrap even if it is installed.
        math_cpu_s: CPU seconds per symbolic comparison; None for the job's default.
        program_cpu_s: CPU seconds per program run; None for the job's default.
    """

    def __init__(
        self,
        n_servers: int | None = None,
        with_bubblewrap: bool = True,
        math_cpu_s: float | None = None,
        program_cpu_s: float | None = None,
    ) -> None:
        self._options: dict[str, Any] = {"n_servers": n_servers, "with_bubblewrap": with_bubblewrap}
        self._cpu_s = {"mathematics": math_cpu_s, "programs": program_cpu_s}
        self._open = ExitStack()
        self._pools: dict[str, WorkerPool] = {}
        #: Metadata to show with the result: the sandbox level, if a sandbox was used.
        self.facts: dict[str, str] = {}

    def __enter__(self) -> "Deciders":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def decide_many(self, comparisons: Sequence[Comparison]) -> list[ComparisonVerdict]:
        """Return a verdict per comparison, in order.

        Raises:
            SandboxError: a worker process is needed and cannot be started.
        """
        verdicts = [compare_here(comparison) for comparison in comparisons]
        programs = [i for i, verdict in enumerate(verdicts) if not verdict and _runs_a_program(comparisons[i])]
        rest = [i for i, verdict in enumerate(verdicts) if not verdict and not _runs_a_program(comparisons[i])]
        # Sorted by gold answer, so that each is parsed once.
        rest.sort(key=lambda i: comparisons[i].gold)
        for positions, decide in ((programs, self._run_programs), (rest, self._compare_mathematics)):
            decided = decide([comparisons[i] for i in positions])
            for position, verdict in zip(positions, decided, strict=True):
                verdicts[position] = verdict
        return [verdict or "grader_error" for verdict in verdicts]

    def _compare_mathematics(self, comparisons: Sequence[Comparison]) -> list[ComparisonVerdict]:
        tasks = []
        for comparison in comparisons:
            task = {"gold": comparison.gold, "prediction": comparison.prediction}
            tasks.append(task if comparison.answer_type == "math" else {**task, "context": comparison.context})
        replies = self._run("mathematics", tasks)
        return [_VERDICTS.get(str(reply.get("status")), "grader_error") for reply in replies]

    def _run_programs(self, comparisons: Sequence[Comparison]) -> list[ComparisonVerdict]:
        """Verdicts on predicted inputs; equal runs are executed once."""
        runs: dict[Comparison, ProgramRun] = {}
        verdicts: dict[Comparison, ComparisonVerdict] = {}
        for comparison in comparisons:
            reading = verdict_of(partial(_note_run, comparison, runs))
            if reading is not None:
                verdicts[comparison] = reading
        distinct = list(dict.fromkeys(runs.values()))
        replies = self._run("programs", [{"code": run.code, "call": run.call} for run in distinct])
        reply_to = dict(zip(distinct, replies, strict=True))
        for comparison, run in runs.items():
            verdicts[comparison] = _judge(comparison, reply_to[run])
        return [verdicts[comparison] for comparison in comparisons]

    def _run(self, job: str, tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        if not tasks:
            return []
        pool = self._pool(job)
        replies = pool.run(tasks)
        self.facts["sandbox"] = pool.level
        return replies

    def _pool(self, job: str) -> WorkerPool:
        if job not in self._pools:
            self._pools[job] = self._open.enter_context(WorkerPool(job, cpu_s=self._cpu_s[job], **self._options))
        return self._pools[job]


def _runs_a_program(comparison: Comparison) -> bool:
    return comparison.answer_type == "python_input"


def _note_run(comparison: Comparison, runs: dict[Comparison, ProgramRun]) -> bool | None:
    """Add the run that decides a comparison to ``runs``; return False if its prediction is not an input."""
    run = read_run(comparison)
    if run is None:
        return False
    runs[comparison] = run
    return None


def _judge(comparison: Comparison, reply: dict[str, Any]) -> ComparisonVerdict:
    status, value = reply.get("status"), reply.get("value")
    if status == "value" and isinstance(value, str):
        return verdict_of(lambda: is_stated_output(comparison, value)) or "wrong"
    return _UNDECIDED.get(str(status), "wrong")

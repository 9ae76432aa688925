"""Jobs of the workers: run a function on a predicted input, compare mathematics.

Everything here runs inside a worker and treats its input as untrusted.
"""

import codecs
import contextlib
import copy
import encodings.aliases
import importlib
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from advcluster_dagster.sandbox.calls import build_runner
from advcluster_dagster.sandbox.confinement import Limits, build_refusal

#: Performs one task; returns the reply's status and its value, "" if it has none.
Work = Callable[[dict[str, Any]], tuple[str, str]]


class Job(Protocol):
    """A kind of work. A worker performs at most ``n_tasks`` tasks and ends.

    ``may_read_files``: workers may open files for reading, for imports during a task.
    """

    limits: Limits
    n_tasks: int
    may_read_files: bool

    def prepare(self) -> Work:
        """Import and warm up once, before workers are forked; return the function that performs tasks."""


J = TypeVar("J", bound=Job)


def timed(job: J, cpu_s: float | None) -> J:
    """The job with a limit of ``cpu_s`` CPU seconds per task and at least ten times that wall time; None: unchanged."""
    if cpu_s is None:
        return job
    limited = copy.copy(job)
    limited.limits = replace(job.limits, cpu_s=cpu_s, wall_s=max(job.limits.wall_s, 10 * cpu_s))
    return limited


class ProgramJob:
    """Runs calls of a program's function, each in a fresh worker.

    A task is ``{"code", "call"}``; a reply's status is ``value``, with the returned value as a literal, ``raised`` or
    ``memory``. Calls cannot affect each other.
    """

    limits = Limits(cpu_s=1.0, wall_s=10.0, memory_bytes=512 << 20)
    n_tasks = 1
    may_read_files = False
    # Modules that benchmark programs may import; imported beforehand, since workers cannot open files.
    _MODULES = (
        "bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools", "json",
        "math", "operator", "random", "re", "statistics", "string", "textwrap", "typing", "unicodedata",
    )  # fmt: skip

    def prepare(self) -> Work:
        """Import the modules that programs may use and all text encodings."""
        for name in self._MODULES:
            importlib.import_module(name)
        for name in set(encodings.aliases.aliases.values()):
            with contextlib.suppress(LookupError):
                codecs.lookup(name)
        warnings.simplefilter("ignore")
        sys.set_int_max_str_digits(0)
        run, refuse_from_now_on = build_runner(), build_refusal()

        def work(task: dict[str, Any]) -> tuple[str, str]:
            refuse_from_now_on()
            return run(task["code"], task["call"])

        return work


class MathJob:
    """Compares mathematics; a worker performs many tasks, up to its memory limit.

    A task is ``{"gold", "prediction"}``, with ``context`` if the two are numbers to evaluate; the reply's status is the
    verdict.
    """

    limits = Limits(cpu_s=1.0, wall_s=10.0, memory_bytes=2 << 30)
    n_tasks = 5_000
    may_read_files = True
    _WARM_UP = (
        ("x^2+2x+1", "(x+1)^2"), (r"\frac{1}{2}", "0.5"), ("[0,1)", "(0,1)"), (r"\{1,2\}", "2, 1"), ("x=5", "y=5"),
        (r"\sqrt{8}", r"2\sqrt{2}"), (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\3\end{pmatrix}"),
        (r"\sin(x)^2", r"1-\cos(x)^2"), (r"x \le 2", r"(-\infty, 2]"), (r"\log_2 8", r"e^{\pi}"), (r"5\text{ cm}", "6"),
        (r"\binom{5}{2}", r"5\pm\sqrt{2}"), (r"3\cdot 10^{-6}", r"\frac{\pi}{6}"), ("f(x)=x", r"\text{yes}"),
        (r"\sum_{k=1}^{3} k", "6"), (r"\int_0^1 x dx", r"\frac{1}{2}"), (r"\lim_{x \to 0} x", "0"),
    )  # fmt: skip

    def prepare(self) -> Work:
        """Import SymPy and warm up its LaTeX parser."""
        import logging

        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
        sys.setrecursionlimit(3_000)
        for gold, prediction in self._WARM_UP:
            self._compare({"gold": gold, "prediction": prediction})
        return lambda task: (self._compare(task) or "grader_error", "")

    @staticmethod
    def _compare(task: dict[str, Any]) -> str | None:
        from advcluster_dagster.science.grading.comparison import verdict_of
        from advcluster_dagster.science.grading.context import read_context
        from advcluster_dagster.science.grading.mathematics import compare_math, compare_number

        gold, prediction = task["gold"], task["prediction"]
        try:
            if "context" in task:
                return verdict_of(lambda: compare_number(gold, prediction, read_context(task["context"])))
            return verdict_of(lambda: compare_math(gold, prediction))
        except Exception:  # SymPy raises many error types on malformed text
            return "grader_error"


#: Jobs by the name that a server is started with.
JOBS: dict[str, Job] = {"programs": ProgramJob(), "mathematics": MathJob()}

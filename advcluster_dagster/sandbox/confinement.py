"""Confine a worker process before it reads a task: closed files, resource limits, call filter, audit hook."""

import contextlib
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Limits of one task: CPU and wall time in seconds, memory and answer size in bytes.

    A worker whose peak resident memory exceeds ``resident_kib`` gets no further task.
    """

    cpu_s: float = 1.0
    wall_s: float = 10.0
    memory_bytes: int = 1 << 30
    answer_bytes: int = 1 << 20
    resident_kib: int = 600 << 10


def close_files(*open_files: int) -> None:
    """Close all files except those given; redirect standard input, output and error to the null device."""
    null_device = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null_device, standard)
    lowest = 3
    for number in sorted(open_files):
        os.closerange(lowest, number)
        lowest = number + 1
    os.closerange(lowest, 4096)


def limit_resources(limits: Limits) -> None:
    """Limit memory, open files and core dumps of this process and of processes it forks."""
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", 64)
    _limit("RLIMIT_AS", limits.memory_bytes)


def _limit(name: str, bound: int) -> None:
    if (kind := getattr(resource, name, None)) is not None:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (bound, bound))


def build_refusal() -> Callable[[], None]:
    """Build a function that installs a permanent audit hook, which refuses all audit events beyond plain computation.

    The allow list is in a closure rather than a module, where a program could change it. All access to stack frames is
    refused, because they would expose the worker's variables to a program.
    """
    harmless = frozenset({"compile", "exec", "import", "builtins.id", "array.__new__"})
    # Attributes that named tuples, dataclasses and decorators use; excludes setting a function's code, and frames.
    attributes = {
        "object.__getattr__": ("__code__", "__defaults__", "__kwdefaults__"),
        "object.__setattr__": (
            "__defaults__", "__kwdefaults__", "__doc__", "__name__", "__qualname__", "__module__", "__bases__",
            "__abstractmethods__", "__type_params__", "__class__",
        ),
    }  # fmt: skip
    error = PermissionError

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in harmless and not (event in attributes and arguments[1] in attributes[event]):
            raise error(event + " is refused")

    def refuse_from_now_on() -> None:
        # collections.namedtuple and others look up their caller with these and work without them.
        for name in ("_getframe", "_getframemodulename"):
            vars(sys).pop(name, None)
        sys.addaudithook(refuse)

    return refuse_from_now_on


def confine(open_files: tuple[int, ...], put_filter_on: Callable[[], None] | None) -> None:
    """Close files, and forbid writing files and starting processes (the latter unless the user is root).

    The filter is installed last, because it would refuse the other steps.
    """
    close_files(*open_files)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_NPROC", 0)
    if put_filter_on is not None:
        put_filter_on()

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
    """Bounds of one task: seconds of processor and of wall time, bytes of memory and of an answer.

    A worker that has ever held more than ``resident_kib`` does no further task.
    """

    cpu_s: float = 1.0
    wall_s: float = 10.0
    memory_bytes: int = 1 << 30
    answer_bytes: int = 1 << 20
    resident_kib: int = 600 << 10


def close_files(*kept: int) -> None:
    """Leave open only the files given; standard input, output and error lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    lowest = 3
    for number in sorted(kept):
        os.closerange(lowest, number)
        lowest = number + 1
    os.closerange(lowest, 4096)


def limit_resources(limits: Limits) -> None:
    """Bound memory, open files and core dumps of this process and of those it will fork."""
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", 64)
    _limit("RLIMIT_AS", limits.memory_bytes)


def _limit(name: str, bound: int) -> None:
    if (kind := getattr(resource, name, None)) is not None:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (bound, bound))


def build_refusal() -> Callable[[], None]:
    """What a process calls to refuse, for the rest of its life, what the interpreter reports beyond plain computing.

    The list of what is let through is in no module, where a program could change it. Stack frames are refused on every
    way to them: they would lead from a program to the variables of its worker.
    """
    harmless = frozenset({"compile", "exec", "import", "builtins.id", "array.__new__"})
    # Attributes that named tuples, dataclasses and decorators read and set; not the code of a function, nor a frame.
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
        # collections.namedtuple and others ask for their caller by these, and do without where they are missing.
        for name in ("_getframe", "_getframemodulename"):
            vars(sys).pop(name, None)
        sys.addaudithook(refuse)

    return refuse_from_now_on


def confine(kept: tuple[int, ...], put_filter_on: Callable[[], None] | None) -> None:
    """Close files, write none, start no process (where the user is not root).

    The filter comes last, as it would refuse the rest.
    """
    close_files(*kept)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_NPROC", 0)
    if put_filter_on is not None:
        put_filter_on()

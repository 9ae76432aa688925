"""A server of workers: it reads tasks, forks workers for them, watches them, and hands on their replies.

Here: the process inside the sandbox that imports once and forks per worker, so that no task pays for an interpreter.
Not here: starting it (launch.py), the other end of its pipes (pool.py). Tasks and replies are lines of JSON; the first
line it writes says what confines its workers.
"""

import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from advcluster_dagster.sandbox.confinement import confine, start_timer
from advcluster_dagster.sandbox.jobs import JOBS, Job, timed
from advcluster_dagster.sandbox.system_calls import build_filter

_CHUNK = 1 << 16


def serve(job: Job, tasks: BinaryIO, replies: BinaryIO) -> None:
    """Answer each task with one reply until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    put_filter_on = build_filter(job.may_read_files)
    job.prepare()
    gc.freeze()  # so that a worker's collector leaves shared pages shared
    _say(replies, {"is_filtered": put_filter_on is not None})
    worker = None
    for line in tasks:
        group = job.group_of(json.loads(line))
        if worker is not None and worker.group != group:
            worker.end()
            worker = None
        worker = worker or _Worker(job, put_filter_on, group)
        reply = worker.ask(line)
        if worker.is_spent:
            worker.end()
            worker = None
        _say(replies, reply)
    if worker is not None:
        worker.end()


def _say(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


class _Worker:
    """A forked process that does the tasks of a group one after the other."""

    def __init__(self, job: Job, put_filter_on: Callable[[], None] | None, group: str) -> None:
        self.group = group
        self._limits = job.limits
        self._n_left = job.n_tasks
        tasks_out, self._tasks = os.pipe()
        self._replies, replies_in = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            _live(job, put_filter_on, tasks_out, replies_in)
        os.close(tasks_out)
        os.close(replies_in)
        self.is_spent = False

    def ask(self, line: bytes) -> dict[str, Any]:
        """Hand over a task and wait for its reply, or for its end, at most the limit long."""
        self._n_left -= 1
        try:
            _write(self._tasks, line)
            reply = self._read()
        except OSError:
            reply = None
        if reply is None or reply.pop("is_spent", True) is not False or self._n_left <= 0:
            self.is_spent = True
        return reply if reply is not None else {"status": self._end_status()}

    def _read(self) -> dict[str, Any] | None:
        """One reply; None when the worker ended without."""
        received = bytearray()
        deadline = time.monotonic() + self._limits.wall_s
        while not received.endswith(b"\n"):
            if not select.select([self._replies], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return {"status": "timeout", "is_spent": True}
            if not (chunk := os.read(self._replies, _CHUNK)):
                return None
            received += chunk
            if len(received) > self._limits.answer_bytes:
                return {"status": "output", "is_spent": True}
        try:
            reply = json.loads(received)
        except (ValueError, RecursionError):
            return None
        return reply if isinstance(reply, dict) else None

    def _end_status(self) -> str:
        """How a worker that gave no reply ended."""
        with contextlib.suppress(OSError):
            os.kill(self._process, signal.SIGCONT)
        for _ in range(200):
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self._process = 0
                was_timed_out = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
                return "timeout" if was_timed_out else "ended"
            time.sleep(0.005)
        return "ended"  # it closed its files and lives on; end() sees to that

    def end(self) -> None:
        """Kill the worker and whatever it left behind."""
        if self._process:
            with contextlib.suppress(OSError):
                os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        if os.getpid() == 1:  # the first process of its own world: all others in it are the worker's
            with contextlib.suppress(OSError):
                os.kill(-1, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        os.close(self._tasks)
        os.close(self._replies)


def _live(job: Job, put_filter_on: Callable[[], None] | None, tasks: int, replies: int) -> None:
    """The life of a worker: never returns."""
    try:
        source = os.fdopen(tasks, "rb", closefd=False)
        confine(job.limits, (tasks, replies), put_filter_on)
        job.settle()
        for _ in range(job.n_tasks):
            task = json.loads(source.readline())
            start_timer(job.limits.cpu_s)
            reply = job.work(task)
            start_timer(0)
            reply["is_spent"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > job.limits.resident_kib
            _write(replies, json.dumps(reply).encode() + b"\n")
    finally:
        os._exit(0)


def _write(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


if __name__ == "__main__":
    name, *seconds = sys.argv[1:]
    serve(timed(JOBS[name], float(seconds[0]) if seconds else None), sys.stdin.buffer, sys.stdout.buffer)

"""The server inside the sandbox: it imports once, forks a worker per task, and returns replies.

Tasks and replies are lines of JSON; the first line it writes says what confines its workers.
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

from advcluster_dagster.sandbox.confinement import confine, limit_resources
from advcluster_dagster.sandbox.jobs import JOBS, Job, Work, timed
from advcluster_dagster.sandbox.system_calls import build_filter

_CHUNK = 1 << 16


def serve(job: Job, tasks: BinaryIO, replies: BinaryIO) -> None:
    """Answer each task with one reply until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    put_filter_on = build_filter(job.may_read_files)
    work = job.prepare()
    limit_resources(job.limits)
    gc.freeze()  # so that a worker's collector leaves shared pages shared
    _say(replies, {"is_filtered": put_filter_on is not None})
    worker = None
    for line in tasks:
        task = json.loads(line)
        if worker is None:
            worker = _Worker(job, work, put_filter_on, task)
        else:
            worker.hand_over(task)
        reply = worker.reply()
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
    """A forked process that does tasks one after the other.

    Each line it replies with must begin with a token that the worker's own code alone has in hand: whatever else a
    program manages to write is no reply.
    """

    def __init__(self, job: Job, work: Work, put_filter_on: Callable[[], None] | None, task: dict[str, Any]) -> None:
        self._limits = job.limits
        self._n_left = job.n_tasks - 1
        self._token = os.urandom(16).hex().encode()
        tasks_out, self._tasks = os.pipe()
        self._replies, replies_in = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            _live(job, work, put_filter_on, task, (tasks_out, replies_in), self._token)
        os.close(tasks_out)
        os.close(replies_in)
        self.is_spent = False

    def hand_over(self, task: dict[str, Any]) -> None:
        """Give it its next task."""
        self._n_left -= 1
        with contextlib.suppress(OSError):  # it has ended: so will its reply say
            _write(self._tasks, json.dumps(task).encode() + b"\n")

    def reply(self) -> dict[str, Any]:
        """Wait for its reply, or for its end, at most the limit long."""
        deadline = time.monotonic() + self._limits.wall_s
        received = self._read(deadline)
        reply = received if isinstance(received, dict) else self._parse(received)
        if reply is None:
            reply = {"status": self._end_status(deadline)}
        self.is_spent = reply.pop("is_spent", True) or self._n_left == 0
        return reply

    def _read(self, deadline: float) -> bytes | dict[str, Any]:
        """What the worker writes until a line ends, of its last task until it ends itself; or the limit it met."""
        received = bytearray()
        while not (self._n_left and received.endswith(b"\n")):
            if not select.select([self._replies], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return {"status": "timeout"}
            if not (chunk := os.read(self._replies, _CHUNK)):
                break
            received += chunk
            if len(received) > self._limits.answer_bytes:
                return {"status": "output"}
        return bytes(received)

    def _parse(self, received: bytes) -> dict[str, Any] | None:
        """The reply in what was written; None unless that is one line of the worker's own."""
        token, _, rest = received.removesuffix(b"\n").partition(b" ")
        fields = rest.split(b" ", 2)
        if token != self._token or b"\n" in rest or len(fields) != 3 or not received.endswith(b"\n"):
            return None
        is_spent, status, value = (field.decode("ascii", "replace") for field in fields)
        return {"status": status, "is_spent": is_spent == "1"} | ({"value": value} if status == "value" else {})

    def _end_status(self, deadline: float) -> str:
        """How a worker that gave no reply ended: ``timeout``, or ``ended`` by itself."""
        with contextlib.suppress(OSError):
            os.kill(self._process, signal.SIGCONT)
        while time.monotonic() < deadline:
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self._process = 0
                was_timed_out = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
                return "timeout" if was_timed_out else "ended"
            time.sleep(0.001)
        return "timeout"  # it closed its files and lives on; end() sees to that

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


def _live(
    job: Job,
    work: Work,
    put_filter_on: Callable[[], None] | None,
    task: dict[str, Any],
    files: tuple[int, int],
    token: bytes,
) -> None:
    """The life of a worker, from its first task on: never returns.

    What it needs after a task is in local variables, which no program can replace.
    """
    tasks, replies = files
    end, write, read, usage, itself = os._exit, os.write, json.loads, resource.getrusage, resource.RUSAGE_SELF
    set_timer, processor_time, limits, n_left = signal.setitimer, signal.ITIMER_PROF, job.limits, job.n_tasks
    try:
        confine(files, put_filter_on)
        source = os.fdopen(tasks, "rb", closefd=False) if n_left > 1 else None
        while True:
            set_timer(processor_time, limits.cpu_s)
            status, value = work(task)
            set_timer(processor_time, 0)
            is_spent = b"1" if usage(itself).ru_maxrss > limits.resident_kib else b"0"
            reply = b"%b %b %b %b\n" % (token, is_spent, status.encode(), value.encode())
            while reply:
                reply = reply[write(replies, reply) :]
            n_left -= 1
            if source is None or n_left == 0:
                break
            task = read(source.readline())
    finally:
        end(0)


def _write(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


if __name__ == "__main__":
    name, *seconds = sys.argv[1:]
    serve(timed(JOBS[name], float(seconds[0]) if seconds else None), sys.stdin.buffer, sys.stdout.buffer)

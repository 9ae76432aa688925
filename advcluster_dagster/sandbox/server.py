"""Server inside the sandbox: imports once, forks workers, and returns replies.

Tasks and replies are JSON lines; the first line written reports the confinement of the workers.
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
    """Answer each task with one reply until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    put_filter_on = build_filter(job.may_read_files)
    work = job.prepare()
    limit_resources(job.limits)
    gc.freeze()  # keeps pages shared with forked workers
    _write_line(replies, {"is_filtered": put_filter_on is not None})
    worker = None
    for line in tasks:
        task = json.loads(line)
        if worker is None:
            worker = _Worker(job, work, put_filter_on, task)
        else:
            worker.send(task)
        reply = worker.reply()
        if worker.is_spent:
            worker.end()
            worker = None
        _write_line(replies, reply)
    if worker is not None:
        worker.end()


def _write_line(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


class _Worker:
    """A forked process that performs tasks one after the other.

    Each reply line must begin with a token known only to the worker's own code, so that nothing a program writes is
    taken for a reply.
    """

    def __init__(self, job: Job, work: Work, put_filter_on: Callable[[], None] | None, task: dict[str, Any]) -> None:
        self._limits = job.limits
        self._n_remaining = job.n_tasks - 1
        self._token = os.urandom(16).hex().encode()
        tasks_out, self._tasks = os.pipe()
        self._replies, replies_in = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            _run_worker(job, work, put_filter_on, task, (tasks_out, replies_in), self._token)
        os.close(tasks_out)
        os.close(replies_in)
        self.is_spent = False

    def send(self, task: dict[str, Any]) -> None:
        """Send the next task."""
        self._n_remaining -= 1
        with contextlib.suppress(OSError):  # the worker has ended, which reply() reports
            _write(self._tasks, json.dumps(task).encode() + b"\n")

    def reply(self) -> dict[str, Any]:
        """Wait for the reply or the worker's end, up to the wall time limit."""
        deadline = time.monotonic() + self._limits.wall_s
        received = self._read(deadline)
        reply = received if isinstance(received, dict) else self._parse(received)
        if reply is None:
            reply = {"status": self._end_status(deadline)}
        self.is_spent = reply.pop("is_spent", True) or self._n_remaining == 0
        return reply

    def _read(self, deadline: float) -> bytes | dict[str, Any]:
        """Output up to the end of a line (for the last task, of the worker), or the status of an exceeded limit."""
        received = bytearray()
        while not (self._n_remaining and received.endswith(b"\n")):
            if not select.select([self._replies], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return {"status": "timeout"}
            if not (chunk := os.read(self._replies, _CHUNK)):
                break
            received += chunk
            if len(received) > self._limits.answer_bytes:
                return {"status": "output"}
        return bytes(received)

    def _parse(self, received: bytes) -> dict[str, Any] | None:
        """Parse the output into a reply; None unless it is a single line that begins with the token."""
        token, _, rest = received.removesuffix(b"\n").partition(b" ")
        fields = rest.split(b" ", 2)
        if token != self._token or b"\n" in rest or len(fields) != 3 or not received.endswith(b"\n"):
            return None
        is_spent, status, value = (field.decode("ascii", "replace") for field in fields)
        return {"status": status, "is_spent": is_spent == "1"} | ({"value": value} if status == "value" else {})

    def _end_status(self, deadline: float) -> str:
        """Status of a worker without reply: ``timeout``, or ``ended`` if it exited."""
        with contextlib.suppress(OSError):
            os.kill(self._process, signal.SIGCONT)
        while time.monotonic() < deadline:
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self._process = 0
                was_timed_out = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
                return "timeout" if was_timed_out else "ended"
            time.sleep(0.001)
        return "timeout"  # it closed its files but still runs; end() kills it

    def end(self) -> None:
        """Kill the worker and its remaining child processes."""
        if self._process:
            with contextlib.suppress(OSError):
                os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        if os.getpid() == 1:  # PID 1 of its namespace: all other processes are the worker's
            with contextlib.suppress(OSError):
                os.kill(-1, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        os.close(self._tasks)
        os.close(self._replies)


def _run_worker(
    job: Job,
    work: Work,
    put_filter_on: Callable[[], None] | None,
    task: dict[str, Any],
    files: tuple[int, int],
    token: bytes,
) -> None:
    """Main loop of a worker, starting with its first task; never returns.

    Everything needed after a task is in local variables, which a program cannot replace.
    """
    tasks, replies = files
    end, write, read, usage, itself = os._exit, os.write, json.loads, resource.getrusage, resource.RUSAGE_SELF
    set_timer, processor_time, limits, n_remaining = signal.setitimer, signal.ITIMER_PROF, job.limits, job.n_tasks
    try:
        confine(files, put_filter_on)
        source = os.fdopen(tasks, "rb", closefd=False) if n_remaining > 1 else None
        while True:
            set_timer(processor_time, limits.cpu_s)
            status, value = work(task)
            set_timer(processor_time, 0)
            is_spent = b"1" if usage(itself).ru_maxrss > limits.resident_kib else b"0"
            reply = b"%b %b %b %b\n" % (token, is_spent, status.encode(), value.encode())
            while reply:
                reply = reply[write(replies, reply) :]
            n_remaining -= 1
            if source is None or n_remaining == 0:
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

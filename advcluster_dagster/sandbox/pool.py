"""Pool of worker servers that returns replies in the order of the tasks and replaces failed servers."""

import contextlib
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from advcluster_dagster.sandbox.jobs import JOBS, timed
from advcluster_dagster.sandbox.launch import has_bubblewrap, start_server

# Seconds until a silent server counts as lost: at its start, and beyond a task's limit.
_START_S, _GRACE_S = 60.0, 10.0
_CHUNK = 1 << 16
# Maximum number of consecutive tasks assigned to a server at a time.
_MOST_AT_ONCE = 16

#: Reply to a task whose server was lost twice.
LOST = {"status": "lost"}


def _n_processors() -> int:
    """Number of processors available to this process; all of the machine's if the platform does not report it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SandboxError(RuntimeError):
    """A sandbox server cannot be started; one-line message with the remedy."""


class WorkerPool:
    """Servers of one job, started when first needed and closed at the end; a context manager.

    Args:
        job: Name of the job.
        n_servers: Number of servers, each with one task at a time; by default one per available processor.
        with_bubblewrap: False to not use bubblewrap even if it is installed.
        cpu_s: CPU seconds per task; None for the job's default.
    """

    def __init__(
        self, job: str, n_servers: int | None = None, with_bubblewrap: bool = True, cpu_s: float | None = None
    ) -> None:
        self._job, self._cpu_s = job, cpu_s
        self._n_servers = n_servers or _n_processors()
        self._in_bubblewrap = with_bubblewrap and has_bubblewrap()
        self._servers: list[_Server] = []
        self._lock = threading.Lock()

    @property
    def level(self) -> str:
        """The confinement of the workers, strongest first, such as `bubblewrap, call filter, resource limits`."""
        if not self._servers:
            self._start(1)
        parts = ["bubblewrap"] * self._in_bubblewrap + ["call filter"] * self._servers[0].is_filtered
        return ", ".join([*parts, "resource limits"])

    def run(self, tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Perform all tasks; return replies in the order of the tasks.

        If a worker hangs, dies or exceeds the answer size, the reply's status says so. A task whose server is lost is
        retried once.

        Raises:
            SandboxError: no server can be started.
        """
        if not tasks:
            return []
        self._start(min(self._n_servers, len(tasks)))
        replies: list[dict[str, Any]] = [LOST] * len(tasks)
        portions = _portions(len(tasks), len(self._servers))

        def work(server: "_Server") -> None:
            while (portion := self._next(portions)) is not None:
                for number in portion:
                    replies[number] = server.do(tasks[number])

        with ThreadPoolExecutor(len(self._servers)) as threads:
            for future in [threads.submit(work, server) for server in self._servers]:
                future.result()
        return replies

    def _next(self, portions: Iterator[range]) -> range | None:
        with self._lock:
            return next(portions, None)

    def _start(self, n_servers: int) -> None:
        """Start servers, falling back to no bubblewrap if the host forbids its use."""
        while len(self._servers) < n_servers:
            try:
                self._servers.append(_Server(self._job, self._in_bubblewrap, self._cpu_s))
            except SandboxError:
                if not self._in_bubblewrap or self._servers:
                    raise
                self._in_bubblewrap = False

    def close(self) -> None:
        """Stop all servers and their workers."""
        for server in self._servers:
            server.stop()
        self._servers.clear()

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _portions(n_tasks: int, n_servers: int) -> Iterator[range]:
    """Split tasks into ranges of neighbours, which share parsed input on one server; sizes decrease towards the end."""
    start = 0
    while start < n_tasks:
        size = min(_MOST_AT_ONCE, (n_tasks - start) // (4 * n_servers))
        yield range(start, start := start + max(1, size))


class _Server:
    """One server process and the pipes to it."""

    def __init__(self, job: str, in_bubblewrap: bool, cpu_s: float | None) -> None:
        self._job, self._in_bubblewrap, self._cpu_s = job, in_bubblewrap, cpu_s
        self._wait_s = timed(JOBS[job], cpu_s).limits.wall_s + _GRACE_S
        self._process: subprocess.Popen[bytes] | None = None
        self._received = bytearray()
        self.is_filtered = False
        self._start()

    def do(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Perform a task; return LOST if the server was lost twice."""
        line = json.dumps(task).encode() + b"\n"
        for _ in range(2):
            if (reply := self._ask(line)) is not None:
                return reply
            self.stop()
            self._start()
        return LOST

    def _ask(self, line: bytes) -> dict[str, Any] | None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            return self._reply(self._wait_s)
        except OSError:
            return None

    def _start(self) -> None:
        self._received.clear()
        self._process = start_server(self._job, self._in_bubblewrap, self._cpu_s)
        greeting = self._reply(_START_S)
        if greeting is None:
            self.stop()
            raise SandboxError(
                f"sandbox: the server for {self._job} does not start; run"
                f" `python -m advcluster_dagster.sandbox.server {self._job}` to see why"
            )
        self.is_filtered = bool(greeting.get("is_filtered"))

    def _reply(self, seconds: float) -> dict[str, Any] | None:
        """The next line from the server as a JSON object; None on a timeout, at the end, or if it is not one."""
        assert self._process is not None
        assert self._process.stdout is not None
        replies = self._process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            if not select.select([replies], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            if not (chunk := os.read(replies, _CHUNK)):
                return None
            self._received += chunk
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return reply if isinstance(reply, dict) else None

    def stop(self) -> None:
        """Kill the server's process group and close its pipes."""
        if (process := self._process) is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process = None

"""Lock that lets only one command at a time run a study; a second command is refused or waits.

It is a lock of the operating system, so a killed process leaves no stale lock.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.orchestration.instance import mark_dead_runs
from advcluster_dagster.orchestration.run_process import PROCESS_TAG, STUDY_TAG, process_tag
from advcluster_dagster.storage.files import file_lock
from advcluster_dagster.storage.home import Home

_LOOK_S = 0.5
_GOING_ON = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class StudyIsRunningError(AdvClusterError, RuntimeError):
    """Another process runs the study; the message names it."""


@dataclass(frozen=True)
class LockHolder:
    """Holder of a study's lock: the command or run, its process, and since when (UTC)."""

    what: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        """Description for messages."""
        return f"{self.what} (process {self.pid} on {self.host}, since {self.since})"


@contextmanager
def only_run(
    home: Home,
    study: str,
    instance: dg.DagsterInstance,
    command: str,
    must_wait: bool = False,
    on_wait: Callable[[str], None] = lambda _line: None,
) -> Iterator[None]:
    """Hold a study's lock while a command runs it.

    Args:
        home: home of the study.
        study: name of the study.
        instance: the home's instance, which knows the runs of the UI.
        command: as typed, for messages to other commands.
        must_wait: wait for the lock instead of raising.
        on_wait: called once with a line that names the process waited for.

    Raises:
        StudyIsRunningError: another process runs the study.
    """
    path, is_reported = home.run_lock(study), False
    while True:
        with file_lock(path, must_wait=False) as is_held:
            other = _started_elsewhere(instance, study) if is_held else _holder(path)
            if other is None:
                now = datetime.now(UTC).isoformat(" ", "seconds")
                holder = LockHolder(command, socket.gethostname(), os.getpid(), now)
                _holder_file(path).write_text(json.dumps(asdict(holder)), encoding="utf-8")
                try:
                    yield
                finally:
                    _holder_file(path).unlink(missing_ok=True)
                return
        if not must_wait:
            raise StudyIsRunningError(f"study {study} is being run by {other}; wait for it with --wait, or stop it")
        if not is_reported:
            on_wait(f"Study {study} is being run by {other}; waiting for it to end.")
            is_reported = True
        time.sleep(_LOOK_S)


def _holder_file(path: Path) -> Path:
    """File that describes the holder of the lock; separate, because locking truncates the lock file."""
    return path.with_suffix(".json")


def _holder(path: Path) -> LockHolder:
    try:
        return LockHolder(**json.loads(_holder_file(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # it is just starting or ending
        return LockHolder("another command", socket.gethostname(), 0, "now")


def _started_elsewhere(instance: dg.DagsterInstance, study: str) -> LockHolder | None:
    """A run of the study in another process of this machine; processes of other machines cannot be checked."""
    mark_dead_runs(instance)
    chosen = dg.RunsFilter(statuses=_GOING_ON, tags={STUDY_TAG: study})
    for record in instance.get_run_records(chosen):
        run = record.dagster_run
        host, _, process = run.tags.get(PROCESS_TAG, "").partition(":")
        if host == socket.gethostname() and run.tags[PROCESS_TAG] != process_tag():
            since = datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), UTC)
            label = f"run {run.run_id[:8]} of the UI or its daemon"
            return LockHolder(label, host, int(process.partition(":")[0]), since.isoformat(" ", "seconds"))
    return None

"""Tag runs with the process that executes them, to recognise runs whose process died."""

import os
import socket
from functools import cache

import dagster as dg
import psutil

from advcluster_dagster.study.platform import Executor

PROCESS_TAG = "advcluster/process"
#: Tag with the study of a run or an asset.
STUDY_TAG = "advcluster/study"
_claimed: set[str] = set()


@cache
def process_tag(pid: int | None = None) -> str:
    """Unique name of a process, by default this one: host, process id and start time, since ids are reused."""
    process = psutil.Process(pid)
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.0f}"


def claim_run(instance: dg.DagsterInstance, run: dg.DagsterRun, executor: Executor) -> None:
    """Tag a run, once, with the process that executes it; command-line runs have the tag from the start.

    With the multiprocess executor this is the step's parent process; clusters monitor their runs themselves. A retried
    run inherits its predecessor's tags, including that of a dead process, so the tag is replaced.
    """
    if executor in ("ray", "kubernetes") or run.run_id in _claimed:
        return
    claim = process_tag(os.getppid() if executor == "multiprocess" else None)
    if run.tags.get(PROCESS_TAG) != claim:
        instance.add_run_tags(run.run_id, {PROCESS_TAG: claim})
    _claimed.add(run.run_id)

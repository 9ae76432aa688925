"""Tag runs with the process that executes them, so that runs whose process died can be recognised."""

import os
import socket
from functools import cache

import dagster as dg
import psutil

from advcluster_dagster.study.platform import Executor

PROCESS_TAG = "advcluster/process"
#: Names the study of a run or an asset.
STUDY_TAG = "advcluster/study"
_claimed: set[str] = set()


@cache
def process_tag(pid: int | None = None) -> str:
    """Names a process, this one by default, beyond its number, which the system gives out again: host, number, start
    time.
    """
    process = psutil.Process(pid)
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.0f}"


def claim_run(instance: dg.DagsterInstance, run: dg.DagsterRun, executor: Executor) -> None:
    """Tag a run with the process that works on it, once; runs of the command line carry the tag from the start.

    A step in a process of its own is a child of that process; a cluster watches over its runs itself. A run that takes
    up another one has that one's tags at first, the name of a dead process among them.
    """
    if executor in ("ray", "kubernetes") or run.run_id in _claimed:
        return
    claim = process_tag(os.getppid() if executor == "multiprocess" else None)
    if run.tags.get(PROCESS_TAG) != claim:
        instance.add_run_tags(run.run_id, {PROCESS_TAG: claim})
    _claimed.add(run.run_id)

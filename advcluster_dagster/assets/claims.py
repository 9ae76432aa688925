"""Which process works on a run, so that a run whose process died can be told from one that goes on.

Here: the tag and its content. Not here: marking runs failed (automation).
"""

import socket
from functools import cache

import dagster as dg
import psutil

PROCESS_TAG = "advcluster/process"
#: Names the study of a run or an asset.
STUDY_TAG = "advcluster/study"
_claimed: set[str] = set()


@cache
def process_tag() -> str:
    """Names this process beyond its number, which the system gives out again: host, number, start time."""
    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.0f}"


def claim_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Tag a run with this process, once; runs started from the command line carry the tag from the start.

    A run that takes up another one has that one's tags at first, the name of a dead process among them.
    """
    if run.tags.get(PROCESS_TAG) != process_tag() and run.run_id not in _claimed:
        instance.add_run_tags(run.run_id, {PROCESS_TAG: process_tag()})
        _claimed.add(run.run_id)

"""The Dagster instance of a home: one history for the command line and the UI.

Here: opening it, its settings file, marking dead runs. Not here: what is run.
"""

import os
import socket
import time

import dagster as dg
import psutil

from advcluster_dagster.assets.claims import PROCESS_TAG
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import remove_abandoned_files

_UNCLAIMED_AFTER_S = 600
_SETTINGS = """\
# Written once; edit freely. Runs, events and schedules are kept in SQLite files beside this one.
event_log_storage:
  module: advcluster_dagster.storage.event_log
  class: KeptOpenSqliteEventLogStorage
  config: {base_dir: {env: DAGSTER_HOME}}
python_logs: {python_log_level: INFO}
telemetry: {enabled: false}
nux: {enabled: false}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - {key: advcluster/whole_study, limit: 1, value: {applyLimitPerUniqueValue: true}}
run_retries:
  enabled: true
  max_retries: 0
  retry_on_asset_or_op_failure: false
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 60
"""


def open_instance(home: Home) -> dg.DagsterInstance:
    """The instance of a home, made on first use; runs whose process is gone are marked failed."""
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        home.dagster.mkdir(parents=True, exist_ok=True)
        settings.write_text(_SETTINGS, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    instance = dg.DagsterInstance.from_config(str(home.dagster))
    mark_dead_runs(instance)
    remove_abandoned_files(home.lake)
    return instance


def mark_dead_runs(instance: dg.DagsterInstance, is_only_server: bool = False) -> int:
    """Mark unfinished runs failed whose process is gone; how many there were.

    A run that no process has claimed yet counts as dead when it is the only server that asks, else after ten minutes.
    """
    unfinished = [
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    dead = [
        record.dagster_run
        for record in instance.get_run_records(dg.RunsFilter(statuses=unfinished))
        if _is_dead(record.dagster_run, record.create_timestamp.timestamp(), is_only_server)
    ]
    for run in dead:
        instance.report_run_failed(run, "the process of this run is gone; run it again, nothing paid for is lost")
    return len(dead)


def _is_dead(run: dg.DagsterRun, created: float, is_only_server: bool) -> bool:
    claimed = run.tags.get(PROCESS_TAG)
    if claimed is None:
        return is_only_server or time.time() - created > _UNCLAIMED_AFTER_S
    host, pid, started = claimed.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        return bool(abs(psutil.Process(int(pid)).create_time() - float(started)) > 2)
    except psutil.NoSuchProcess:
        return True


def instance_environment(home: Home) -> dict[str, str]:
    """Environment of a Dagster process that serves this home."""
    # Dagster's own development server warns of its successor at every start.
    quiet = {"PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore")}
    return {**os.environ, **quiet, "DAGSTER_HOME": str(home.dagster), "ADVCLUSTER_HOME": str(home.root)}

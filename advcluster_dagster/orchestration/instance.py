"""Open the Dagster instance of a home; mark runs whose process died as failed."""

import hashlib
import os
import socket
import time
from pathlib import Path

import dagster as dg
import psutil
import yaml

from advcluster_dagster.dagster_internals import CheckError, DagsterInvariantViolationError, DefaultRunLauncher
from advcluster_dagster.orchestration.executors import launcher_settings
from advcluster_dagster.orchestration.run_process import PROCESS_TAG
from advcluster_dagster.orchestration.step_resources import GPU_POOL
from advcluster_dagster.printable import one_line
from advcluster_dagster.storage.files import atomic_write, file_lock
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.paths import remove_abandoned_files
from advcluster_dagster.study.files import SettingsError

_UNCLAIMED_AFTER_S = 600
_HEAD = "# Follows platform.yaml until it is edited; then it is left to you. Written as "
_REMOVE = "remove the file to have it written again, or restore your own from a backup"
_SQLITE = """\
event_log_storage:
  module: advcluster_dagster.orchestration.event_log
  class: KeptOpenSqliteEventLogStorage
  config: {base_dir: {env: DAGSTER_HOME}}
"""
_SETTINGS = """\
python_logs:
  python_log_level: INFO
  dagster_handler_config:
    handlers:
      events: {class: advcluster_dagster.orchestration.structured_logs.EventLines, level: DEBUG}
telemetry: {enabled: false}
nux: {enabled: false}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    max_concurrent_runs: N_RUNS
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
    """Open the instance of a home, creating it on first use; mark runs whose process died as failed.

    Raises:
        SettingsError: ``platform.yaml`` is invalid, or an edited ``dagster.yaml`` does not match it; one-line message.
    """
    home.dagster.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    # Dagster creates its databases without a lock: two concurrent first commands would corrupt them.
    with file_lock(home.dagster / "opening.lock"):
        if home.settings.executor != "kubernetes":
            _write_settings(home, home.dagster / "dagster.yaml")
        instance = _open_folder(home.dagster)
        _limit_pool(instance, home.settings.gpu_pool_slots)
        mark_dead_runs(instance)
        assert instance.schedule_storage is not None
    remove_abandoned_files(home.lake)
    return instance


def _open_folder(folder: Path) -> dg.DagsterInstance:
    """Open Dagster's instance of a folder.

    Raises:
        SettingsError: its ``dagster.yaml`` is invalid; one-line message.
    """
    path = folder / "dagster.yaml"
    try:
        return dg.DagsterInstance.from_config(str(folder))
    except (yaml.YAMLError, UnicodeDecodeError, dg.DagsterInvalidConfigError, DagsterInvariantViolationError) as error:
        raise SettingsError(f"{path}: not valid as Dagster settings; {_REMOVE}") from error
    except CheckError as error:  # a class that this version of the package or of Dagster does not have
        raise SettingsError(f"{path}: {one_line(str(error), 300)}; correct the name, or {_REMOVE}") from error


def _write_settings(home: Home, path: Path) -> None:
    """Write Dagster's settings according to ``platform.yaml``, unless the file was edited since it was last written.

    Raises:
        SettingsError: the file was edited, and ``platform.yaml`` has changed since.
    """
    body = _settings(home)
    digest = hashlib.sha256(body.encode()).hexdigest()[:16]
    if path.exists():
        try:
            head, _, present = path.read_text(encoding="utf-8").partition("\n")
        except UnicodeDecodeError:
            raise SettingsError(f"{path}: not a text file; {_REMOVE}") from None
        if not head.startswith(_HEAD):  # written by hand
            if home.database_url is not None and "postgres" not in head + present:
                raise SettingsError(f"{path}: platform.yaml configures PostgreSQL, but this edited file does not")
            return
        if head.removeprefix(_HEAD) == digest:
            return
        if hashlib.sha256(present.encode()).hexdigest()[:16] != head.removeprefix(_HEAD):
            raise SettingsError(
                f"{path}: edited by hand, and platform.yaml has changed since; remove the file to have it"
                " written again, or its first line to keep it as it is"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as staged:
        staged.write_text(f"{_HEAD}{digest}\n{body}", encoding="utf-8")


def _settings(home: Home) -> str:
    """Dagster's settings as YAML: history in SQLite files or PostgreSQL, whose URL stays in the environment."""
    storage = _SQLITE
    if home.database_url is not None:
        storage = yaml.safe_dump({"storage": {"postgres": {"postgres_url": {"env": home.settings.database_url_env}}}})
    launcher = launcher_settings(home)
    settings = _SETTINGS.replace("N_RUNS", str(home.settings.max_concurrent_runs))
    return storage + settings + (yaml.safe_dump(launcher, sort_keys=False) if launcher else "")


def _limit_pool(instance: dg.DagsterInstance, n_slots: int) -> None:
    """Set how many steps may use an inference engine at once, across all runs of the home."""
    storage = instance.event_log_storage
    present = {pool.name: pool.limit for pool in storage.get_pool_limits()}
    if present.get(GPU_POOL) != n_slots:
        storage.set_concurrency_slots(GPU_POOL, n_slots)


def mark_dead_runs(instance: dg.DagsterInstance, is_only_server: bool = False) -> int:
    """Mark unfinished runs whose process died as failed; return their number.

    A run not yet claimed by a process counts as dead at once if the caller is the only server, else after ten minutes;
    on a cluster, which monitors its runs itself, never.
    """
    unfinished = [
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    is_local = isinstance(instance.run_launcher, DefaultRunLauncher)
    dead = [
        record.dagster_run
        for record in instance.get_run_records(dg.RunsFilter(statuses=unfinished))
        if (is_local or PROCESS_TAG in record.dagster_run.tags)
        and _is_dead(record.dagster_run, record.create_timestamp.timestamp(), is_only_server)
    ]
    for run in dead:
        instance.report_run_failed(run, "the run's process died; run it again: recorded model calls are reused")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
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
    """Environment variables of a Dagster process for this home."""
    # Dagster's development server warns about its successor at every start.
    quiet = {"PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore")}
    return {**os.environ, **quiet, "DAGSTER_HOME": str(home.dagster), "ADVCLUSTER_HOME": str(home.root)}

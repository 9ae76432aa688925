"""Start and stop the processes of the UI: code server, web server, daemon.

A signal to this process stops all of them, whereas Dagster's development command leaves child processes behind.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import yaml

from advcluster_dagster.dagster_internals import DAEMON_MODULE, LOCATION
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.orchestration.instance import instance_environment
from advcluster_dagster.orchestration.webserver import names_of
from advcluster_dagster.storage.home import Home

#: Time for the processes to end by themselves, so that runs in them can store pending replies.
_GRACE_S = 6.0
_CODE_SERVER_START_S = 120.0
_CHECK_PAUSE_S = 0.2


class UiError(AdvClusterError, RuntimeError):
    """A process of the UI ended unexpectedly; one-line message."""


def run_ui(home: Home, host: str, port: int, further_hosts: Sequence[str], stop: threading.Event) -> None:
    """Run the UI and the daemon of a home until ``stop`` is set; all their processes have ended on return.

    Raises:
        UiError: one of the processes ended unexpectedly.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    environment = instance_environment(home)
    with tempfile.TemporaryDirectory(prefix="advcluster-ui-") as folder:
        code_socket, workspace = Path(folder) / "code.sock", Path(folder) / "workspace.yaml"
        server = {"host": "localhost", "socket": str(code_socket), "location_name": LOCATION}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        try:
            code = ["dagster", "code-server", "start", "-m", LOCATION, "--socket", str(code_socket)]
            processes["code server"] = _start([*code, "--log-level", "warning"], environment)
            _wait_for_file(code_socket, processes, stop)
            names = names_of(host, further_hosts)
            web = ["advcluster_dagster.orchestration.webserver", host, str(port), str(code_socket)]
            processes["web server"] = _start([*web, str(home.reports), *names], environment)
            processes["daemon"] = _start([DAEMON_MODULE, "run", "-w", str(workspace)], environment)
            while not stop.wait(_CHECK_PAUSE_S):
                _check(processes)
        finally:
            _end(list(processes.values()))


def _start(module: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a module in its own session, so that signals from the terminal reach only this process."""
    return subprocess.Popen([sys.executable, "-m", *module], env=environment, start_new_session=True)


def _wait_for_file(path: Path, processes: dict[str, subprocess.Popen[bytes]], stop: threading.Event) -> None:
    deadline = time.monotonic() + _CODE_SERVER_START_S
    while not path.exists() and not stop.wait(_CHECK_PAUSE_S):
        _check(processes)
        if time.monotonic() > deadline:
            raise UiError(f"the code server did not start within {_CODE_SERVER_START_S:g} s")


def _check(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if (status := process.poll()) is not None:
            raise UiError(f"the {name} of the UI ended with status {status}; see its output above")


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes and their descendants: first by SIGTERM, after a grace period by SIGKILL."""
    tree = list({p.pid: p for process in processes for p in _with_children(process)}.values())
    for process in tree:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(tree, timeout=_GRACE_S)
    for process in alive:
        _signal(process, signal.SIGKILL)
    for parent in processes:
        parent.wait()


def _with_children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        first = psutil.Process(process.pid)
        return [*first.children(recursive=True), first]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: int) -> None:
    try:
        if process.pid != os.getpid():
            process.send_signal(number)
    except psutil.NoSuchProcess:
        return

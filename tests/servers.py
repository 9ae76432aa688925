"""Real servers for integration tests, on loopback, stopped at the end of the block that needs them.

PostgreSQL from Debian's package, moto's S3, and a Ray cluster of one head and two workers.
"""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of an empty database of a new temporary server without durability."""
    programs = _postgres_programs()
    root = Path(tempfile.mkdtemp(prefix="advcluster-postgres-"))
    as_user = _as_ordinary_user(root)
    data, port = root / "data", free_port()
    settings = f"-p {port} -k {root} -c listen_addresses={LOOPBACK} -c fsync=off"
    try:
        _run([*as_user, programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"])
        _run([*as_user, programs / "pg_ctl", "-D", data, "-w", "-o", settings, "-l", root / "log", "start"])
        try:
            yield f"postgresql+psycopg2://tester:no-secret@{LOOPBACK}:{port}/postgres"
        finally:
            _run([*as_user, programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _postgres_programs() -> Path:
    """Folder of the newest server's executables, which Debian does not put on the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not versions:
        raise FileNotFoundError("no PostgreSQL server; on Debian: apt-get install postgresql")
    return versions[-1].parent


def _as_ordinary_user(folder: Path) -> list[str]:
    """Arguments to run a server that refuses root, after giving its folder to another user."""
    if os.getuid() != 0:
        return []
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["runuser", "-u", user.pw_name, "--"]


def _run(command: list[object], **options: object) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout


@contextmanager
def s3_server(bucket: str) -> Iterator[Mapping[str, str]]:
    """Environment variables for clients of a server with one empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "no-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="tester",
            aws_secret_access_key="no-secret",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=bucket)
        yield environment
    finally:
        server.stop()


@dataclass
class RayCluster:
    """A head that runs no steps, and workers with one CPU each, as processes of this machine."""

    address: str
    environment: Mapping[str, str]
    folder: Path
    join: list[object]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_worker(self) -> None:
        """Start another worker; it is part of the cluster on return."""
        before = _nodes(self.address)
        log = self.folder / f"worker-{len(self.workers)}.log"
        self.workers.append(_start(self.join, self.environment, log))
        _wait_for_another(self.address, before, self.workers[-1])

    def running_steps(self) -> dict[str, subprocess.Popen[bytes]]:
        """The worker of each running step, by the step's key."""
        workers = {}
        for worker in self.workers:
            if worker.poll() is None:
                for process in psutil.Process(worker.pid).children(recursive=True):
                    if (key := _step_of(process)) is not None:
                        workers[key] = worker
        return workers


def _step_of(process: psutil.Process) -> str | None:
    try:
        is_step = "execute_step" in process.cmdline()
        return process.environ().get("DAGSTER_RUN_STEP_KEY") if is_step else None
    except psutil.Error:
        return None


def kill_tree(top: subprocess.Popen[bytes]) -> None:
    """Kill a process and its descendants abruptly, as in a power failure."""
    if top.poll() is None:
        for process in [*psutil.Process(top.pid).children(recursive=True), psutil.Process(top.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    top.wait()


@contextmanager
def ray_cluster(folder: Path, environment: Mapping[str, str]) -> Iterator[RayCluster]:
    """A cluster whose steps get this environment; its files are in ``folder``, whose path must be short."""
    port, dashboard = free_port(), free_port()
    settings = {
        **os.environ,
        **environment,
        # Ray starts jobs by executable name, so the environment's folder must be on the path.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Lost workers are detected within seconds.
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "2",
    }
    program = [Path(sys.executable).parent / "ray", "start", "--block", "--disable-usage-stats"]
    small = ["--object-store-memory", 80 * 2**20]
    head = [
        *program, "--head", "--num-cpus=0", f"--port={port}", f"--node-ip-address={LOOPBACK}", f"--temp-dir={folder}",
        "--include-dashboard=true", f"--dashboard-host={LOOPBACK}", f"--dashboard-port={dashboard}", *small,
    ]  # fmt: skip
    worker = [*program, f"--address={LOOPBACK}:{port}", f"--node-ip-address={LOOPBACK}", "--num-cpus=1", *small]
    cluster = RayCluster(f"http://{LOOPBACK}:{dashboard}", settings, folder, worker)
    first = _start(head, settings, folder / "head.log")
    try:
        _wait_for_another(cluster.address, set(), first)
        for _ in range(2):
            cluster.add_worker()
        yield cluster
    finally:
        for process in (*cluster.workers, first):
            kill_tree(process)


def _start(command: list[object], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for_another(
    address: str, before: set[str], newest: subprocess.Popen[bytes], timeout_s: float = 120.0
) -> None:
    """Wait until a new node has joined; two that start simultaneously would take the same socket."""
    deadline = time.monotonic() + timeout_s
    while not _nodes(address) - before:
        assert newest.poll() is None, "a node of Ray's ended"
        assert time.monotonic() < deadline, "a node of Ray's does not join"
        time.sleep(0.2)


def _nodes(address: str) -> set[str]:
    """Identifiers of the nodes that the head considers alive."""
    try:
        with urllib.request.urlopen(f"{address}/nodes?view=summary", timeout=10) as answer:
            nodes = json.load(answer)["data"]["summary"]
    except OSError:
        return set()
    return {node["raylet"]["nodeId"] for node in nodes if node["raylet"].get("state") == "ALIVE"}

"""Start a server of sandboxed worker processes, in bubblewrap where the host has it.

With bubblewrap a server has its own process, network, user and file name spaces: it sees the interpreter, the
installed packages and this package, read-only, and nothing else of the host. Without it, the workers' own limits,
call filter and audit hook are all there is: with the call filter (Linux on x86_64 and aarch64) a worker that runs
programs can still open no file and no connection and start no process. Without either, the audit hook refuses the
same to Python code, but not to code that gets past the interpreter, and a worker could signal processes of the same
user.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONPATH": str(_PACKAGE.parent), "LANG": "C.UTF-8"}
_SYSTEM_FOLDERS = ("/lib", "/lib32", "/lib64", "/libx32", "/bin")


def start_server(job: str, in_bubblewrap: bool, cpu_s: float | None = None) -> subprocess.Popen[bytes]:
    """Start a server in a process group of its own, with pipes for tasks and replies and nothing of our environment.

    ``cpu_s`` is the limit of one task; None leaves the job's own.
    """
    command = [sys.executable, "-s", "-P", "-m", "advcluster_dagster.sandbox.server", job]
    command += [] if cpu_s is None else [repr(cpu_s)]
    return subprocess.Popen(
        [*bubblewrap_command(), *command] if in_bubblewrap else command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={} if in_bubblewrap else _ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )


def has_bubblewrap() -> bool:
    """Whether the host has bubblewrap installed (it may still not be allowed to use it)."""
    return sys.platform == "linux" and shutil.which("bwrap") is not None


def bubblewrap_command() -> list[str]:
    """The command line that walls in what follows it."""
    options = ["--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    options += ["--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
    for name, value in _ENVIRONMENT.items():
        options += ["--setenv", name, value]
    for folder in _SYSTEM_FOLDERS:
        if os.path.islink(folder):
            options += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            options += ["--ro-bind", folder, folder]
    for folder in _folders():
        options += ["--ro-bind", folder, folder]
    return [str(shutil.which("bwrap")), *options, "--dev", "/dev", "--remount-ro", "/", "--chdir", "/"]


def _folders() -> list[str]:
    """What a server reads: system libraries, the interpreter, the installed packages, this package."""
    interpreter = os.path.dirname(os.path.realpath(sys.executable))
    candidates = ["/usr", sys.base_prefix, sys.base_exec_prefix, sys.prefix, interpreter, str(_PACKAGE)]
    return [folder for folder in dict.fromkeys(candidates) if os.path.isdir(folder) and folder != "/"]

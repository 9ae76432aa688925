"""Start a server of sandboxed worker processes, in bubblewrap if it is installed.

With bubblewrap a server has its own process, network, user and mount namespaces: it sees only the interpreter, the
installed packages and this package, read-only. Without it, workers are confined by resource limits, the call filter and
the audit hook. With the call filter (Linux on x86_64 and aarch64), a worker that runs programs still cannot open files
or connections or start processes. Without the filter, the audit hook refuses these to Python code, but not to native
code that escapes the interpreter, and a worker could signal processes of the same user.
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
    """Start a server in its own process group, with pipes for tasks and replies and a clean environment.

    ``cpu_s`` is the CPU limit per task, seconds; None for the job's default.
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
    """Whether bubblewrap is installed; the host may still forbid its use."""
    return sys.platform == "linux" and shutil.which("bwrap") is not None


def bubblewrap_command() -> list[str]:
    """The bubblewrap command line, to be followed by the command to sandbox."""
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
    """Folders a server needs to read: system libraries, the interpreter, the installed packages, this package."""
    interpreter = os.path.dirname(os.path.realpath(sys.executable))
    candidates = ["/usr", sys.base_prefix, sys.base_exec_prefix, sys.prefix, interpreter, str(_PACKAGE)]
    return [folder for folder in dict.fromkeys(candidates) if os.path.isdir(folder) and folder != "/"]

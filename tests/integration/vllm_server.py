"""`vllm serve` on loopback, for tests that call a real engine over HTTP."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from tests.studies import ROOT


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **more}


@contextmanager
def served(folder: Path, log: Path, max_model_len: int = 128) -> Iterator[str]:
    """`vllm serve` on loopback as a module, since the CPU build's script expects the GPU build; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", folder.name]
    options += ["--max-model-len", str(max_model_len), "--dtype", "bfloat16", "--enforce-eager"]
    options += ["--gpu-memory-utilization", "0.4"]  # two servers share a card
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), *options]
    settings = environment(VLLM_CPU_KVCACHE_SPACE="1", VLLM_NO_USAGE_STATS="1")
    with log.open("w") as out, subprocess.Popen(command, env=settings, stdout=out, stderr=out) as server:
        try:
            wait_until_healthy(port, server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()  # it ends its engine first
            server.wait(timeout=60)


def wait_until_healthy(port: int, server: subprocess.Popen[bytes], log: Path, timeout_s: float = 300) -> None:
    deadline = monotonic() + timeout_s
    while monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-4000:]
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            sleep(0.2)  # between two looks
    raise TimeoutError(log.read_text()[-4000:])

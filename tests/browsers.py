"""A real browser, for tests and for the screenshots of the README: Debian's Chromium under Playwright.

Launches the browser and the served UI, and opens pages that record their requests and errors.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from advcluster_dagster.storage.home import Home

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[1]
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@dataclass
class Visit:
    """A page with the URLs it requested and its faults: errors and security policy violations."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def find_chromium() -> str | None:
    """Path of the browser's executable; None if it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(_FLAGS))
        yield browser
        browser.close()


@contextmanager
def visit(browser: "Browser", **settings: Any) -> Iterator[Visit]:
    """A new page; ``settings`` are those of a browser context, such as viewport or colour scheme."""
    context = browser.new_context(**settings)
    page_visit = Visit(context.new_page())
    page_visit.page.on("request", lambda request: page_visit.requests.append(request.url))
    page_visit.page.on("pageerror", lambda error: page_visit.faults.append(str(error)))
    page_visit.page.on(
        "console", lambda said: page_visit.faults.append(said.text) if said.type in ("error", "warning") else None
    )
    yield page_visit
    context.close()


@contextmanager
def served_ui(home: Home, timeout_s: float = 120.0) -> Iterator[str]:
    """The address of the UI of a home, started as ``advcluster ui`` starts it and stopped with all its processes.

    Raises:
        RuntimeError: it ended, or did not start in time; the message contains its last lines.
    """
    port = _free_port()
    environment = {**os.environ, "ADVCLUSTER_HOME": str(home.root), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment.pop("DAGSTER_HOME", None)
    program = [sys.executable, "-c", "from advcluster_dagster.cli.main import main; main()", "ui", "--port", str(port)]
    process = subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    too_late = threading.Timer(timeout_s, process.kill)
    too_late.start()
    try:
        _wait_for_line(process, "Serving the UI on")
        too_late.cancel()
        yield f"http://127.0.0.1:{port}"
    finally:
        too_late.cancel()
        _stop(process)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    """Read a process's output until a text appears; then keep reading in a thread, so that it never blocks."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if text in line:
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return
    raise RuntimeError(f"the UI is not up: {''.join(lines[-20:])}")


def _stop(process: subprocess.Popen[str]) -> None:
    """Interrupt a process as Ctrl-C does, and terminate its remaining children."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    _, alive = psutil.wait_procs([psutil.Process(process.pid), *children] if process.poll() is None else children, 15)
    for child in alive:
        child.kill()
    process.wait()

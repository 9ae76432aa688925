"""Progress of the commands: bars on a terminal, a line every few seconds in a pipe or a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from advcluster_dagster.cli.common import screen


class RunBars:
    """One bar over the steps of a run, one over the model calls of the current step."""

    def __init__(self, progress: Progress) -> None:
        self.n_asked = 0
        self._progress = progress
        self._runs = progress.add_task("starting", total=None)
        self._calls = progress.add_task("model calls", total=None, visible=False)

    def on_run(self, label: str, n_steps: int) -> None:
        """A run of so many steps begins."""
        self._progress.update(self._runs, description=f"{label}: {n_steps} steps", advance=1)
        self._progress.update(self._calls, visible=False)

    def on_calls(self, step: str, n_done: int, n_all: int) -> None:
        """Another model call of a step is done."""
        self.n_asked += n_all > 0
        self._progress.update(self._calls, description=step, completed=n_done, total=n_all, visible=True)


class RunLines:
    """As :class:`RunBars` where the screen is no terminal: a line a run, and one every few seconds on model calls."""

    #: Seconds between two lines on the calls of a step.
    INTERVAL = 5.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.n_asked = 0
        self._clock = clock
        self._last = clock()

    def on_run(self, label: str, n_steps: int) -> None:
        """A run of so many steps begins."""
        screen.print(escape(f"{label}: {n_steps} steps"), soft_wrap=True)

    def on_calls(self, step: str, n_done: int, n_all: int) -> None:
        """Another model call of a step is done."""
        self.n_asked += n_all > 0
        if n_all and self._clock() - self._last >= self.INTERVAL:
            self._last = self._clock()
            screen.print(escape(f"{step}: {n_done} of {n_all} model calls"), soft_wrap=True)


@contextmanager
def run_progress() -> Iterator[RunBars | RunLines]:
    """Bars of a run, gone when it ends; lines where the screen is no terminal."""
    if not screen.is_terminal:
        yield RunLines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as progress:
        yield RunBars(progress)


@contextmanager
def byte_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar over the bytes of a file, gone when it ends; a line every few seconds where the screen is no terminal."""
    if not screen.is_terminal:
        yield _byte_lines(what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(escape(what), total=None)
        yield lambda n_done, n_all: progress.update(task, completed=n_done, total=n_all)


def _byte_lines(what: str, clock: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    last = clock()

    def tell(n_done: int, n_all: int) -> None:
        nonlocal last
        if clock() - last >= RunLines.INTERVAL and n_all:
            last = clock()
            screen.print(escape(f"{what}: {n_done / n_all:.0%}"), soft_wrap=True)

    return tell

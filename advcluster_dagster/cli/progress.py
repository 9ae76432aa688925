"""Progress display: bars on a terminal, a line every few seconds in a pipe or a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from advcluster_dagster.cli.common import screen


class RunBars:
    """Two progress bars: the runs, and the model calls of the current step."""

    def __init__(self, progress: Progress) -> None:
        self.n_asked = 0
        self._progress = progress
        self._runs = progress.add_task("starting", total=None)
        self._calls = progress.add_task("model calls", total=None, visible=False)

    def on_run(self, label: str, n_steps: int) -> None:
        """Report the start of a run with this many steps."""
        self._progress.update(self._runs, description=f"{label}: {n_steps} steps", advance=1)
        self._progress.update(self._calls, visible=False)

    def on_calls(self, step: str, n_done: int, n_all: int) -> None:
        """Report the model calls of a step that are done."""
        self.n_asked += n_all > 0
        self._progress.update(self._calls, description=step, completed=n_done, total=n_all, visible=True)


class RunLines:
    """Counterpart of :class:`RunBars` without a terminal: a line per run, and one every few seconds on model calls."""

    #: Seconds between two lines on the calls of a step.
    INTERVAL = 5.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.n_asked = 0
        self._clock = clock
        self._last = clock()

    def on_run(self, label: str, n_steps: int) -> None:
        """Report the start of a run with this many steps."""
        screen.print(escape(f"{label}: {n_steps} steps"), soft_wrap=True)

    def on_calls(self, step: str, n_done: int, n_all: int) -> None:
        """Report the model calls of a step that are done."""
        self.n_asked += n_all > 0
        if n_all and self._clock() - self._last >= self.INTERVAL:
            self._last = self._clock()
            screen.print(escape(f"{step}: {n_done} of {n_all} model calls"), soft_wrap=True)


@contextmanager
def run_progress() -> Iterator[RunBars | RunLines]:
    """Show the progress of runs: transient bars on a terminal, otherwise lines."""
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
def byte_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress over a file's bytes: a transient bar on a terminal, otherwise a line every few seconds."""
    if not screen.is_terminal:
        yield _byte_lines(label)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(escape(label), total=None)
        yield lambda n_done, n_all: progress.update(task, completed=n_done, total=n_all)


def _byte_lines(label: str, clock: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    last = clock()

    def on_progress(n_done: int, n_all: int) -> None:
        nonlocal last
        if clock() - last >= RunLines.INTERVAL and n_all:
            last = clock()
            screen.print(escape(f"{label}: {n_done / n_all:.0%}"), soft_wrap=True)

    return on_progress

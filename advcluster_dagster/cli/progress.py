"""Progress bars of the commands."""

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


@contextmanager
def run_progress() -> Iterator[RunBars]:
    """Bars of a run, gone when it ends; none where the screen is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        yield RunBars(progress)


@contextmanager
def byte_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """One bar over the bytes of a file; as :func:`run_progress`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task(escape(what), total=None)
        yield lambda n_done, n_all: progress.update(task, completed=n_done, total=n_all)

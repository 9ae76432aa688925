"""Progress in a pipe: plain lines, not more than one every few seconds."""

import pytest

from advcluster_dagster.cli import progress
from advcluster_dagster.cli.progress import RunLines, run_progress


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_calls_are_told_every_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = RunLines(clock)
    lines.on_run("f/math", 4)
    for second in range(12):
        clock.now = float(second)
        lines.on_calls("larger_traces[f]", second + 1, 40)
    assert capsys.readouterr().err.splitlines() == [
        "f/math: 4 steps",
        "larger_traces[f]: 6 of 40 model calls",
        "larger_traces[f]: 11 of 40 model calls",
    ]
    assert lines.n_asked == 12


def test_calls_answered_by_the_ledger_alone_are_not_counted() -> None:
    lines = RunLines(Clock())
    lines.on_calls("larger_traces", 0, 0)
    assert lines.n_asked == 0


def test_bytes_are_told_as_shares(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    tell = progress._byte_lines("traces of f", clock)
    for second, n_done in ((1.0, 10), (5.0, 50), (6.0, 60), (10.0, 100)):
        clock.now = second
        tell(n_done, 100)
    assert capsys.readouterr().err.splitlines() == ["traces of f: 50%", "traces of f: 100%"]


def test_a_pipe_has_lines() -> None:
    with run_progress() as bars:
        assert isinstance(bars, RunLines)

"""Detect copies of log files, and runs that repeat another run's responses.

Memory holds a number a question for each log that is compared.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from advcluster_dagster.sources.imports.logged_trials import EvaluationLog


def file_hash(path: Path) -> str:
    """The sha256 of a file in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def joint_hash(hashes: Sequence[str]) -> str:
    """One hash of several files' hashes in their order; that of a single file is its own."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def equal_files(paths: Sequence[Path]) -> dict[Path, Path]:
    """Files with the bytes of an earlier one, each with that one."""
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        by_size.setdefault(path.stat().st_size, []).append(path)
    copies: dict[Path, Path] = {}
    for same_size in by_size.values():
        first_of: dict[str, Path] = {}
        for path in same_size if len(same_size) > 1 else ():
            first = first_of.setdefault(file_hash(path), path)
            if first is not path:
                copies[path] = first
    return copies


Answered = Mapping[str, int]


def answered(log: EvaluationLog, benchmark: str) -> Answered:
    """One number for the responses to each question of a log; equal responses have equal numbers in this process."""
    counts: dict[str, int] = {}
    for trial in log.trials(benchmark):
        counts[trial.ids[-1]] = counts.get(trial.ids[-1], 0) + hash((trial.trial, trial.trace["response"]))
    return counts


def repeats(runs: Sequence[Answered]) -> dict[int, int]:
    """Runs of one model that have no response of their own, by number, each with the run that has them all.

    Of two runs that repeat each other the earlier one stays; of a run and a part of it the larger one does.
    """
    in_size = sorted(range(len(runs)), key=lambda number: (-len(runs[number]), number))
    kept: list[int] = []
    counts: dict[int, int] = {}
    for number in in_size:
        run = runs[number]
        whole = next((other for other in kept if run and run.items() <= runs[other].items()), None)
        if whole is None:
            kept.append(number)
        else:
            counts[number] = whole
    return counts


@dataclass
class TrialHashes:
    """Responses of one model by trial, to see trials that are equal in every response; one number a trial."""

    _trials: dict[int, list[int]] = field(default_factory=dict)

    def add(self, question_id: str, trial: int, response: str | None) -> None:
        """See a trial's response to a question; one that is missing is like no other."""
        if response is None:
            return
        seen = self._trials.setdefault(trial, [0, 0])
        seen[0] += 1
        seen[1] += hash((question_id, response))

    @property
    def equal_trials(self) -> list[int]:
        """The most trials that are equal to each other in every response; empty where no two are."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for trial, seen in sorted(self._trials.items()):
            if seen[0] > 1:  # one question alone may well be answered alike
                groups.setdefault(tuple(seen), []).append(trial)
        largest = max(groups.values(), key=len, default=[])
        return largest if len(largest) > 1 else []

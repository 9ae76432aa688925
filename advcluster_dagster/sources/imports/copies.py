"""Detect copies of log files, and runs that repeat another run's responses.

Memory holds one integer per question for each log that is compared.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from advcluster_dagster.sources.imports.logged_trials import EvaluationLog


def file_hash(path: Path) -> str:
    """Return the sha256 of a file in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def joint_hash(hashes: Sequence[str]) -> str:
    """Combine the hashes of several files, in order, into one; a single hash is returned unchanged."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def equal_files(paths: Sequence[Path]) -> dict[Path, Path]:
    """Map each file that is a byte-for-byte copy of an earlier file to that file."""
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


ResponseHashes = Mapping[str, int]


def response_hashes(log: EvaluationLog, benchmark: str) -> ResponseHashes:
    """Hash of the responses to each question of a log; equal responses have equal hashes within this process."""
    counts: dict[str, int] = {}
    for trial in log.trials(benchmark):
        counts[trial.ids[-1]] = counts.get(trial.ids[-1], 0) + hash((trial.trial, trial.trace["response"]))
    return counts


def redundant_runs(runs: Sequence[ResponseHashes]) -> dict[int, int]:
    """Map each redundant run of one model, by index, to the run that contains all of its responses.

    Of two identical runs the earlier is kept; of a run and a subset of it, the larger.
    """
    by_size = sorted(range(len(runs)), key=lambda number: (-len(runs[number]), number))
    kept: list[int] = []
    redundant: dict[int, int] = {}
    for number in by_size:
        run = runs[number]
        superset = next((other for other in kept if run and run.items() <= runs[other].items()), None)
        if superset is None:
            kept.append(number)
        else:
            redundant[number] = superset
    return redundant


@dataclass
class TrialHashes:
    """Hash of one model's responses per trial, to detect trials that are equal in every response."""

    _trials: dict[int, list[int]] = field(default_factory=dict)

    def add(self, question_id: str, trial: int, response: str | None) -> None:
        """Add a trial's response to a question; missing responses are ignored."""
        if response is None:
            return
        seen = self._trials.setdefault(trial, [0, 0])
        seen[0] += 1
        seen[1] += hash((question_id, response))

    @property
    def equal_trials(self) -> list[int]:
        """The largest group of trials that are equal in every response; empty if no two are."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for trial, seen in sorted(self._trials.items()):
            if seen[0] > 1:  # two equal responses to a single question are plausible
                groups.setdefault(tuple(seen), []).append(trial)
        largest = max(groups.values(), key=len, default=[])
        return largest if len(largest) > 1 else []

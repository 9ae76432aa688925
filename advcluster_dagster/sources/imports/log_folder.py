"""Select the logs of a folder: every file named like a log is imported, skipped with a reason, or stops the import."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from advcluster_dagster.sources.imports.copies import equal_files
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.inspect_logs import InspectLog, inspect_task, is_inspect_log, is_inspect_name
from advcluster_dagster.sources.imports.lm_eval_samples import (
    LmEvalSamples,
    is_lm_eval_name,
    is_lm_eval_samples,
    lm_eval_task,
)
from advcluster_dagster.sources.imports.logged_trials import EvaluationLog
from advcluster_dagster.sources.imports.source_files import access_fault, walk_files

LogFormat = Literal["inspect_logs", "lm_eval_samples", "mapped_records"]

_MOST_NAMES = 20


@dataclass(frozen=True)
class _Tool:
    """A tool whose logs are read: by what a file holds, and by the name that it bears."""

    source_format: LogFormat
    is_log: Callable[[Path], bool]
    is_named: Callable[[Path], bool]
    task_in_name: Callable[[Path], str | None]
    open: Callable[[Path], EvaluationLog]


_TOOLS = (
    _Tool("inspect_logs", is_inspect_log, is_inspect_name, inspect_task, InspectLog),
    _Tool("lm_eval_samples", is_lm_eval_samples, is_lm_eval_name, lm_eval_task, LmEvalSamples),
)


@dataclass(frozen=True)
class FoundLogs:
    """The files under a path that are logs, or bear a log's name, all of one tool.

    ``others`` lie beside them and are neither; hidden ones are not looked into.
    """

    source_format: LogFormat
    paths: tuple[Path, ...]
    open: Callable[[Path], EvaluationLog]
    task_in_name: Callable[[Path], str | None]
    others: tuple[Path, ...] = ()


def find_logs(path: Path) -> FoundLogs | None:
    """The logs that a path is or a folder holds; None without any.

    Raises:
        ImportFileError: a folder holds logs of different tools, or cannot be listed.
    """
    shown, hidden = walk_files(path) if path.is_dir() else ([path], [])
    log_files = []
    for tool in _TOOLS:
        paths = [each for each in shown if _is_log(tool, each) or (path.is_dir() and tool.is_named(each))]
        if paths:
            others = tuple(each for each in (*shown, *hidden) if each not in set(paths) and _might_be_meant(each))
            log_files.append(FoundLogs(tool.source_format, tuple(paths), tool.open, tool.task_in_name, others))
    if len(log_files) > 1:
        names = " and ".join(logs.paths[0].name for logs in log_files)
        raise ImportFileError(f"{path}: holds logs of different tools ({names}); allowed: those of one tool at a time")
    return log_files[0] if log_files else None


def _is_log(tool: _Tool, path: Path) -> bool:
    return (access_fault(path) is None or path.suffix == ".eval") and tool.is_log(path)


def _might_be_meant(path: Path) -> bool:
    return path.suffix in (".jsonl", ".json", ".eval", ".gz") and not path.name.startswith("results_")


def choose_logs(logs: FoundLogs, path: Path, benchmark: str, remarks: list[str]) -> list[EvaluationLog]:
    """The logs to import by time: those of one task without copies, one attempt at each run.

    A file that cannot be read stops the import, unless its name says that it is of another task.

    Args:
        logs: What was found.
        path: The file or folder that was named.
        benchmark: Of several tasks, the one of this name is taken.
        remarks: Told what was left aside.

    Raises:
        ImportFileError: a log cannot be read, or it is not clear which task is meant.
    """
    opened, faults = _opened(logs)
    if not opened:
        raise ImportFileError(_stopping(faults, len(logs.paths)))
    task = _chosen_task(opened, path, benchmark)
    stopping = {file: fault for file, fault in faults.items() if _may_be_of(logs.task_in_name(file), task)}
    if stopping:
        raise ImportFileError(_stopping(stopping, len(logs.paths)))
    remarks += [f"left aside, of another task than {task}: {fault}" for fault in faults.values()]
    in_order = sorted((log for log in opened if log.header.task == task), key=lambda log: log.header.order)
    if others := [log for log in opened if log.header.task != task]:
        remarks.append(f"left aside {len(others)} logs of other tasks than {task}: {_names(others)}")
    copies = equal_files([log.header.path for log in in_order])
    remarks += [f"left aside {copy}: the same bytes as {first}" for copy, first in copies.items()]
    remarks += _unread(logs)
    return _one_attempt([log for log in in_order if log.header.path not in copies], remarks)


def _opened(logs: FoundLogs) -> tuple[list[EvaluationLog], dict[Path, str]]:
    opened, faults = [], {}
    for file in logs.paths:
        try:
            opened.append(logs.open(file))
        except ImportFileError as fault:
            faults[file] = str(fault)
    return opened, faults


def _stopping(faults: dict[Path, str], n_files: int) -> str:
    """The first file that cannot be read, with the names of the others."""
    first, *others = faults.values()
    if n_files == 1:
        return first
    more = f" ({len(others)} more: {', '.join(file.name for file in list(faults)[1:_MOST_NAMES])})" if others else ""
    return (
        f"{first}{more}; nothing was imported, since a model might be left without traces: replace or remove the file"
    )


def _chosen_task(logs: Sequence[EvaluationLog], path: Path, benchmark: str) -> str:
    tasks = sorted({log.header.task for log in logs})
    named = [task for task in tasks if task.rpartition("/")[2] == benchmark]
    if len(tasks) > 1 and not benchmark:
        raise ImportFileError(f"{path}: holds logs of the tasks {', '.join(tasks)}; name one with --benchmark")
    if len(tasks) > 1 and len(named) != 1:
        raise ImportFileError(
            f"{path}: holds logs of the tasks {', '.join(tasks)}; allowed: logs of one task, or of several of which "
            f"one is named as the benchmark, {benchmark}"
        )
    return named[0] if len(tasks) > 1 else tasks[0]


def _may_be_of(named: str | None, task: str) -> bool:
    """Whether a file may be of a task by the name it bears, in which other characters than letters may be replaced."""
    if named is None:
        return True
    mine, other = ("".join(character for character in name if character.isalnum()) for name in (named, task))
    return mine == other or other.endswith(mine)


def _one_attempt(logs: Sequence[EvaluationLog], remarks: list[str]) -> list[EvaluationLog]:
    """Of attempts at the same run the last that ended well, else the last."""
    counts: dict[str, EvaluationLog] = {}
    for log in logs:
        earlier = counts.get(log.header.run)
        if earlier is None or log.header.status is None or earlier.header.status is not None:
            counts[log.header.run] = log
    chosen = [log for log in logs if counts[log.header.run] is log]
    if left := [log for log in logs if counts[log.header.run] is not log]:
        remarks.append(f"left aside {len(left)} logs of runs that were tried again: {_names(left)}")
    return chosen


def _unread(logs: FoundLogs) -> list[str]:
    """A remark on files beside the logs that might be meant and are not read."""
    names = [file.name for file in logs.others]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return [f"not read, since they are no logs: {', '.join(names[:_MOST_NAMES])}{more}"] if names else []


def _names(logs: Sequence[EvaluationLog]) -> str:
    names = [log.header.path.name for log in logs]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more

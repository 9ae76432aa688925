"""Select the logs of a folder: each file named like a log is imported, skipped with a reason, or is an error."""

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
    """A supported tool, with predicates that recognise its logs by content and by file name."""

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
class LogFiles:
    """The files under a path that are logs of one tool, by content or by name.

    ``others`` are further files next to them; hidden files are not opened.
    """

    source_format: LogFormat
    paths: tuple[Path, ...]
    open: Callable[[Path], EvaluationLog]
    task_in_name: Callable[[Path], str | None]
    others: tuple[Path, ...] = ()


def find_logs(path: Path) -> LogFiles | None:
    """Find the logs at a path or in a folder; None if there are none.

    Raises:
        ImportFileError: a folder contains logs of different tools, or cannot be listed.
    """
    shown, hidden = walk_files(path) if path.is_dir() else ([path], [])
    log_files = []
    for tool in _TOOLS:
        paths = [each for each in shown if _is_log(tool, each) or (path.is_dir() and tool.is_named(each))]
        if paths:
            others = tuple(each for each in (*shown, *hidden) if each not in set(paths) and _might_be_meant(each))
            log_files.append(LogFiles(tool.source_format, tuple(paths), tool.open, tool.task_in_name, others))
    if len(log_files) > 1:
        names = " and ".join(logs.paths[0].name for logs in log_files)
        raise ImportFileError(f"{path}: contains logs of different tools ({names}); allowed: one tool at a time")
    return log_files[0] if log_files else None


def _is_log(tool: _Tool, path: Path) -> bool:
    return (access_fault(path) is None or path.suffix == ".eval") and tool.is_log(path)


def _might_be_meant(path: Path) -> bool:
    return path.suffix in (".jsonl", ".json", ".eval", ".gz") and not path.name.startswith("results_")


def choose_logs(logs: LogFiles, path: Path, benchmark: str, remarks: list[str]) -> list[EvaluationLog]:
    """Choose the logs of one task to import, sorted by time, without copies and with one attempt per run.

    A file that cannot be read is an error, unless its name shows that it belongs to another task.

    Args:
        logs: The logs found.
        path: The file or folder given by the user.
        benchmark: Selects the task of this name if there are several.
        remarks: Receives a line for each group of skipped files.

    Raises:
        ImportFileError: a log cannot be read, or the task is ambiguous.
    """
    opened, faults = _opened(logs)
    if not opened:
        raise ImportFileError(_unreadable(faults, len(logs.paths)))
    task = _chosen_task(opened, path, benchmark)
    blocking = {file: fault for file, fault in faults.items() if _may_be_of(logs.task_in_name(file), task)}
    if blocking:
        raise ImportFileError(_unreadable(blocking, len(logs.paths)))
    remarks += [f"skipped, not of task {task}: {fault}" for fault in faults.values()]
    in_order = sorted((log for log in opened if log.header.task == task), key=lambda log: log.header.order)
    if others := [log for log in opened if log.header.task != task]:
        remarks.append(f"skipped {len(others)} logs of other tasks than {task}: {_names(others)}")
    copies = equal_files([log.header.path for log in in_order])
    remarks += [f"skipped {copy}: a copy of {first}" for copy, first in copies.items()]
    remarks += _note_others(logs)
    return _one_attempt([log for log in in_order if log.header.path not in copies], remarks)


def _opened(logs: LogFiles) -> tuple[list[EvaluationLog], dict[Path, str]]:
    opened, faults = [], {}
    for file in logs.paths:
        try:
            opened.append(logs.open(file))
        except ImportFileError as fault:
            faults[file] = str(fault)
    return opened, faults


def _unreadable(faults: dict[Path, str], n_files: int) -> str:
    """Message on the first file that cannot be read, with the names of the others."""
    first, *others = faults.values()
    if n_files == 1:
        return first
    more = f" ({len(others)} more: {', '.join(file.name for file in list(faults)[1:_MOST_NAMES])})" if others else ""
    return f"{first}{more}; nothing was imported, because a model might have no traces: replace or remove the file"


def _chosen_task(logs: Sequence[EvaluationLog], path: Path, benchmark: str) -> str:
    tasks = sorted({log.header.task for log in logs})
    named = [task for task in tasks if task.rpartition("/")[2] == benchmark]
    if len(tasks) > 1 and not benchmark:
        raise ImportFileError(f"{path}: contains logs of the tasks {', '.join(tasks)}; select one with --benchmark")
    if len(tasks) > 1 and len(named) != 1:
        raise ImportFileError(
            f"{path}: contains logs of the tasks {', '.join(tasks)}; allowed: logs of one task, or of several tasks, "
            f"one of which has the name of the benchmark, {benchmark}"
        )
    return named[0] if len(tasks) > 1 else tasks[0]


def _may_be_of(named: str | None, task: str) -> bool:
    """Whether a file name may refer to a task; only letters and digits are compared, others may be replaced."""
    if named is None:
        return True
    in_name, actual = ("".join(character for character in name if character.isalnum()) for name in (named, task))
    return in_name == actual or actual.endswith(in_name)


def _one_attempt(logs: Sequence[EvaluationLog], remarks: list[str]) -> list[EvaluationLog]:
    """Keep one attempt per run: the last successful one, else the last."""
    attempts: dict[str, EvaluationLog] = {}
    for log in logs:
        earlier = attempts.get(log.header.run)
        if earlier is None or log.header.status is None or earlier.header.status is not None:
            attempts[log.header.run] = log
    chosen = [log for log in logs if attempts[log.header.run] is log]
    if retried := [log for log in logs if attempts[log.header.run] is not log]:
        remarks.append(f"skipped {len(retried)} logs of runs that were retried: {_names(retried)}")
    return chosen


def _note_others(logs: LogFiles) -> list[str]:
    """Remark on files next to the logs that are not logs of the tool."""
    names = [file.name for file in logs.others]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return [f"not read, because they are not logs: {', '.join(names[:_MOST_NAMES])}{more}"] if names else []


def _names(logs: Sequence[EvaluationLog]) -> str:
    names = [log.header.path.name for log in logs]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more

"""Find and read result files of the paper's own evaluation scripts: DOMAIN/BENCHMARK/MODEL/N_runs.json.

A file is read whole and takes several times its size in memory.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.sources.imports.copies import redundant_runs
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.fields import SpelledFloat
from advcluster_dagster.sources.imports.source_files import kind_fault, walk_files
from advcluster_dagster.sources.imports.targets import Naming, check_benchmark, family_models
from advcluster_dagster.study.study import Study

_LAYOUT = "allowed: DOMAIN/BENCHMARK/MODEL/10_runs.json"
_SUFFIX = "_runs.json"


class ResultFile(NamedTuple):
    """A result file with domain, benchmark, family and role from its path."""

    domain: str
    benchmark: str
    family: str
    role: Role
    path: Path


def find_result_files(
    folder: Path, study: Study, family: str | None, benchmark: str | None, remarks: list[str]
) -> list[ResultFile]:
    """Find every result file under a folder, listed once per family that it belongs to.

    Args:
        folder: The folder; links in it are followed.
        study: The study.
        family: The family of the models; None for every family that has a model of a file's name.
        benchmark: Only this benchmark; None for all.
        remarks: Receives a line on files that are named like result files but ignored.

    Raises:
        ImportFileError: the folder contains none, or one for a model that is not in the study.
    """
    if not folder.is_dir():
        raise ImportFileError(f"{folder}: not a folder, so it contains no result files; {_LAYOUT}")
    shown_files, _ = walk_files(folder)
    named = [path for path in shown_files if "_runs" in path.name]
    placed = [path for path in named if path.name.endswith(_SUFFIX) and len(path.relative_to(folder).parts) >= 4]
    misplaced = [path.relative_to(folder).as_posix() for path in named if path not in placed]
    owned = [file for path in placed for file in _owners(path, folder, study, family, benchmark)]
    if not owned:
        hint = f" ({misplaced[0]} has another path or name)" if misplaced else _hint(shown_files)
        raise ImportFileError(f"{folder}: contains no result files{hint}; {_LAYOUT}")
    if misplaced:
        remarks.append(f"not read, because of their path or name: {', '.join(misplaced[:20])}; {_LAYOUT}")
    return sorted(owned)


def _hint(files: list[Path]) -> str:
    """Suggest how to import a folder of other files."""
    lines = next((path for path in files if ".json" in path.name), None)
    return f" and no logs; if {lines.name} contains traces, pass that file itself" if lines else " and no logs"


def _owners(path: Path, folder: Path, study: Study, family: str | None, benchmark: str | None) -> list[ResultFile]:
    domain, named, *model_parts = path.relative_to(folder).parts[:-1]
    if benchmark not in (named, None):
        return []
    check_benchmark(study, domain, named, path)
    known = {name: family_models(study, name, path) for name in ([family] if family else study.families)}
    model = "/".join(model_parts)
    owners = [name for name in known if model in known[name]]
    if not owners:
        allowed = ", ".join(name for models in known.values() for name in models.names)
        raise ImportFileError(f"{path}, folder of the model: {shown(model)}; allowed: {allowed}")
    naming = Naming(model, str(path), "folder of the model", remedy="name the folder after the label, {labels}")
    return [ResultFile(domain, named, name, known[name].find(naming).role, path) for name in owners]


def read_runs(content: bytes, path: Path) -> list[list[dict[str, Any]]]:
    """Records of the runs of a file, in run_id order; in file order unless all have distinct integer ids.

    Raises:
        ImportFileError: the file contains no runs with records.
    """
    if fault := kind_fault(path, content[:4096]):
        raise ImportFileError(f"{path}: not a result file: {fault}")
    try:
        document = json.loads(content.decode("utf-8-sig"), parse_float=SpelledFloat)
    except UnicodeDecodeError as error:
        raise ImportFileError(f"{path}: byte {error.start + 1} is not UTF-8; allowed: UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ImportFileError(f"{path}: invalid JSON: {error}") from None
    runs = document.get("runs") if isinstance(document, dict) else None
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        raise ImportFileError(f"{path}, field 'runs': allowed: a list of one or more runs")
    ids = [run.get("run_id") for run in runs]
    if all(type(run_id) is int for run_id in ids) and len(set(ids)) == len(ids):
        runs.sort(key=lambda run: run["run_id"])
    return [_records(run, f"{path}, run {number}") for number, run in enumerate(runs)]


def _records(run: dict[str, Any], where: str) -> list[dict[str, Any]]:
    records = run.get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ImportFileError(f"{where}, field 'records': allowed: a list of objects")
    return records


def without_repeats(
    runs: list[list[dict[str, Any]]], path: Path, remarks: list[str]
) -> dict[int, list[dict[str, Any]]]:
    """The runs by index, without those that repeat another in every response and so are not separate trials."""
    answered = [{str(record.get("question")): hash(str(record.get("full_response"))) for record in run} for run in runs]
    copies = redundant_runs(answered)
    remarks += [
        f"skipped run {copy} of {path}: it repeats run {superset} in every response, so it is not another trial"
        for copy, superset in sorted(copies.items())
    ]
    return {number: run for number, run in enumerate(runs) if number not in copies}

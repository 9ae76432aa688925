"""Export traces and verdicts as Inspect logs (`.eval`), to browse in Inspect View."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from upath import UPath

from advcluster_dagster.contracts.columns import ROLES, Role
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.exports.inspect_samples import RoleLog, eval_log
from advcluster_dagster.sources.imports.inspect_logs import inspect_module
from advcluster_dagster.storage.table_files import read_stamp, scan_file, table_path
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study


class ExportError(AdvClusterError, ValueError):
    """Nothing can be exported; the one-line message says what is missing and what to do."""


@dataclass(frozen=True)
class ExportedLog:
    """A written log."""

    path: Path
    n_samples: int


def export_inspect_logs(
    lake: UPath, study: Study, family: str, folder: Path, domain: str | None = None
) -> Iterator[ExportedLog]:
    """Write one log per domain, benchmark and role of a family: FOLDER/FAMILY/DOMAIN/BENCHMARK_ROLE.eval.

    Existing files are replaced. Yields each log once it is written; benchmarks without traces are skipped.

    Args:
        lake: Folder of the tables.
        study: The study.
        family: Family of the study.
        folder: Output folder.
        domain: Only this domain; None for all graded ones.

    Raises:
        ExportError: the family or domain does not exist, or its grading is missing or older than its traces.
        MissingInspectError: inspect-ai is not installed.
    """
    inspect_module("log")
    for name in _graded_domains(lake, study, family, domain):
        for benchmark in study.domains[name]:
            for role in ROLES:
                content = _role_log(lake, study, Partition(family, name), benchmark, role)
                if content.rows.height:
                    path = folder / family / name / f"{benchmark}_{role}.eval"
                    _write(content, path)
                    yield ExportedLog(path, content.rows.height)


def _graded_domains(lake: UPath, study: Study, family: str, domain: str | None) -> Sequence[str]:
    """The graded domains to export, after checking that traces and questions are unchanged since grading."""
    for kind, name, known in (("family", family, study.families), ("domain", domain, study.domains)):
        if name is not None and name not in known:
            raise ExportError(f"study {study.study} has no {kind} {name!r}; allowed: {', '.join(known)}")
    exported = [domain] if domain else list(study.domains)
    graded = [name for name in exported if _is_graded(lake, study, Partition(family, name))]
    if not graded:
        raise ExportError(
            f"study {study.study}: no traces of family {family}{f' in domain {domain}' if domain else ''} are graded "
            f"yet; run it first: advcluster run {study.study}"
        )
    return graded


def _is_graded(lake: UPath, study: Study, partition: Partition) -> bool:
    """Whether a partition is graded.

    Raises:
        ExportError: traces or questions have changed since they were graded.
    """
    graded = read_stamp(table_path(lake, study.study, "graded_trials", partition))
    if graded is None:
        return False
    sources = {f"{role}_traces": partition for role in ROLES}
    sources["benchmark_questions"] = Partition(domain=partition.domain)
    for table, source in sources.items():
        file_stamp = read_stamp(table_path(lake, study.study, table, source))
        if file_stamp is None or file_stamp.content_hash != graded.upstream.get(f"{table}@{source.label}"):
            raise ExportError(
                f"study {study.study}: {table} of {source.label} changed after it was graded; "
                f"run it first: advcluster run {study.study}"
            )
    return True


def _role_log(lake: UPath, study: Study, partition: Partition, benchmark: str, role: Role) -> RoleLog:
    """The rows of one log and their metadata."""
    assert partition.family is not None
    assert partition.domain is not None
    graded_path = table_path(lake, study.study, "graded_trials", partition)
    traces_path = table_path(lake, study.study, f"{role}_traces", partition)
    questions = scan_file(table_path(lake, study.study, "benchmark_questions", Partition(domain=partition.domain)))
    graded = scan_file(graded_path).filter(role=role, benchmark=benchmark)
    verdicts = graded.select("question_id", "trial", "prediction", "verdict", "is_correct", "grader", "grader_version")
    rows = (
        scan_file(traces_path)
        .filter(benchmark=benchmark)
        .join(questions.drop("benchmark", "domain"), on="question_id", how="left")
        .join(verdicts, on=["question_id", "trial"], how="left")
        .sort("question_id", "trial")
        .collect()
    )
    stamp = read_stamp(traces_path)
    return RoleLog(
        study=study.study,
        family=partition.family,
        domain=partition.domain,
        benchmark=benchmark,
        role=role,
        model=study.families[partition.family].model_of(role).model,
        n_trials=study.trials,
        answer_place=study.benchmark(benchmark).model_dump(include={"answer_marker", "answer_field", "whole_response"}),
        traces_hash=stamp.content_hash if stamp else "",
        graded_at=graded_path.stat().st_mtime,
        rows=rows.with_columns(pl.col("verdict").fill_null("not_graded")),
    )


def _write(content: RoleLog, path: Path) -> None:
    """Write a log atomically, via a temporary file next to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.stem}.{os.getpid()}.eval")
    try:
        inspect_module("log").write_eval_log(eval_log(content), str(staged), format="eval")
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)

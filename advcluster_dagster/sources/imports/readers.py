"""Read imported questions, traces and their provenance."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from advcluster_dagster.contracts.columns import ROLES, Role
from advcluster_dagster.contracts.inference import BENCHMARK_QUESTIONS, LARGER_TRACES
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.provenance import read_provenance, verify_pages
from advcluster_dagster.sources.imports.staging import questions_file, traces_file
from advcluster_dagster.study.study import Study

_QUESTION_SCHEMA = pl.Schema({column.name: column.dtype for column in BENCHMARK_QUESTIONS.columns})
_TRACE_SCHEMA = pl.Schema({column.name: column.dtype for column in LARGER_TRACES.columns})


def read_imported_questions(imports_root: Path, study: Study, domain: str) -> pl.DataFrame:
    """Questions of the domain's benchmarks with source `imported`, without the partition column, in file order.

    Raises:
        ImportFileError: a benchmark's questions are not imported yet.
    """
    frames = [pl.DataFrame(schema=_QUESTION_SCHEMA)]
    for benchmark in study.domains[domain]:
        if study.benchmark(benchmark).source == "imported":
            path = questions_file(imports_root, study.study, domain, benchmark)
            if not path.exists():
                raise ImportFileError(
                    f"study {study.study}: benchmark {benchmark} of domain {domain} has no imported questions yet; "
                    "import them, or remove the benchmark from the study"
                )
            verify_pages(path)
            # Files imported by an earlier version have no source_key.
            frames.append(pl.read_parquet(path, schema=_QUESTION_SCHEMA, missing_columns="insert"))
    return pl.concat(frames).with_columns(pl.col("source_key").fill_null(pl.col("question_id")))


def has_imported_traces(imports_root: Path, study: Study, family: str, domain: str) -> bool:
    """Whether traces of either model were imported for any benchmark of the domain."""
    return any(_trace_files(imports_root, study, family, domain, role) for role in ROLES)


def scan_imported_traces(imports_root: Path, study: Study, family: str, domain: str, role: Role) -> pl.LazyFrame:
    """Traces of one role on the domain's benchmarks, without the partition columns, in file order.

    Trials beyond the study's current number are dropped. The model column holds the study's current name of the model.

    Raises:
        ImportFileError: the traces were imported for a model that no longer has this role.
    """
    model = study.families[family].model_of(role)
    other = study.families[family].model_of("smaller" if role == "larger" else "larger")
    frames = [pl.LazyFrame(schema=_TRACE_SCHEMA)]
    for path in _trace_files(imports_root, study, family, domain, role):
        provenance = read_provenance(path)
        imported_model, label = provenance["models"][role], provenance.get("labels", {}).get(role)
        if imported_model not in (model.model, *model.aliases):
            raise ImportFileError(
                f"study {study.study}: the {role} model of family {family} is {model.model}, the traces of "
                f"{path.parent.name} were imported for {imported_model}; import them again"
            )
        if label is not None and label == other.label:
            raise ImportFileError(
                f"study {study.study}: the traces of {path.parent.name} imported for the {role} model of family"
                f" {family} belong to {label!r}, which is now the other model; import them again"
            )
        verify_pages(path)
        frames.append(pl.scan_parquet(path, schema=_TRACE_SCHEMA, glob=False))
    return pl.concat(frames).filter(pl.col("trial") < study.trials).with_columns(model=pl.lit(model.model))


def import_provenance(
    imports_root: Path, study: Study, domain: str, family: str | None = None, role: Role | None = None
) -> list[dict[str, Any]]:
    """Provenance of a domain's questions, or with family and role of its traces, one record per benchmark.

    Records have the fields of :class:`~advcluster_dagster.sources.imports.provenance.ImportSummary`.
    """
    if family is None or role is None:
        paths = (questions_file(imports_root, study.study, domain, name) for name in study.domains[domain])
        return [read_provenance(path) for path in paths if path.exists()]
    return [read_provenance(path) for path in _trace_files(imports_root, study, family, domain, role)]


def _trace_files(imports_root: Path, study: Study, family: str, domain: str, role: Role) -> list[Path]:
    def paths() -> Iterator[Path]:
        for benchmark in study.domains[domain]:
            yield traces_file(imports_root, study.study, family, domain, benchmark, role)

    return [path for path in paths() if path.exists()]

"""Join the explorer's tables into one row per pair of traces and one row per advantage."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.study.models import Family

#: Tables of a family and domain that the joins read; taxonomy tables may contain other domains too.
TABLES_READ = (
    "benchmark_questions",
    "larger_traces",
    "smaller_traces",
    "graded_trials",
    "trace_pairs",
    "advantage_corpus",
    "first_errors",
    "extraction_failures",
    "deduplicated_advantages",
    "taxonomy_assignments",
)
_OF_TRACE = ("model", "response", "finish_reason", "completion_tokens")
_OF_GRADE = ("prediction", "verdict")


@dataclass(frozen=True)
class DomainEvidence:
    """Rows of one family and domain; see :func:`pair_rows` and :func:`advantage_rows`."""

    domain: str
    pairs: pl.DataFrame
    advantages: pl.DataFrame


@dataclass(frozen=True)
class FamilyEvidence:
    """Data of a family; ``domains`` is iterated once, to limit the number of traces in memory.

    ``clusters`` are the rows of its final taxonomy; if empty, ``no_taxonomy_reason`` may give the reason.
    """

    name: str
    models: Family
    clusters: pl.DataFrame
    no_taxonomy_reason: str | None
    domains: Iterable[DomainEvidence]


def join_evidence(domain: str, tables: Mapping[str, pl.LazyFrame]) -> DomainEvidence:
    """Join the tables of ``TABLES_READ`` of one family and domain."""
    pairs = pair_rows(tables)
    return DomainEvidence(domain, pairs, advantage_rows(tables, pairs))


def pair_rows(tables: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """One row per pair: question, both traces with their grades, first error, failure.

    Rows are sorted by benchmark, question and pair; columns of a trace are prefixed with its role. Missing values are
    null: deleted traces, the first error of a failed extraction, the failure (``reason``, ``raw_reply``) of a
    successful one.
    """
    drawn = tables["trace_pairs"].select("pair_id", "question_id", "pair_index", "larger_trial", "smaller_trial")
    rows = drawn
    for role in ROLES:
        on = ["question_id", f"{role}_trial"]
        for table, columns in ((tables[f"{role}_traces"], _OF_TRACE), (_grades(tables, role), _OF_GRADE)):
            named = table.select(
                "question_id", pl.col("trial").alias(on[1]), *(pl.col(n).alias(f"{role}_{n}") for n in columns)
            )
            # Only the drawn trials are kept in memory.
            rows = rows.join(named.join(drawn, on=on, how="semi"), on=on, how="left")
    questions = tables["benchmark_questions"].select("question_id", "benchmark", "question", "answer")
    errors = tables["first_errors"].select("pair_id", "stage", "depth", "description")
    failures = tables["extraction_failures"].select("pair_id", "reason", "raw_reply")
    return (
        rows.join(questions, on="question_id", how="left")
        .join(errors, on="pair_id", how="left")
        .join(failures, on="pair_id", how="left")
        .sort("benchmark", "question_id", "pair_index")
        .collect(engine="streaming")
    )


def advantage_rows(tables: Mapping[str, pl.LazyFrame], pairs: pl.DataFrame) -> pl.DataFrame:
    """One row per advantage in the order of the pairs; ``cluster_id`` and ``duplicate_of`` may be null."""
    order = pairs.lazy().select("pair_id", place=pl.int_range(pl.len()))
    repeats = tables["deduplicated_advantages"].select("advantage_id", "duplicate_of")
    clusters = tables["taxonomy_assignments"].select("advantage_id", "cluster_id")
    return (
        tables["advantage_corpus"]
        .select("advantage_id", "pair_id", "position", "advantage", "evidence", "rule_violations", "extractor")
        .join(repeats, on="advantage_id", how="left")
        .join(clusters, on="advantage_id", how="left")
        .join(order, on="pair_id", how="inner")
        .sort("place", "position")
        .drop("place")
        .collect()
    )


def _grades(tables: Mapping[str, pl.LazyFrame], role: str) -> pl.LazyFrame:
    return tables["graded_trials"].filter(pl.col("role") == role)

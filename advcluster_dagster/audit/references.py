"""References between tables, and counts derived from other tables' rows: their declaration and verification."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from advcluster_dagster.audit.files import TableFile
from advcluster_dagster.audit.records import Break, TableCount
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.study.partition import Partition

_PARTITION = ("family", "domain")


@dataclass(frozen=True)
class Reference:
    """Rows of ``table`` (filtered by ``where``) refer to rows of ``target``; ``columns`` maps their columns to its.

    Family and domain are compared if both tables have them. Nulls are not references.
    """

    table: str
    target: str
    columns: Mapping[str, str]
    where: pl.Expr | None = None
    target_where: pl.Expr | None = None


@dataclass(frozen=True)
class Recount:
    """``column`` of ``table`` is the number of rows of ``source`` (filtered by ``where``) with the same ``by``."""

    table: str
    column: str
    source: str
    by: tuple[str, ...] = ()
    where: pl.Expr | None = None


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_CANDIDATE = _same("pca_dim", "n_clusters")
REFERENCES = (
    Reference("larger_traces", "benchmark_questions", _same("question_id")),
    Reference("smaller_traces", "benchmark_questions", _same("question_id")),
    *(
        Reference("graded_trials", f"{role}_traces", _same("question_id", "trial"), where=pl.col("role") == role)
        for role in ("larger", "smaller")
    ),
    Reference("grading_panel", "benchmark_questions", _same("question_id", "answer")),
    Reference("grading_panel", "graded_trials", _same("question_id", "prediction")),
    Reference("graded_trials", "grading_panel", _same("question_id", "prediction"), where=pl.col("grader") == "panel"),
    Reference("panel_votes", "grading_panel", _same("question_id", "prediction")),
    Reference("grading_disagreements", "benchmark_questions", _same("question_id", "answer")),
    Reference("grading_disagreements", "graded_trials", _same("question_id", "role", "trial", "is_correct", "verdict")),
    Reference("grading_disagreements", "graded_trials", _same("question_id", "role", "trial", "prediction")),
    Reference("pass_rate_table", "benchmark_questions", _same("question_id")),
    Reference("trace_costs", "graded_trials", _same("question_id", "role", "trial")),
    Reference("trace_ratings", "graded_trials", _same("question_id", "role", "trial")),
    Reference("trace_qualities", "trace_ratings", _same("question_id", "role", "trial", "dimension")),
    Reference("quality_deltas", "trace_pairs", _same("pair_id")),
    Reference("preference_pairs", "benchmark_questions", _same("question_id")),
    Reference("preference_selections", "preference_pairs", _same("preference_id")),
    Reference("analysis_question_set", "pass_rate_table", _same("question_id")),
    Reference("trace_pairs", "analysis_question_set", _same("question_id")),
    *(
        Reference(
            "trace_pairs",
            "graded_trials",
            {"question_id": "question_id", f"{role}_trial": "trial"},
            target_where=(pl.col("role") == role) & (pl.col("is_correct") == is_correct),
        )
        for role, is_correct in (("larger", True), ("smaller", False))
    ),
    Reference("advantage_corpus", "trace_pairs", _same("pair_id", "question_id")),
    Reference("first_errors", "trace_pairs", _same("pair_id", "question_id")),
    Reference("extraction_failures", "trace_pairs", _same("pair_id")),
    Reference("advantage_embeddings", "advantage_corpus", _same("advantage_id")),
    Reference("deduplicated_advantages", "advantage_embeddings", _same("advantage_id")),
    Reference(
        "deduplicated_advantages",
        "deduplicated_advantages",
        {"duplicate_of": "advantage_id"},
        target_where=pl.col("is_kept"),
    ),
    Reference("cluster_assignments", "candidate_clusterings", _CANDIDATE, target_where=pl.col("is_retained")),
    Reference("cluster_assignments", "deduplicated_advantages", _same("advantage_id"), target_where=pl.col("is_kept")),
    Reference("cluster_assignments", "cluster_summaries", {**_CANDIDATE, **_same("cluster_id")}),
    Reference("cluster_summaries", "advantage_corpus", {"shown_ids": "advantage_id"}),
    Reference("candidate_reviews", "candidate_clusterings", _CANDIDATE),
    Reference(
        "final_taxonomy", "cluster_summaries", {**_CANDIDATE, **_same("cluster_id", "size", "tag", "definition")}
    ),
    Reference("final_taxonomy", "candidate_reviews", _CANDIDATE),
    Reference("taxonomy_assignments", "final_taxonomy", _same("cluster_id")),
    Reference("taxonomy_assignments", "cluster_assignments", _same("advantage_id", "cluster_id")),
    Reference("taxonomy_assignments", "advantage_corpus", _same("advantage_id", "domain")),
    Reference("domain_distribution", "final_taxonomy", _same("cluster_id")),
    Reference("domain_shares", "final_taxonomy", _same("cluster_id")),
    Reference("worked_cases", "taxonomy_assignments", _same("cluster_id", "advantage_id", "domain")),
    Reference("worked_cases", "benchmark_questions", _same("question_id", "question")),
    Reference("name_checks", "final_taxonomy", _same("cluster_id"), where=pl.col("cluster_id") >= 0),
    Reference("theme_members", "final_taxonomy", _same("cluster_id")),
    Reference("theme_members", "themes", _same("theme_id")),
    Reference("cluster_stabilities", "candidate_clusterings", _CANDIDATE, target_where=pl.col("is_retained")),
    Reference("evidence_checks", "advantage_corpus", _same("advantage_id")),
    Reference("question_statistics", "benchmark_questions", _same("question_id", "source_key")),
    Reference("gap_tests", "question_statistics", _same("question_id", "p_value")),
    Reference("error_dispersion", "analysis_question_set", _same("question_id")),
)
_BY_QUESTION = ("question_id",)
RECOUNTS = (
    *(
        Recount("pass_rate_table", f"{role}_n_{name}", "graded_trials", _BY_QUESTION, (pl.col("role") == role) & rule)
        for role in ("larger", "smaller")
        for name, rule in (
            ("trials", pl.lit(True)),
            ("scored", pl.col("is_correct").is_not_null()),
            ("correct", pl.col("is_correct").fill_null(False)),
        )
    ),
    Recount("final_taxonomy", "size", "taxonomy_assignments", ("cluster_id",)),
    Recount("domain_shares", "n_advantages", "taxonomy_assignments", ("cluster_id", "domain")),
    Recount("domain_distribution", "n_advantages", "taxonomy_assignments", ("cluster_id", "domain")),
    Recount("error_dispersion", "n_errors", "first_errors", _BY_QUESTION),
    *(
        Recount("error_dispersion", f"n_depth_{depth}", "first_errors", _BY_QUESTION, pl.col("depth") == depth)
        for depth in range(1, 6)
    ),
    Recount("edi_summary", "n_questions", "error_dispersion"),
)


@dataclass
class Rows:
    """The files of all tables, and their rows concatenated by table."""

    files: Mapping[str, Mapping[Partition, TableFile]]
    _frames: dict[str, pl.DataFrame] = field(default_factory=dict)

    def all(self, table: str) -> pl.DataFrame:
        """Return the rows of every partition that was read, without embeddings."""
        if table not in self._frames:
            files = self.files.get(table, {}).values()
            frames = [file.rows.drop("embedding", strict=False) for file in files if file.rows.height]
            self._frames[table] = pl.concat(frames) if frames else TABLES[table].empty().drop("embedding", strict=False)
        return self._frames[table]

    def without_unsound(self, table: str, other: str) -> pl.DataFrame:
        """Return the rows of a table, without partitions that depend on an unsound file of the ``other`` table.

        Rows missing from an unsound file are reported with the file, not once more for every reference to them.
        """
        rows = self.all(table)
        for partition in self._unsound.get(other, []):
            shared = [name for name in partition.columns if name in TABLES[table].partition_columns]
            rows = rows.remove(pl.all_horizontal(pl.col(name) == partition.columns[name] for name in shared))
        return rows

    @cached_property
    def _unsound(self) -> dict[str, list[Partition]]:
        return {
            table: [partition for partition, file in files.items() if not file.is_sound]
            for table, files in self.files.items()
        }


def check_references(rows: Rows, counts: Mapping[str, TableCount]) -> list[Break]:
    """Return breaks for unresolved references and wrong counts; tables that were not read are skipped."""
    breaks: list[Break] = []
    for reference in REFERENCES:
        if reference.table in rows.files and reference.target in rows.files:
            breaks += _unresolved(reference, rows, counts[reference.table])
    for recount in RECOUNTS:
        if recount.table in rows.files and recount.source in rows.files:
            breaks += _miscounted(recount, rows, counts[recount.table])
    return breaks


def _unresolved(reference: Reference, rows: Rows, count: TableCount) -> Iterator[Break]:
    source, target = rows.without_unsound(reference.table, reference.target), rows.all(reference.target)
    if reference.where is not None:
        source = source.filter(reference.where)
    if reference.target_where is not None:
        target = target.filter(reference.target_where)
    for name in reference.columns:
        if source.schema[name] == pl.List(pl.String):
            source = source.explode(name)
    source = source.drop_nulls([name for name in reference.columns if name not in ("tag", "definition")])
    count.n_references += source.height
    shared = _shared(reference.table, reference.target, reference.columns)
    left, right = [*shared, *reference.columns], [*shared, *reference.columns.values()]
    lost = source.join(target, left_on=left, right_on=right, how="anti", nulls_equal=True)
    named = " ".join(f"{name} {{{name}}}" for name in reference.columns if name not in ("tag", "definition"))
    for row in lost.iter_rows(named=True):
        yield _break(reference.table, row, f"{reference.target} has no such row: {named.format(**row)}")


def _miscounted(recount: Recount, rows: Rows, count: TableCount) -> Iterator[Break]:
    stated, source = rows.without_unsound(recount.table, recount.source), rows.all(recount.source)
    if recount.where is not None:
        source = source.filter(recount.where)
    by = [*_shared(recount.table, recount.source, recount.by), *recount.by]
    counted = source.group_by(by).agg(pl.len().cast(pl.Int64).alias("n_counted"))
    count.n_references += stated.height
    compared = stated.join(counted, on=by, how="left").with_columns(pl.col("n_counted").fill_null(0))
    for row in compared.filter(pl.col(recount.column) != pl.col("n_counted")).iter_rows(named=True):
        fault = f"{recount.column} is {row[recount.column]}, {recount.source} has {row['n_counted']} such rows"
        yield _break(recount.table, row, fault)


def _shared(table: str, other: str, besides: Iterable[str]) -> list[str]:
    both = set(TABLES[table].partition_columns) & set(TABLES[other].partition_columns)
    return [name for name in _PARTITION if name in both and name not in besides]


def _break(table: str, row: Mapping[str, object], fault: str) -> Break:
    places = {name: str(row[name]) for name in TABLES[table].partition_columns}
    return Break(table, Partition(**places), fault, {name: row[name] for name in TABLES[table].key})

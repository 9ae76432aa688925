"""The audit page next to the report: what was verified, and the provenance of every cluster and index.

Like the report, the page is self-contained, and every text on it is escaped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from advcluster_dagster.audit.verify import Verification
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.formatting import foreign_text
from advcluster_dagster.report.html import policy_hash, shipped_text, template_environment
from advcluster_dagster.storage.files import atomic_write
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition

PAGE = "audit.html"
_HASH = 12


@dataclass(frozen=True)
class Group:
    """A result and its source rows, each a tuple of cells."""

    title: str
    facts: str
    rows: tuple[tuple[Any, ...], ...]


def write_page(home: Home, verification: Verification) -> Path:
    """Write the page atomically next to the report; return its path."""
    folder = home.reports / verification.study.study
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    with atomic_write(path) as staged:
        staged.write_text(render_page(verification), encoding="utf-8")
    return path


def render_page(verification: Verification) -> str:
    """Render the page as HTML; equal verifications give equal text."""
    stylesheet = shipped_text("advcluster_dagster.audit", "audit.css")
    environment = template_environment("advcluster_dagster.audit")
    environment.filters["foreign"] = _cell
    return environment.get_template("audit.html.j2").render(
        study=verification.study.study,
        stylesheet=Markup(stylesheet),
        style_hash=policy_hash(stylesheet),
        verification=verification,
        counts=list(verification.counts.values()),
        breaks=[line.line for line in verification.breaks],
        clusters=list(_clusters(verification)),
        indices=list(_indices(verification)),
        tables=list(_tables(verification)),
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return foreign_text(None if value is None else str(value), 400)


def _clusters(verification: Verification) -> Iterator[Group]:
    """Yield each cluster with its advantages: text, first error, both traces, calls, prompt."""
    rows = verification.rows
    pair = ["family", "domain", "pair_id"]
    advantages = (
        rows.all("taxonomy_assignments")
        .join(rows.all("advantage_corpus"), on=["family", "domain", "advantage_id"], how="left")
        .join(rows.all("trace_pairs").drop("question_id"), on=pair, how="left")
        .join(rows.all("first_errors").drop("question_id"), on=pair, how="left")
        .sort("family", "cluster_id", "domain", "advantage_id")
    )
    rows_by_cluster: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in advantages.iter_rows(named=True):
        rows_by_cluster.setdefault((row["family"], row["cluster_id"]), []).append(_advantage(verification, row))
    for row in rows.all("final_taxonomy").sort("family", "cluster_id").iter_rows(named=True):
        key = (row["pca_dim"], row["n_clusters"], row["cluster_id"])
        call = _call(verification, "cluster_summaries", Partition(row["family"]), *key)
        facts = (
            f"{row['size']} advantages, {row['kind']}, d' {row['pca_dim']}, K {row['n_clusters']}, named by call {call}"
        )
        title = f"{row['family']}/{row['cluster_id']} {row['tag'] or '(not named)'}"
        yield Group(title, facts, tuple(rows_by_cluster.get((row["family"], row["cluster_id"]), ())))


def _advantage(verification: Verification, row: Mapping[str, Any]) -> tuple[Any, ...]:
    partition = Partition(row["family"], row["domain"])
    traces = (
        f"trial {trial}, call {_call(verification, f'{role}_traces', partition, row['question_id'], trial)}"
        for role, trial in (("larger", row["larger_trial"]), ("smaller", row["smaller_trial"]))
    )
    extraction = _call(verification, "advantage_corpus", partition, row["pair_id"])
    prompt = str(row["prompt_hash"])[:_HASH]
    return (row["advantage_id"], row["domain"], row["advantage"], row["stage"], *traces, extraction, prompt)


def _call(verification: Verification, table: str, partition: Partition, *key: Any) -> str:
    """Return the start of a call's id; ``none`` if the row was imported or its call is lost."""
    return verification.calls.get((table, partition), {}).get(key, "none")[:_HASH]


def _indices(verification: Verification) -> Iterator[Group]:
    """Yield each mean index with its questions: errors by depth and pairs."""
    rows = verification.rows
    drawn = rows.all("trace_pairs").select("family", "domain", "pair_id", "pair_index")
    errors = rows.all("first_errors").join(drawn, on=["family", "domain", "pair_id"], how="left")
    pairs = errors.group_by("family", "domain", "question_id").agg(pl.col("pair_index").sort())
    questions = rows.all("error_dispersion").join(pairs, on=["family", "domain", "question_id"], how="left")
    depths = [f"n_depth_{depth}" for depth in range(1, 6)]
    rows_by_partition: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for row in questions.sort("question_id").iter_rows(named=True):
        numbers = ", ".join("lost" if number is None else str(number) for number in row["pair_index"] or ())
        cells = (row["question_id"], row["n_errors"], *(row[name] for name in depths), row["edi"], numbers)
        rows_by_partition.setdefault((row["family"], row["domain"]), []).append(cells)
    for row in rows.all("edi_summary").sort("family", "domain").iter_rows(named=True):
        facts = f"{row['model']}, mean {_cell(row['mean_edi'])}, deviation {_cell(row['std_edi'])},"
        facts += f" {row['n_questions']} questions, {row['n_undefined']} undefined"
        source_rows = rows_by_partition.get((row["family"], row["domain"]), ())
        yield Group(f"{row['family']}/{row['domain']}", facts, tuple(source_rows))


def _tables(verification: Verification) -> Iterator[tuple[Any, ...]]:
    """Yield a row for every file: its provenance and whether it is sound."""
    for table in TABLES:
        for partition, file in verification.files.get(table, {}).items():
            stamp, materialisation = file.stamp, verification.made[table].get(partition)
            names = ("n_rows", "content_hash", "code", "settings", "prompts")
            yield (
                table,
                partition.label,
                *(str(getattr(stamp, name))[:_HASH] if stamp else None for name in names),
                materialisation.run_id[:8] if materialisation else None,
                f"{materialisation.time:%Y-%m-%d %H:%M:%S}" if materialisation else None,
                "sound" if file.is_sound else "not sound",
            )

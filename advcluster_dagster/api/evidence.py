"""Clusters and pairs of traces as objects with notebook display."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.explorer.data import TABLES_READ, pair_rows
from advcluster_dagster.science.quotes import find_passage
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import scan_file, table_path
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study as StudySettings

_TEXT_STYLE = "white-space:pre-wrap;overflow-wrap:anywhere;vertical-align:top;text-align:left;width:50%"


@dataclass(frozen=True)
class Cluster:
    """A cluster of the final taxonomy.

    Attributes:
        cluster_id: Cluster number.
        tag: Short name; None if naming failed.
        definition: What the members have in common; None if naming failed.
        size: Number of kept advantages.
        kind: common, specialised or mixed; None if no gap between the models is established.
        main_domain: Domain with the largest share.
        stability: very stable, stable, pattern or unstable; None if unknown.
    """

    cluster_id: int
    tag: str | None
    definition: str | None
    size: int
    kind: str | None
    main_domain: str
    stability: str | None

    def _repr_html_(self) -> str:
        facts = [f"{self.size} advantages", self.kind or "no gap shown", self.stability or "stability not known"]
        name = escape(self.tag or "(not named)")
        return (
            f"<p><b>#{self.cluster_id} {name}</b> ({escape(', '.join(facts))})<br>{escape(self.definition or '')}</p>"
        )


@dataclass(frozen=True)
class Pair:
    """A right trace of the larger model paired with a wrong trace of the smaller model.

    Attributes:
        pair_id: Id of the pair in every table.
        question: The problem.
        larger: Response of the larger model.
        smaller: Response of the smaller model.
        stage: Stage of the smaller model's first error; None if the extraction failed.
        advantages: One (description, passage of the larger trace, passage of the smaller trace) per advantage.
    """

    pair_id: str
    question: str
    larger: str
    smaller: str
    stage: str | None
    advantages: tuple[tuple[str, str, str], ...]

    def _repr_html_(self) -> str:
        larger = _marked(self.larger, [passage for _, passage, _ in self.advantages])
        smaller = _marked(self.smaller, [passage for _, _, passage in self.advantages])
        listed = "".join(f"<li>{escape(text)}</li>" for text, _, _ in self.advantages)
        error = f"<p>First error: {escape(self.stage)}</p>" if self.stage else ""
        return (
            f"<p>{escape(self.question)}</p><table><tr><th>larger</th><th>smaller</th></tr>"
            f'<tr><td style="{_TEXT_STYLE}">{larger}</td><td style="{_TEXT_STYLE}">{smaller}</td></tr></table>'
            f"{error}<ul>{listed}</ul>"
        )


def clusters_of(table: Callable[..., pl.DataFrame], family: str) -> list[Cluster]:
    """The clusters of a family, largest first, with their stability in the chosen candidate."""
    keys = ["pca_dim", "n_clusters", "cluster_id"]
    stabilities = table("cluster_stabilities", family=family).select(*keys, "verdict")
    rows = (
        table("final_taxonomy", family=family)
        .join(stabilities, on=keys, how="left", maintain_order="left")
        .sort("size", "cluster_id", descending=[True, False])
    )
    # Without an established gap, no claim is made about a cluster, as in the report.
    verdict = pl.when(pl.col("kind").is_not_null()).then(pl.col("verdict"))
    columns = ("cluster_id", "tag", "definition", "size", "kind", "main_domain")
    return [Cluster(*row) for row in rows.select(*columns, verdict).iter_rows()]


def pairs_of(home: Home, study: StudySettings, family: str, domain: str) -> Iterator[Pair]:
    """The pairs of a family and domain, by question."""
    frames = {}
    for name in TABLES_READ:
        path = table_path(home.lake, study.study, name, Partition(family, domain).at(TABLES[name].level))
        frames[name] = scan_file(path) if path.exists() else TABLES[name].empty().lazy()
    columns = ("advantage", "larger_quote", "smaller_quote")
    advantages: dict[str, list[tuple[str, str, str]]] = {}
    corpus = frames["advantage_corpus"].select("pair_id", *columns).collect()
    for pair_id, *rest in corpus.iter_rows():
        advantages.setdefault(pair_id, []).append((rest[0], rest[1] or "", rest[2] or ""))
    for row in pair_rows(frames).iter_rows(named=True):
        yield Pair(
            row["pair_id"],
            row["question"] or "",
            row["larger_response"] or "",
            row["smaller_response"] or "",
            row["stage"],
            tuple(advantages.get(row["pair_id"], ())),
        )


def _marked(text: str, passages: list[str]) -> str:
    """Render the text as HTML with the passages marked."""
    spans = sorted(span for passage in passages if passage for span in find_passage(passage, text).spans[:1])
    parts, end = [], 0
    for start, stop in spans:
        if start >= end:
            parts += [escape(text[end:start]), f"<mark>{escape(text[start:stop])}</mark>"]
            end = stop
    return "".join([*parts, escape(text[end:])])

"""Steps that compare the frozen taxonomy with later data: coverage of new advantages, changes of clusters.

Not in the paper: rules of this project.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.science.semantic_clustering.corpus import ClusteringCorpus, gather_corpus
from advcluster_dagster.science.semantic_clustering.coverage import cluster_means, place
from advcluster_dagster.science.semantic_clustering.matching import match_clusters
from advcluster_dagster.storage.frozen_taxonomies import FrozenTaxonomy, chosen_by_hand, read_frozen
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

_GROUP = "semantic_clustering"
_IDENTITY = ["advantage_id", "advantage"]


def _frozen_source(home: Home, study: Study, partition: Partition) -> Any:
    return chosen_by_hand(home.taxonomies, study.study, partition.family or "")


def _frozen(step: Step, embeddings: pl.DataFrame, corpus: ClusteringCorpus) -> FrozenTaxonomy | None:
    """Return the frozen taxonomy if the current vectors are comparable with it; otherwise note the reason."""
    frozen = read_frozen(step.home.taxonomies, step.study.study, step.family)
    if frozen is None:
        step.notes["reason"] = "no taxonomy is frozen yet"
        return None
    step.facts["frozen_taxonomy"] = f"{frozen.name}, frozen {frozen.frozen_at}"
    length = len(frozen.model.mean)
    if corpus.rows.height and (corpus.embeddings.shape[1] != length or {*embeddings["embedder"]} != {frozen.embedder}):
        step.notes["reason"] = f"taxonomy {frozen.name} has different vectors: {length} numbers by {frozen.embedder}"
        return None
    return frozen


def _covers(_step: Step, coverage: pl.LazyFrame, bound: float) -> Outcome:
    n_new, n_outside = coverage.select(pl.sum("n_new"), pl.sum("n_outside")).collect().row(0)
    share = n_outside / n_new if n_new else 0.0
    return Outcome(share <= bound, {"n_new": n_new, "outside_share": share, "bound": bound})


@table_step(
    _GROUP,
    tables=("coverage_assignments", "taxonomy_coverage"),
    sources=_frozen_source,
    checks={
        "taxonomy_coverage": (
            Check(
                "covers_what_is_new",
                description="Few new advantages fit no frozen cluster.",
                judge=_covers,
                bound="max_outside_share",
            ),
        ),
    },
)
def covered_advantages(
    step: Step,
    advantage_corpus: pl.DataFrame,
    trace_pairs: pl.DataFrame,
    analysis_question_set: pl.DataFrame,
    deduplicated_advantages: pl.DataFrame,
    advantage_embeddings: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """New advantages of a family assigned to its frozen taxonomy; known ones have the same id and text."""
    corpus = gather_corpus(
        advantage_corpus, trace_pairs, analysis_question_set, deduplicated_advantages, advantage_embeddings
    )
    frozen = _frozen(step, advantage_embeddings, corpus)
    if frozen is None:
        return {name: _empty(name) for name in ("coverage_assignments", "taxonomy_coverage")}
    known_members = frozen.members.select(*_IDENTITY, is_known=True)
    is_new = corpus.rows.join(known_members, on=_IDENTITY, how="left", maintain_order="left")["is_known"].is_null()
    placed = place(frozen.model, corpus.embeddings[is_new.to_numpy()])
    assignments = corpus.rows.filter(is_new).select(
        "advantage_id",
        "domain",
        pl.Series("cluster_id", placed.cluster_ids),
        pl.Series("distance", placed.distances),
        pl.Series("is_outside", placed.is_outside),
    )
    step.facts |= {"n_new": assignments.height, "n_outside": int(placed.is_outside.sum())}
    step.facts["coverage"] = coverage_line(
        assignments.height, int(placed.is_outside.sum()), step.study.checks.max_outside_share
    )
    return {"coverage_assignments": assignments, "taxonomy_coverage": _by_cluster(frozen, assignments)}


def coverage_line(n_new: int, n_outside: int, max_outside_share: float) -> str:
    """Summarise a taxonomy's coverage for a scheduled run: ``same taxonomy, 4 % new``."""
    if not n_new:
        return "same taxonomy, nothing new"
    verdict = "same taxonomy" if n_outside / n_new <= max_outside_share else "the taxonomy no longer covers all"
    return f"{verdict}, {100 * n_outside / n_new:.0f} % new ({n_outside} of {n_new} new advantages fit no cluster)"


def _by_cluster(frozen: FrozenTaxonomy, assignments: pl.DataFrame) -> pl.DataFrame:
    sizes = frozen.members.group_by("cluster_id").agg(n_training=pl.len().cast(pl.Int64))
    per_cluster = assignments.group_by("cluster_id").agg(
        n_new=pl.len().cast(pl.Int64), n_outside=pl.sum("is_outside").cast(pl.Int64)
    )
    counted = frozen.clusters.join(sizes, on="cluster_id", how="left").join(per_cluster, on="cluster_id", how="left")
    filled = counted.with_columns(pl.col("n_training", "n_new", "n_outside").fill_null(0)).sort("cluster_id")
    return filled.with_columns(
        taxonomy=pl.lit(frozen.name),
        outside_share=pl.when(pl.col("n_new") > 0).then(pl.col("n_outside") / pl.col("n_new")),
        reach=pl.lit(frozen.model.reach),
    )


@table_step(
    _GROUP,
    sources=_frozen_source,
)
def taxonomy_changes(
    step: Step,
    final_taxonomy: pl.DataFrame,
    taxonomy_assignments: pl.DataFrame,
    advantage_corpus: pl.DataFrame,
    trace_pairs: pl.DataFrame,
    analysis_question_set: pl.DataFrame,
    deduplicated_advantages: pl.DataFrame,
    advantage_embeddings: pl.DataFrame,
) -> pl.DataFrame:
    """Clusters of the frozen taxonomy matched to those of the current one."""
    corpus = gather_corpus(
        advantage_corpus, trace_pairs, analysis_question_set, deduplicated_advantages, advantage_embeddings
    )
    frozen = _frozen(step, advantage_embeddings, corpus)
    if frozen is None or final_taxonomy.is_empty():
        return _empty("taxonomy_changes")
    present = corpus.rows.join(
        taxonomy_assignments.select("advantage_id", "cluster_id"), on="advantage_id", how="left", maintain_order="left"
    )
    if present["cluster_id"].null_count() or present.height != taxonomy_assignments.height:
        raise StepError("taxonomy_assignments do not match the current advantages; materialise them first")
    centres = cluster_means(corpus.embeddings, present["cluster_id"].to_numpy())
    changes = match_clusters(frozen.centres, centres, _n_shared(frozen, present, len(centres)))
    old_tags = dict(frozen.clusters.select("cluster_id", "tag").iter_rows())
    new_tags = dict(final_taxonomy.select("cluster_id", "tag").iter_rows())
    rows = [
        (
            number, match.change, match.old, old_tags.get(match.old), match.new, new_tags.get(match.new),
            match.distance, match.n_shared, match.old_share, match.new_share,
        )
        for number, match in enumerate(changes)
    ]  # fmt: skip
    table = pl.DataFrame(rows, schema=_empty("taxonomy_changes").schema, orient="row")
    step.facts |= {f"n_{change}": n for change, n in table["change"].value_counts(sort=True).iter_rows()}
    return table


def _n_shared(frozen: FrozenTaxonomy, present: pl.DataFrame, n_new: int) -> npt.NDArray[np.int64]:
    """Count advantages with equal id and text per old and new cluster; shape (K, K')."""
    both = frozen.members.join(present.select(*_IDENTITY, new_id="cluster_id"), on=_IDENTITY)
    counts = np.zeros((frozen.clusters.height, n_new), dtype=np.int64)
    np.add.at(counts, (both["cluster_id"].to_numpy(), both["new_id"].to_numpy()), 1)
    return counts


def _empty(table: str) -> pl.DataFrame:
    return pl.DataFrame(schema=TABLES[table].own_schema)


STEPS = (
    covered_advantages,
    taxonomy_changes,
)

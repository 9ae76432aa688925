"""Freeze the taxonomy of a family, to compare later data with it."""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.planning.status import StepKey, StepStatus
from advcluster_dagster.science.semantic_clustering.corpus import gather_corpus
from advcluster_dagster.science.semantic_clustering.coverage import cluster_means, fit_taxonomy_model
from advcluster_dagster.storage.frozen_taxonomies import FIRST, FrozenTaxonomy, has_frozen, write_frozen
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

_CORPUS = (
    "advantage_corpus",
    "trace_pairs",
    "analysis_question_set",
    "deduplicated_advantages",
    "advantage_embeddings",
)


class FreezeError(AdvClusterError, ValueError):
    """A taxonomy cannot be frozen; one line."""


def freeze_taxonomy(
    platform: Platform,
    study: Study,
    family: str,
    name: str,
    statuses: Mapping[StepKey, StepStatus],
    is_automatic: bool = False,
) -> None:
    """Freeze the current taxonomy of a family under a name; coverage is measured by the taxonomy frozen last.

    Raises:
        FreezeError: there is no taxonomy, or it is not up to date.
    """
    status = statuses["taxonomy_assignments", Partition(family)]
    if status.state != "fresh":
        reason = f" ({status.reasons[0].text})" if status.reasons else ""
        raise FreezeError(f"the taxonomy of family {family} is {status.state}{reason}; run the study first")
    step = platform.open_step(study.study, RECIPES["covered_advantages"], Partition(family), study=study)
    taxonomy = step.read_partition("final_taxonomy", must_exist=True)
    if taxonomy.is_empty():
        raise FreezeError(f"family {family} has no taxonomy: {step.note_of('final_taxonomy', 'reason')}")
    corpus = gather_corpus(*(step.load(table) for table in _CORPUS))
    assigned = step.read_partition("taxonomy_assignments", must_exist=True).select("advantage_id", "cluster_id")
    members = corpus.rows.join(assigned, on="advantage_id", how="left", maintain_order="left")
    labels = members["cluster_id"].to_numpy()
    frozen = FrozenTaxonomy(
        name=name,
        frozen_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        is_automatic=is_automatic,
        embedder=step.load("advantage_embeddings")["embedder"][0],
        model=fit_taxonomy_model(corpus.embeddings, labels, taxonomy["pca_dim"][0]),
        centres=cluster_means(corpus.embeddings, labels).astype(np.float32),
        clusters=taxonomy.select("cluster_id", "tag").sort("cluster_id"),
        members=members.select("advantage_id", "advantage", "cluster_id"),
    )
    write_frozen(platform.home.taxonomies, study.study, family, frozen)


def freeze_first_taxonomies(platform: Platform, study: Study, statuses: Mapping[StepKey, StepStatus]) -> None:
    """Freeze the first finished taxonomy of each family, as the reference for the next one."""
    for family in study.families:
        is_finished = statuses["taxonomy_assignments", Partition(family)].state == "fresh"
        if not is_finished or has_frozen(platform.home.taxonomies, study.study, family):
            continue
        try:
            freeze_taxonomy(platform, study, family, FIRST, statuses, is_automatic=True)
        except FreezeError:  # a corpus too small to cluster: nothing to freeze; its notes give the reason
            continue

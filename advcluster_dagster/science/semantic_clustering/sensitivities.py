"""Sensitivity of the clusters to settings, varied one at a time without model calls."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.semantic_clustering import SENSITIVITIES
from advcluster_dagster.science.semantic_clustering.candidates import fit_kmeans, worker_pool
from advcluster_dagster.science.semantic_clustering.deduplication import deduplicate
from advcluster_dagster.science.semantic_clustering.projection import project
from advcluster_dagster.science.semantic_clustering.stability import adjusted_rand

#: Gaps and deduplication thresholds tried in addition to the study's.
GAPS = (0.6, 0.7, 0.8, 0.9)
THRESHOLDS = (0.9, 0.95, 1.0)
_STARTS = 10


@dataclass(frozen=True)
class AllDescriptions:
    """Every description of a family, kept or not, in canonical order.

    Attributes:
        rows: Columns advantage_id, domain, question_id, pass_rate_gap, is_kept.
        embeddings: float32 of shape (n, d).
    """

    rows: pl.DataFrame
    embeddings: npt.NDArray[np.float32]


def sensitivities(
    described: AllDescriptions, chosen: dict[str, int], pca_dim: int, min_gap: float, threshold: float, seed: int
) -> pl.DataFrame:
    """Measure the agreement with the chosen clusters when one setting changes.

    The gap can only be raised, since no pairs were extracted below the study's minimum gap.

    Args:
        described: All descriptions of the family.
        chosen: Cluster of each kept description in the chosen candidate.
        pca_dim: PCA dimension d' of the chosen candidate.
        min_gap: Minimum gap of the study.
        threshold: Deduplication threshold of the study.
        seed: Seed of K-means.

    Returns:
        Rows of ``sensitivities``: the adjusted Rand index on the descriptions common to both; null if there are fewer
        than two, or no more descriptions than clusters.
    """
    if not chosen:
        return pl.DataFrame(schema=SENSITIVITIES.own_schema)
    n_clusters = max(chosen.values()) + 1
    rows = []
    with worker_pool() as pool:
        variants = list(_variants(described, min_gap, threshold))
        labelled = pool.map(lambda v: _cluster(described, v[2], v[3], pca_dim, n_clusters, seed), variants)
        for (setting, value, mask, _), labels in zip(variants, labelled, strict=True):
            ids = described.rows.filter(mask)["advantage_id"].to_list()
            common = [i for i, name in enumerate(ids) if name in chosen]
            ari = None
            if labels is not None and len(common) > 1:
                reference = np.array([chosen[ids[i]] for i in common])
                ari = adjusted_rand(reference, labels[common])
            n_questions = described.rows.filter(mask).select("domain", "question_id").n_unique()
            rows.append((setting, value, n_questions, len(ids), ari))
    return pl.DataFrame(rows, schema=SENSITIVITIES.own_schema, orient="row")


def _variants(
    described: AllDescriptions, min_gap: float, threshold: float
) -> Iterator[tuple[str, str, pl.Series, bool]]:
    """Yield (setting, value, mask of kept rows, whether questions have equal weight)."""
    rows = described.rows
    for gap in sorted({min_gap, *(gap for gap in GAPS if gap > min_gap)}):
        mask = rows["is_kept"] & (rows["pass_rate_gap"] >= gap - 1e-9)
        yield "question_set.min_gap", f"{gap:g}", mask, False
    for value in sorted({threshold, *THRESHOLDS}):
        scope = rows.select(pl.concat_str("domain", pl.lit("\x1f"), "question_id"))["domain"].to_list()
        kept = deduplicate(described.embeddings, scope, value).is_kept
        yield "deduplication.threshold", f"{value:g}", pl.Series(kept), False
    yield "weight", "question", rows["is_kept"], True


def _cluster(
    described: AllDescriptions, mask: pl.Series, is_weighted: bool, pca_dim: int, n_clusters: int, seed: int
) -> npt.NDArray[np.int32] | None:
    chosen = mask.to_numpy()
    matrix = np.ascontiguousarray(described.embeddings[chosen])
    if len(matrix) <= n_clusters or min(matrix.shape) < 1:
        return None
    points = project(matrix, min(pca_dim, *matrix.shape)).points.astype(np.float64)
    if not is_weighted:
        labels: npt.NDArray[np.int32] = fit_kmeans(points, n_clusters, seed, _STARTS).labels_
        return labels
    from sklearn.cluster import KMeans

    sizes = described.rows.filter(mask).select(pl.len().over("domain", "question_id"))["len"].to_numpy()
    weighted: npt.NDArray[np.int32] = (
        KMeans(n_clusters, random_state=seed, n_init=_STARTS).fit(points, sample_weight=1 / sizes).labels_
    )
    return weighted

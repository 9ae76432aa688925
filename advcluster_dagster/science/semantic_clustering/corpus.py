"""The clustering corpus: kept descriptions with their embeddings, in canonical order."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.errors import AdvClusterError


class CorpusError(AdvClusterError, ValueError):
    """Descriptions and embeddings are inconsistent."""


@dataclass(frozen=True)
class ClusteringCorpus:
    """Kept descriptions of one family; row i of ``embeddings`` corresponds to row i of ``rows``.

    Attributes:
        rows: Columns domain, benchmark, question_id, advantage_id, advantage.
        embeddings: float32 of shape (n, d); (0, 0) without rows.
    """

    rows: pl.DataFrame
    embeddings: npt.NDArray[np.float32]


def gather_corpus(
    advantages: pl.DataFrame,
    pairs: pl.DataFrame,
    questions: pl.DataFrame,
    deduplicated: pl.DataFrame,
    embeddings: pl.DataFrame,
) -> ClusteringCorpus:
    """Gather the kept descriptions of all domains, sorted by domain, benchmark, question_id, pair_index, position.

    PCA and K-means depend on the order of rows, so it is fixed here, independently of the inputs' order.

    Args:
        advantages: Rows of ``advantage_corpus`` of one family.
        pairs: Rows of ``trace_pairs`` (for the index of a pair within its question).
        questions: Rows of ``analysis_question_set`` (for the benchmark of a question).
        deduplicated: Rows of ``deduplicated_advantages``.
        embeddings: Rows of ``advantage_embeddings``.

    Raises:
        CorpusError: a kept description has no pair or no embedding, or embeddings differ in length.
    """
    kept = deduplicated.filter("is_kept").select("advantage_id")
    keys = ["domain", "question_id"]
    rows = (
        advantages.join(kept, on="advantage_id", how="semi")
        .join(questions.select(*keys, "benchmark"), on=keys, how="left")
        .join(pairs.select("domain", "pair_id", "pair_index"), on=["domain", "pair_id"], how="left")
        .sort("domain", "benchmark", "question_id", "pair_index", "position")
        .join(embeddings.select("advantage_id", "embedding"), on="advantage_id", how="left", maintain_order="left")
    )
    if n_missing := rows["pair_index"].null_count():
        raise CorpusError(f"{n_missing} kept descriptions have no trace pair; extract the advantages again")
    if n_missing := rows["embedding"].null_count():
        raise CorpusError(f"{n_missing} kept descriptions have no embedding; embed them again")
    described = rows.select("domain", "benchmark", "question_id", "advantage_id", "advantage")
    return ClusteringCorpus(described, stack_vectors(rows["embedding"]))


def with_source_keys(rows: pl.DataFrame, questions: pl.DataFrame) -> pl.DataFrame:
    """Add the source key of each row's question, preserving row order.

    Args:
        rows: Columns domain, question_id and any others.
        questions: Rows of ``benchmark_questions``.
    """
    keys = ["domain", "question_id"]
    keyed = rows.join(questions.select(*keys, "source_key"), on=keys, how="left", maintain_order="left")
    return keyed.with_columns(pl.col("source_key").fill_null(pl.col("question_id")))


def labels_of(assignments: pl.DataFrame, advantage_ids: list[str]) -> dict[tuple[int, int], npt.NDArray[np.int32]]:
    """Cluster labels of each candidate, int32 of shape (n,), in corpus order.

    Args:
        assignments: Rows of ``cluster_assignments``.
        advantage_ids: Advantage ids in corpus order.

    Raises:
        CorpusError: the assignments do not match the advantages.
    """
    labels = {}
    for (pca_dim, n_clusters), members in assignments.group_by("pca_dim", "n_clusters", maintain_order=True):
        if members["advantage_id"].to_list() != advantage_ids:
            raise CorpusError("cluster_assignments do not match the current advantages; materialise them first")
        labels[int(str(pca_dim)), int(str(n_clusters))] = members["cluster_id"].cast(pl.Int32).to_numpy()
    return labels


def stack_vectors(vectors: pl.Series) -> npt.NDArray[np.float32]:
    """Convert a column of float32 lists of equal length to an array of shape (n, d); (0, 0) if empty.

    Raises:
        CorpusError: the lists differ in length.
    """
    if vectors.is_empty():
        return np.empty((0, 0), dtype=np.float32)
    if not isinstance(vectors.dtype, pl.Array):
        lengths = vectors.list.len().unique().sort().to_list()
        if len(lengths) != 1:
            raise CorpusError(f"embeddings have {len(lengths)} different lengths, including {lengths[:3]}")
        vectors = vectors.cast(pl.Array(pl.Float32, lengths[0]))
    return np.ascontiguousarray(vectors.to_numpy(), dtype=np.float32)

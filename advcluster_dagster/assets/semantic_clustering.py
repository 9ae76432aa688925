"""Steps of stage 3, first half (paper section 3.2.3): embeddings, deduplication, candidate clusterings."""

import re

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.assets.advantage_extraction import assumed_pairs
from advcluster_dagster.assets.failed_calls import failed_calls
from advcluster_dagster.models.protocol import CallFailure
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.estimates import at_least_as_now, estimate_assumed, estimate_embeddings
from advcluster_dagster.pipeline.providers import model_content, model_name_in_calls
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.science.semantic_clustering.candidates import CandidateSweep, SweepSettings, sweep_candidates
from advcluster_dagster.science.semantic_clustering.corpus import (
    gather_corpus,
    labels_of,
    stack_vectors,
    with_source_keys,
)
from advcluster_dagster.science.semantic_clustering.deduplication import deduplicate
from advcluster_dagster.science.semantic_clustering.stability import StabilitySettings, items_of, measure_stability
from advcluster_dagster.science.statistics.resampling import table_rng
from advcluster_dagster.study.study import Study

_GROUP = "semantic_clustering"
#: Maximum number of texts without a vector that are listed in the run's metadata.
_N_NAMED = 20
#: Assumptions of a dry run while there are no descriptions: descriptions per pair, tokens each.
_ADVANTAGES_EACH, _DESCRIPTION_TOKENS = 3, 15
#: Vectors are equal if no number differs by more than this share of the first vector's length.
_SAME_VECTOR = 1e-6
_SWEEP_SETTINGS = ("pca_dims", "min_clusters", "max_clusters", "n_best", "n_dims_kept", "n_init")


def _all_embedded(step: Step, embedded: pl.LazyFrame) -> Outcome:
    n_texts = step.read_partition("advantage_corpus", must_exist=True).height
    n_vectors = embedded.select(pl.len()).collect().item()
    return Outcome(n_texts == n_vectors, {"n_texts": n_texts, "n_vectors": n_vectors, **failed_calls(step)})


def _vectors_differ(step: Step, embedded: pl.LazyFrame) -> Outcome:
    """Fail if descriptions with different words all have the same vector, up to rounding, or every vector is zero."""
    rows = embedded.select("advantage_id", "embedding").collect()
    if rows.is_empty():
        return Outcome(True, {"n_vectors": 0})
    corpus = step.scan_partition("advantage_corpus").select("advantage_id", "advantage").collect()
    texts = corpus.join(rows, on="advantage_id", how="semi")["advantage"]
    n_texts = len({tuple(sorted(re.findall(r"\w+", text.casefold()))) for text in texts})
    vectors = _matrix(rows["embedding"])
    lengths = np.linalg.norm(vectors, axis=1)
    is_one_vector = bool((np.abs(vectors - vectors[0]) <= _SAME_VECTOR * lengths[0]).all())
    facts: dict[str, int | str] = {
        "n_different_texts": n_texts,
        "n_vectors": rows.height,
        "n_zero_vectors": int((lengths == 0).sum()),
    }
    if not lengths.any():
        facts["measured"] = f"all {rows.height} vectors are zero"
    elif is_one_vector and n_texts > 1:
        facts["measured"] = f"all {rows.height} vectors are equal"
    return Outcome("measured" not in facts, facts)


def _no_zero_vectors(_step: Step, embedded: pl.LazyFrame) -> Outcome:
    vectors = _matrix(embedded.select("embedding").collect()["embedding"])
    n_zero = int((~vectors.any(axis=1)).sum())
    return Outcome(n_zero == 0, {"n_zero_vectors": n_zero, "n_vectors": len(vectors)})


def _matrix(vectors: pl.Series) -> npt.NDArray[np.float64]:
    """Return vectors of one length d as an array of shape (n, d); (0, 1) without vectors."""
    return vectors.explode().to_numpy().astype(np.float64).reshape(len(vectors), -1 if len(vectors) else 1)


@table_step(
    _GROUP,
    kinds=("polars", "llm"),
    settings=lambda study, _: {
        "embedder": study.judges.embedder.request_identity,
        "dimensions": study.judges.embedding_dimensions,
    },
    sources=lambda _home, study, _: model_content(study.judges.embedder),
    checks={
        "advantage_embeddings": (
            Check("all_embedded", description="Every description has a vector.", judge=_all_embedded, is_blocking=True),
            Check(
                "vectors_differ",
                description="Descriptions with different words have different vectors; equal ones cannot be clustered.",
                judge=_vectors_differ,
                is_blocking=True,
            ),
            Check("no_zero_vectors", description="Every vector has a direction.", judge=_no_zero_vectors),
        )
    },
    estimate=lambda step: _estimate_embeddings(step),
)
def advantage_embeddings(step: Step, advantage_corpus: pl.DataFrame) -> pl.DataFrame:
    """Embedding of each advantage's text, without its evidence."""
    embedder = step.study.judges.embedder
    name, replies = model_name_in_calls(embedder), step.models.embed(embedder, advantage_corpus["advantage"].to_list())
    outcomes = list(zip(advantage_corpus["advantage_id"], replies, strict=True))
    rows = [
        {"advantage_id": advantage_id, "embedding": reply.vector, "embedder": name}
        for advantage_id, reply in outcomes
        if not isinstance(reply, CallFailure)
    ]
    failed = [(name, reply) for name, reply in outcomes if isinstance(reply, CallFailure)]
    if failed:
        step.facts["failures"] = {name: f"{reply.reason}: {reply.detail}" for name, reply in failed[:_N_NAMED]}
    if not rows:
        return pl.DataFrame(schema={"advantage_id": pl.String, "embedding": pl.List(pl.Float32), "embedder": pl.String})
    lengths = sorted({len(row["embedding"]) for row in rows})
    if len(lengths) > 1:
        raise StepError(
            f"embedder {embedder.model} returned vectors of {lengths[0]} and of {lengths[-1]} numbers; set"
            " judges.embedding_dimensions to one length, so that all are requested again"
        )
    vector = pl.Array(pl.Float32, lengths[0])
    return pl.DataFrame(rows, schema={"advantage_id": pl.String, "embedding": vector, "embedder": pl.String})


def _estimate_embeddings(step: Step) -> Estimate:
    embedder = step.study.judges.embedder
    if step.has_final_inputs:
        return estimate_embeddings(step, embedder, step.read_partition("advantage_corpus")["advantage"].to_list())
    pairs = step.read_partition("trace_pairs")
    n_pairs, basis = assumed_pairs(step) if pairs is None else (pairs.height, "the pairs drawn")
    basis = f"{basis}, {_ADVANTAGES_EACH} descriptions per pair"
    n_texts, basis = at_least_as_now(step, "advantage_corpus", _ADVANTAGES_EACH * n_pairs, basis, "descriptions")
    return estimate_assumed(step, embedder, n_texts, _DESCRIPTION_TOKENS, 0, basis)


def _few_duplicates(_step: Step, deduplicated: pl.LazyFrame, bound: float) -> Outcome:
    share = 1 - deduplicated.select(pl.col("is_kept").mean().fill_null(1.0)).collect().item()
    return Outcome(share <= bound, {"share": share, "bound": bound})


@table_step(
    _GROUP,
    settings=lambda study, _: study.deduplication.model_dump(mode="json"),
    checks={
        "deduplicated_advantages": (
            Check(
                "duplicate_share",
                description="Few descriptions repeat another description of the same question.",
                judge=_few_duplicates,
                bound="max_duplicate_share",
            ),
        )
    },
)
def deduplicated_advantages(
    step: Step, advantage_corpus: pl.DataFrame, advantage_embeddings: pl.DataFrame
) -> pl.DataFrame:
    """Descriptions kept and removed by greedy deduplication in the order of pairs and positions."""
    rows = advantage_corpus.join(advantage_embeddings, on="advantage_id", how="inner", maintain_order="left")
    scope = (
        rows["question_id"].to_list() if step.study.deduplication.scope == "question" else [step.domain] * rows.height
    )
    duplicates = deduplicate(stack_vectors(rows["embedding"]), scope, step.study.deduplication.threshold)
    ids = rows["advantage_id"].to_list()
    step.facts["n_removed"] = int((~duplicates.is_kept).sum())
    return pl.DataFrame(
        {
            "advantage_id": ids,
            "is_kept": duplicates.is_kept,
            "duplicate_of": [ids[index] if index >= 0 else None for index in duplicates.duplicate_of],
            "similarity": pl.Series(duplicates.similarity).fill_nan(None),
        },
        schema_overrides={"advantage_id": pl.String, "duplicate_of": pl.String},
    )


def sweep_settings(study: Study) -> SweepSettings:
    """Return the study's settings for the candidate sweep."""
    return SweepSettings(**study.clustering.model_dump(include=set(_SWEEP_SETTINGS)))


@table_step(
    _GROUP,
    tables=("candidate_clusterings", "cluster_assignments"),
    kinds=("polars", "scikitlearn"),
    settings=lambda study, _: study.clustering.model_dump(mode="json", include=set(_SWEEP_SETTINGS)),
)
def clustered_advantages(
    step: Step,
    advantage_corpus: pl.DataFrame,
    trace_pairs: pl.DataFrame,
    analysis_question_set: pl.DataFrame,
    deduplicated_advantages: pl.DataFrame,
    advantage_embeddings: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """All candidate clusterings of a family over all its domains, and the clusters of the retained ones."""
    corpus = gather_corpus(
        advantage_corpus, trace_pairs, analysis_question_set, deduplicated_advantages, advantage_embeddings
    )
    sweep = sweep_candidates(corpus.embeddings, sweep_settings(step.study))
    step.facts |= {"n_descriptions": corpus.rows.height, "n_skipped": sweep.n_skipped}
    if sweep.reason:
        step.notes["reason"] = sweep.reason
    return {"candidate_clusterings": sweep.metrics, "cluster_assignments": _assignments(sweep, corpus.rows)}


def _assignments(sweep: CandidateSweep, rows: pl.DataFrame) -> pl.DataFrame:
    schema = {"pca_dim": pl.Int64, "n_clusters": pl.Int64, "advantage_id": pl.String, "cluster_id": pl.Int64}
    frames = [
        rows.select(
            pl.lit(pca_dim).alias("pca_dim"),
            pl.lit(n_clusters).alias("n_clusters"),
            "advantage_id",
            pl.Series("cluster_id", labels),
        ).cast(schema)  # type: ignore[arg-type]
        for (pca_dim, n_clusters), labels in sweep.labels.items()
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


@table_step(
    _GROUP,
    tables=("candidate_stabilities", "cluster_stabilities", "choice_stabilities"),
    kinds=("polars", "scikitlearn"),
    settings=lambda study, _: {
        **study.clustering.model_dump(mode="json", include={*_SWEEP_SETTINGS, "n_bootstrap", "n_choices"}),
        "confidence": study.statistics.confidence,
        "seed": study.seed,
    },
)
def candidate_stabilities(
    step: Step,
    cluster_assignments: pl.DataFrame,
    advantage_corpus: pl.DataFrame,
    trace_pairs: pl.DataFrame,
    analysis_question_set: pl.DataFrame,
    deduplicated_advantages: pl.DataFrame,
    advantage_embeddings: pl.DataFrame,
    benchmark_questions: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Stability of the retained candidates and their clusters under other seeds and resampled source items."""
    corpus = gather_corpus(
        advantage_corpus, trace_pairs, analysis_question_set, deduplicated_advantages, advantage_embeddings
    )
    keyed = with_source_keys(corpus.rows, benchmark_questions)
    clustering = step.study.clustering
    tables = measure_stability(
        corpus.embeddings,
        labels_of(cluster_assignments, keyed["advantage_id"].to_list()),
        items_of(keyed),
        sweep_settings(step.study),
        StabilitySettings(
            n_bootstrap=clustering.n_bootstrap,
            n_choices=clustering.n_choices,
            confidence=step.study.statistics.confidence,
        ),
        table_rng(step.study.seed, "candidate_stabilities", step.family),
    )
    return {
        "candidate_stabilities": tables.candidates,
        "cluster_stabilities": tables.clusters,
        "choice_stabilities": tables.choices,
    }


STEPS = (
    advantage_embeddings,
    deduplicated_advantages,
    clustered_advantages,
    candidate_stabilities,
)

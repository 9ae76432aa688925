"""Steps of stage 3 (paper section 3.2.3): the final taxonomy and its distribution over domains."""

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import sql_step, table_step
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.science.question_set.paired_accuracies import is_gap_shown
from advcluster_dagster.science.semantic_clustering.choice import choose_candidate
from advcluster_dagster.science.semantic_clustering.corpus import with_source_keys
from advcluster_dagster.science.semantic_clustering.domain_kinds import classify_clusters
from advcluster_dagster.science.semantic_clustering.domain_shares import (
    ShareSettings,
    SpecialisedRule,
    classify_by_shares,
    domain_shares,
)
from advcluster_dagster.science.statistics.resampling import table_rng

_GROUP = "semantic_clustering"
_CANDIDATE = ["pca_dim", "n_clusters"]


def _no_dominant_cluster(_step: Step, taxonomy: pl.LazyFrame, bound: float) -> Outcome:
    sizes = taxonomy.select("size").collect()["size"]
    share = int(str(sizes.max())) / sizes.sum() if sizes.len() else 0.0
    return Outcome(share <= bound, {"largest_share": share, "bound": bound})


def _all_named(_step: Step, taxonomy: pl.LazyFrame) -> Outcome:
    n_unnamed = taxonomy.select(pl.col("tag").null_count()).collect().item()
    return Outcome(n_unnamed == 0, {"n_unnamed": n_unnamed})


def _chosen_by_reviews(step: Step, taxonomy: pl.LazyFrame) -> Outcome:
    """Fail if the chosen candidate has no usable review, unless it was chosen by hand."""
    chosen = taxonomy.select(_CANDIDATE).unique().collect()
    reviews = step.scan_partition("candidate_reviews").collect()
    totals = reviews.join(chosen, on=_CANDIDATE, how="semi")["total"]
    is_pinned = step.family in step.study.clustering.pins
    facts = {"n_reviews": totals.len(), "n_usable_reviews": totals.count(), "is_pinned": is_pinned}
    return Outcome(chosen.is_empty() or is_pinned or totals.count() > 0, facts)


@table_step(
    _GROUP,
    tables=("final_taxonomy", "domain_shares"),
    settings=lambda study, partition: {
        "choose_by": study.clustering.choose_by,
        "statistics": study.statistics.model_dump(mode="json", exclude={"prior", "pass_at_k"}),
        "seed": study.seed,
        "pin": pin.model_dump(mode="json") if (pin := study.clustering.pins.get(partition.family or "")) else None,
        "taxonomy": study.taxonomy.model_dump(mode="json"),
    },
    checks={
        "final_taxonomy": (
            Check(
                "no_dominant_cluster",
                description="No cluster holds nearly the whole corpus.",
                judge=_no_dominant_cluster,
                bound="max_cluster_share",
            ),
            Check("all_named", description="Every cluster has a tag and a definition.", judge=_all_named),
            Check(
                "chosen_by_reviews",
                description="The chosen candidate has a usable review, or was chosen by hand.",
                judge=_chosen_by_reviews,
            ),
        )
    },
)
def final_taxonomy(
    step: Step,
    candidate_clusterings: pl.DataFrame,
    cluster_summaries: pl.DataFrame,
    candidate_reviews: pl.DataFrame,
    cluster_assignments: pl.DataFrame,
    advantage_corpus: pl.DataFrame,
    candidate_stabilities: pl.DataFrame,
    benchmark_questions: pl.DataFrame,
    paired_accuracies: pl.DataFrame,
    gap_tests: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Clusters of the chosen candidate, and their spread over domains: common, specialised or mixed."""
    if candidate_clusterings.is_empty():
        step.notes["reason"] = step.note_of("candidate_clusterings", "reason")
        return {name: pl.DataFrame(schema=_schema(name)) for name in ("final_taxonomy", "domain_shares")}
    pin = step.study.clustering.pins.get(step.family)
    try:
        choice = choose_candidate(
            candidate_reviews,
            candidate_clusterings,
            (pin.pca_dim, pin.n_clusters) if pin else None,
            candidate_stabilities if step.study.clustering.choose_by == "reviews_and_stability" else None,
        )
    except ValueError as error:
        raise StepError(f"clustering.pins.{step.family}: {error}") from None
    step.notes["choice"] = f"{choice.reason}; reason given: {pin.reason}" if pin else choice.reason
    step.facts["near_candidates"] = [f"d' {dim}, K {number}" for dim, number in choice.near]
    chosen = (pl.col("pca_dim") == choice.pca_dim) & (pl.col("n_clusters") == choice.n_clusters)
    members = cluster_assignments.filter(chosen)
    shares = _domain_shares(step, members, advantage_corpus, benchmark_questions, choice.n_clusters)
    taxonomy = cluster_summaries.filter(chosen).join(
        _kinds(step, members, advantage_corpus, shares), on="cluster_id", maintain_order="left"
    )
    if not is_gap_shown(paired_accuracies, gap_tests):
        step.notes["kinds"] = "no gap between the models is shown, so no cluster has a kind"
        taxonomy = taxonomy.with_columns(kind=pl.lit(None, dtype=pl.String))
    rows = taxonomy.sort("cluster_id").select(_schema("final_taxonomy").names())
    return {"final_taxonomy": rows, "domain_shares": shares}


def _domain_shares(
    step: Step, members: pl.DataFrame, corpus: pl.DataFrame, questions: pl.DataFrame, n_clusters: int
) -> pl.DataFrame:
    statistics = step.study.statistics
    placed = with_source_keys(
        members.join(corpus.select("advantage_id", "domain", "question_id"), on="advantage_id", maintain_order="left"),
        questions,
    )
    settings = ShareSettings(statistics.confidence, statistics.n_bootstrap, statistics.n_permutations, statistics.fdr)
    rng = table_rng(step.study.seed, "domain_shares", step.family)
    return domain_shares(placed, step.domains_used, n_clusters, settings, rng)


def _kinds(step: Step, members: pl.DataFrame, corpus: pl.DataFrame, shares: pl.DataFrame) -> pl.DataFrame:
    """Return the kind of each cluster by the study's rule."""
    rule = step.study.taxonomy
    if rule.rule == "residuals":
        counts = _domain_counts(members, corpus, step.domains_used)
        return classify_clusters(counts, rule.min_share, rule.min_residual)
    return classify_by_shares(shares, SpecialisedRule(rule.min_share, rule.max_q, rule.min_questions))


def _domain_counts(assignments: pl.DataFrame, advantages: pl.DataFrame, domains: list[str]) -> pl.DataFrame:
    """Return n_advantages of every cluster in every domain that was run, including zeros."""
    placed = assignments.join(advantages.select("advantage_id", "domain"), on="advantage_id")
    cells = placed.select(pl.col("cluster_id").unique()).join(pl.DataFrame({"domain": domains}), how="cross")
    counted = placed.group_by("cluster_id", "domain").agg(pl.len().cast(pl.Int64).alias("n_advantages"))
    return cells.join(counted, on=["cluster_id", "domain"], how="left").with_columns(
        pl.col("n_advantages").fill_null(0)
    )


def _schema(table: str) -> pl.Schema:
    return pl.Schema(TABLES[table].own_schema)


taxonomy_assignments = sql_step("taxonomy_assignments", _GROUP)
domain_distribution = sql_step("domain_distribution", _GROUP)

STEPS = (final_taxonomy, taxonomy_assignments, domain_distribution)

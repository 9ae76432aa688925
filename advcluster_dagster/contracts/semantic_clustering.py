"""Tables of the third stage: embeddings to the domain distribution (paper section 3.2.3, tables 2 to 4, 10, figure
2).
"""

import polars as pl

from advcluster_dagster.contracts.columns import (
    ADVANTAGE_ID,
    CLUSTER_ID,
    DEFINITION,
    N_CLUSTERS,
    PCA_DIM,
    QUESTION_ID,
    ROLES,
    TAG,
    count,
    flag,
    interval,
    number,
    rate,
    text,
)
from advcluster_dagster.contracts.table import Column, Table

ADVANTAGE_EMBEDDINGS = Table(
    "advantage_embeddings",
    "family_domain",
    "One vector an advantage description.",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        Column("embedding", pl.List(pl.Float32()), "The vector; every row of a family has the same length."),
        Column("embedder", pl.String(), "Model that made it."),
    ),
)
DEDUPLICATED_ADVANTAGES = Table(
    "deduplicated_advantages",
    "family_domain",
    "Which descriptions stay, and for the others the one they repeat (paper table 10).",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        Column("is_kept", pl.Boolean(), "Stays in the corpus."),
        Column("duplicate_of", pl.String(), "The kept description it repeats; null when kept.", is_nullable=True),
        Column("similarity", pl.Float64(), "Cosine to that description; null when kept.", True, -1.000001, 1.000001),
    ),
)
CANDIDATE_CLUSTERINGS = Table(
    "candidate_clusterings",
    "family",
    "Every clustering tried, with its metrics.",
    ("pca_dim", "n_clusters"),
    (
        PCA_DIM,
        N_CLUSTERS,
        Column("davies_bouldin", pl.Float64(), "Davies-Bouldin index, lower is better.", minimum=0),
        Column(
            "silhouette", pl.Float64(), "Mean silhouette in the reduced space, higher is better.", minimum=-1, maximum=1
        ),
        Column(
            "explained_variance",
            pl.Float64(),
            "Share of the variance that d' components keep.",
            minimum=0,
            maximum=1.000001,
        ),
        Column("is_retained", pl.Boolean(), "Goes on to naming and review."),
        number("inertia", "Sum of squared distances to the centroids in the reduced space.", 0),
        number("multistart_ari", "Adjusted Rand index of its labels with the best of 50 starts; retained ones.", -1, 1),
        number("index_null_mean", "Mean Davies-Bouldin index of column-permuted copies of the points.", 0),
        number("index_z", "Standard deviations of those copies that its index lies above their mean; low is good."),
    ),
)
CLUSTER_ASSIGNMENTS = Table(
    "cluster_assignments",
    "family",
    "Cluster of each kept description in each retained candidate.",
    ("pca_dim", "n_clusters", "advantage_id"),
    (PCA_DIM, N_CLUSTERS, ADVANTAGE_ID, CLUSTER_ID),
)
CANDIDATE_STABILITIES = Table(
    "candidate_stabilities",
    "family",
    "Agreement of each retained candidate's labels with other K-means starts and with resampled source items.",
    ("pca_dim", "n_clusters", "kind"),
    (
        PCA_DIM,
        N_CLUSTERS,
        text(
            "kind",
            "Other seeds, each the best of 50 starts; or bootstrap of source items.",
            allowed=("seed", "bootstrap"),
        ),
        count("n_replicates", "Replicates."),
        number("ari_mean", "Mean adjusted Rand index with the candidate's labels; bootstrap: on drawn rows.", -1, 1),
        number("ari_std", "Its standard deviation over replicates.", 0),
        *interval("ari", "the index over replicates", -1, 1),
        number("out_ari_mean", "Mean index on rows that were not drawn; null for other seeds.", -1, 1),
    ),
)
CLUSTER_STABILITIES = Table(
    "cluster_stabilities",
    "family",
    "How far each cluster of the retained candidates is found again when source items are resampled.",
    ("pca_dim", "n_clusters", "cluster_id"),
    (
        PCA_DIM,
        N_CLUSTERS,
        CLUSTER_ID,
        rate("mean_jaccard", "Mean over replicates of the largest Jaccard index with a cluster of the replicate."),
        rate("jaccard_low", "Lower end of that index over replicates."),
        rate("recovered_share", "Share of replicates with a Jaccard index of at least 1/2."),
        count("n_questions", "Different questions in the cluster."),
        count("n_keys", "Different source items."),
        rate("top_question_share", "Share of its advantages from one question."),
        text(
            "verdict",
            "Hennig's reading: mean Jaccard from .85, .75, .6 on; null below five source items or where one question"
            " gives more than half.",
            True,
            ("very stable", "stable", "pattern", "unstable"),
        ),
    ),
)
CHOICE_STABILITIES = Table(
    "choice_stabilities",
    "family",
    "How often a sweep over resampled source items retains a candidate.",
    ("pca_dim", "n_clusters"),
    (
        PCA_DIM,
        N_CLUSTERS,
        count("n_replicates", "Sweeps."),
        rate("retained_share", "Share of them that retain it."),
        rate("best_index_share", "Share of them in which its index is the lowest of the retained ones."),
    ),
)
CLUSTER_SUMMARIES = Table(
    "cluster_summaries",
    "family",
    "Tag and definition of each cluster of the retained candidates.",
    ("pca_dim", "n_clusters", "cluster_id"),
    (
        PCA_DIM,
        N_CLUSTERS,
        CLUSTER_ID,
        count("size", "Descriptions in the cluster."),
        TAG,
        DEFINITION,
        Column("shown_ids", pl.List(pl.String()), "Descriptions shown to the summariser."),
        Column("other_ids", pl.List(pl.String()), "Nearest descriptions of other clusters, shown beside them."),
    ),
)
_SCORES = tuple(
    Column(name, pl.Int64(), f"{text}, 1 to 10; null when the review failed.", True, 1, 10)
    for name, text in (
        ("distinctness", "How far the clusters exclude one another"),
        ("granularity", "Conceptual precision and depth"),
        ("interpretability", "Whether a reader sees the behaviour meant"),
        ("balance", "Whether the sizes permit statistics"),
        ("resolution", "Whether the number of clusters is right"),
    )
)
CANDIDATE_REVIEWS = Table(
    "candidate_reviews",
    "family",
    "Scores of each review of each retained candidate.",
    ("pca_dim", "n_clusters", "review"),
    (
        PCA_DIM,
        N_CLUSTERS,
        count("review", "Review, counted from 0."),
        *_SCORES,
        Column("total", pl.Int64(), "Sum of the five scores; null when the review failed.", True, 5, 50),
    ),
)
FINAL_TAXONOMY = Table(
    "final_taxonomy",
    "family",
    "The chosen clusters (paper tables 2 to 4).",
    ("cluster_id",),
    (
        CLUSTER_ID,
        TAG,
        DEFINITION,
        count("size", "Kept descriptions in the cluster."),
        PCA_DIM,
        N_CLUSTERS,
        Column(
            "kind",
            pl.String(),
            "Common to domains, specialised in one, or mixed: neither; null where no gap between the models is shown.",
            is_nullable=True,
            allowed=("common", "specialised", "mixed"),
        ),
        Column("main_domain", pl.String(), "Domain with the largest share of the cluster."),
        rate("domain_entropy", "Normalised entropy of the cluster over the domains; null with a single domain."),
    ),
)
TAXONOMY_ASSIGNMENTS = Table(
    "taxonomy_assignments",
    "family",
    "Cluster of each kept description in the chosen candidate.",
    ("advantage_id",),
    (ADVANTAGE_ID, Column("domain", pl.String(), "Domain of the question."), CLUSTER_ID),
)
DOMAIN_DISTRIBUTION = Table(
    "domain_distribution",
    "family",
    "Kept descriptions by cluster and domain (paper figure 2).",
    ("cluster_id", "domain"),
    (
        CLUSTER_ID,
        Column("domain", pl.String(), "Domain of the questions."),
        count("n_advantages", "Kept descriptions of the cluster from the domain."),
        rate("row_share", "Share of the cluster's descriptions; rows sum to 1."),
        rate("column_share", "Share of the domain's descriptions; columns sum to 1, null for an empty domain."),
    ),
)
DOMAIN_SHARES = Table(
    "domain_shares",
    "family",
    "Share of each cluster in each domain when every domain weighs the same, against chance.",
    ("cluster_id", "domain"),
    (
        CLUSTER_ID,
        text("domain", "Domain of the questions."),
        count("n_advantages", "Kept descriptions of the cluster from the domain."),
        count("n_questions", "Different questions they come from."),
        rate("expected_share", "Share of all kept descriptions that come from the domain."),
        number("lift", "Share of the cluster's descriptions from the domain over expected_share.", 0),
        rate("standard_share", "Share of the cluster in the domain when domains weigh the same; rows sum to 1."),
        *interval("standard", "standard_share, over source keys; null below five"),
        rate("p_value", "Permutation of domain labels over source keys, one-sided; null with one domain."),
        rate("q_value", "Benjamini-Hochberg over all cells of the family."),
    ),
)
WORKED_CASES = Table(
    "worked_cases",
    "family",
    "One member of each cluster with excerpts of both traces around the quoted passages (as paper figure 1).",
    ("cluster_id",),
    (
        CLUSTER_ID,
        ADVANTAGE_ID,
        text("domain", "Domain of the question."),
        QUESTION_ID,
        text("question", "The problem in plain words."),
        Column("stage", pl.String(), "Stage of the pair's first error; null without one.", is_nullable=True),
        *(
            column
            for role in ROLES
            for column in (
                text(f"{role}_excerpt", f"Part of the {role} model's trace."),
                count(f"{role}_start", "Where the quoted passage begins in the excerpt, in characters from 0."),
                count(f"{role}_end", "Where it ends, exclusive."),
            )
        ),
    ),
)
NAME_CHECKS = Table(
    "name_checks",
    "family",
    "Whether a judge can apply the names, and tell a cluster's advantages from others.",
    ("check", "cluster_id"),
    (
        text(
            "check",
            "assignment: all names and an advantage are shown; intruder: four members and another's, without names.",
            allowed=("assignment", "intruder"),
        ),
        Column("cluster_id", pl.Int64(), "Cluster of the advantages; -1 for all of them.", minimum=-1),
        count("n_advantages", "Usable replies: advantages that were assigned, or sets with an intruder."),
        count("n_right", "Of these, those assigned to their own cluster, or whose intruder was named."),
        rate("share", "Their share; null without any."),
        rate("chance_share", "1 / K; 1/5 for intruders."),
        number("kappa", "Cohen's kappa with the clustering; on the row of assignments over all.", -1, 1),
        flag("is_unseen", "Whether the summariser had not been shown these advantages; false for intruders."),
    ),
)
SENSITIVITIES = Table(
    "sensitivities",
    "family",
    "Agreement with the chosen clusters when one setting changes.",
    ("setting", "value"),
    (
        text("setting", "The setting; `weight` for how descriptions count."),
        text("value", "Its value; `question`: each question weighs the same."),
        count("n_questions", "Questions that give a description."),
        count("n_descriptions", "Descriptions clustered."),
        number("ari", "Adjusted Rand index with the chosen clusters on the descriptions that both have.", -1, 1),
    ),
)
COVERAGE_ASSIGNMENTS = Table(
    "coverage_assignments",
    "family",
    "Where each new advantage falls in the frozen taxonomy; no rows while nothing is new to one.",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        Column("domain", pl.String(), "Domain of the question."),
        Column("cluster_id", pl.Int64(), "Nearest cluster of the frozen taxonomy.", minimum=0),
        Column("distance", pl.Float64(), "Euclidean distance to its centroid in the reduced space.", minimum=0),
        Column("is_outside", pl.Boolean(), "Farther than 99 % of the advantages the taxonomy was made from."),
    ),
)
TAXONOMY_COVERAGE = Table(
    "taxonomy_coverage",
    "family",
    "How each cluster of the frozen taxonomy covers what is new; no rows while nothing is frozen.",
    ("cluster_id",),
    (
        Column("taxonomy", pl.String(), "Name of the frozen taxonomy."),
        Column("cluster_id", pl.Int64(), "Cluster of the frozen taxonomy.", minimum=0),
        TAG,
        count("n_training", "Advantages it was made from."),
        count("n_new", "New advantages nearest to it."),
        count("n_outside", "Those of them that are beyond the taxonomy's reach."),
        rate("outside_share", "Share of its new advantages beyond the reach; null without any."),
        Column("reach", pl.Float64(), "99th percentile of the training distances.", minimum=0),
    ),
)
TAXONOMY_CHANGES = Table(
    "taxonomy_changes",
    "family",
    "Changes of the frozen taxonomy's clusters in the present one; no rows while nothing is frozen.",
    ("change_index",),
    (
        count("change_index", "Row, counted from 0: old clusters first."),
        Column("change", pl.String(), "What happened.", allowed=("continued", "merged", "died", "split", "born")),
        Column("old_cluster_id", pl.Int64(), "Cluster of the frozen taxonomy; null when born.", True, 0),
        Column("old_tag", pl.String(), "Its name then.", True),
        Column("new_cluster_id", pl.Int64(), "Cluster of the present taxonomy; null when died.", True, 0),
        Column("new_tag", pl.String(), "Its name now.", True),
        Column("centre_distance", pl.Float64(), "Euclidean distance of their mean vectors.", True, 0),
        Column("n_shared", pl.Int64(), "Advantages in both; null without a partner.", True, 0),
        rate("old_share", "Share of the old cluster's advantages, of those still there, that lie in the new one."),
        rate("new_share", "Share of the new cluster's advantages known before that lay in the old one."),
    ),
)

TABLES = (
    ADVANTAGE_EMBEDDINGS,
    DEDUPLICATED_ADVANTAGES,
    CANDIDATE_CLUSTERINGS,
    CLUSTER_ASSIGNMENTS,
    CANDIDATE_STABILITIES,
    CLUSTER_STABILITIES,
    CHOICE_STABILITIES,
    CLUSTER_SUMMARIES,
    CANDIDATE_REVIEWS,
    FINAL_TAXONOMY,
    TAXONOMY_ASSIGNMENTS,
    DOMAIN_DISTRIBUTION,
    DOMAIN_SHARES,
    WORKED_CASES,
    NAME_CHECKS,
    SENSITIVITIES,
    COVERAGE_ASSIGNMENTS,
    TAXONOMY_COVERAGE,
    TAXONOMY_CHANGES,
)

"""Tables of the third stage: embeddings to domain distribution (paper section 3.2.3, tables 2 to 4, 10, figure 2)."""

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
    "Embedding of each advantage description.",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        Column("embedding", pl.List(pl.Float32()), "Embedding vector; the length is the same in all rows of a family."),
        Column("embedder", pl.String(), "Embedding model."),
    ),
)
DEDUPLICATED_ADVANTAGES = Table(
    "deduplicated_advantages",
    "family_domain",
    "Which descriptions are kept and, for the others, the kept description they duplicate (paper table 10).",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        Column("is_kept", pl.Boolean(), "Whether the description stays in the corpus."),
        Column("duplicate_of", pl.String(), "Kept description that it duplicates; null when kept.", is_nullable=True),
        Column(
            "similarity",
            pl.Float64(),
            "Cosine similarity to that description; null when kept.",
            True,
            -1.000001,
            1.000001,
        ),
    ),
)
CANDIDATE_CLUSTERINGS = Table(
    "candidate_clusterings",
    "family",
    "All candidate clusterings with their metrics.",
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
            "Share of the variance explained by d' components.",
            minimum=0,
            maximum=1.000001,
        ),
        Column("is_retained", pl.Boolean(), "Whether the candidate goes on to naming and review."),
        number("inertia", "Sum of squared distances to the centroids in the reduced space.", 0),
        number(
            "multistart_ari",
            "Adjusted Rand index of its labels with the best of 50 starts; null unless retained.",
            -1,
            1,
        ),
        number("index_null_mean", "Mean Davies-Bouldin index of column-permuted copies of the points.", 0),
        number("index_z", "z-score of its Davies-Bouldin index among those copies; lower is better."),
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
            "seed: other seeds, each the best of 50 starts; bootstrap: resampled source items.",
            allowed=("seed", "bootstrap"),
        ),
        count("n_replicates", "Number of replicates."),
        number(
            "ari_mean", "Mean adjusted Rand index with the candidate's labels; for bootstrap, on the drawn rows.", -1, 1
        ),
        number("ari_std", "Standard deviation of the index over replicates.", 0),
        *interval("ari", "the index over replicates", -1, 1),
        number("out_ari_mean", "Mean index on the rows that were not drawn; null for seed.", -1, 1),
    ),
)
CLUSTER_STABILITIES = Table(
    "cluster_stabilities",
    "family",
    "How well each cluster of the retained candidates is recovered when source items are resampled.",
    ("pca_dim", "n_clusters", "cluster_id"),
    (
        PCA_DIM,
        N_CLUSTERS,
        CLUSTER_ID,
        rate("mean_jaccard", "Mean over replicates of the largest Jaccard index with any cluster of the replicate."),
        rate("jaccard_low", "Lower bound of that index over replicates."),
        rate("recovered_share", "Share of replicates with a Jaccard index of at least 1/2."),
        count("n_questions", "Number of distinct questions in the cluster."),
        count("n_keys", "Number of distinct source items in the cluster."),
        rate("top_question_share", "Largest share of its advantages that come from one question."),
        text(
            "verdict",
            "Hennig's classes, with mean Jaccard thresholds .85, .75 and .6; null below five source items or if more"
            " than half the advantages come from one question.",
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
        count("n_replicates", "Number of sweeps."),
        rate("retained_share", "Share of sweeps that retain the candidate."),
        rate("best_index_share", "Share of sweeps in which its index is the lowest of the retained candidates."),
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
        Column("other_ids", pl.List(pl.String()), "Nearest descriptions of other clusters, shown for contrast."),
    ),
)
_SCORES = tuple(
    Column(name, pl.Int64(), f"{text}, 1 to 10; null when the review failed.", True, 1, 10)
    for name, text in (
        ("distinctness", "How mutually exclusive the clusters are"),
        ("granularity", "Conceptual precision and depth"),
        ("interpretability", "How clearly a reader recognises the behaviour"),
        ("balance", "How well the cluster sizes support statistics"),
        ("resolution", "How appropriate the number of clusters is"),
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
        count("review", "Review number, from 0."),
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
            "Common to the domains, specialised in one, or mixed (neither); null if no model gap is established.",
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
        rate("row_share", "n_advantages as a share of the cluster's descriptions; rows sum to 1."),
        rate(
            "column_share",
            "n_advantages as a share of the domain's descriptions; columns sum to 1, null for an empty domain.",
        ),
    ),
)
DOMAIN_SHARES = Table(
    "domain_shares",
    "family",
    "Share of each cluster in each domain with all domains weighted equally, tested against chance.",
    ("cluster_id", "domain"),
    (
        CLUSTER_ID,
        text("domain", "Domain of the questions."),
        count("n_advantages", "Kept descriptions of the cluster from the domain."),
        count("n_questions", "Number of distinct questions they come from."),
        rate("expected_share", "Share of all kept descriptions that come from the domain."),
        number("lift", "Share of the cluster's descriptions from the domain, divided by expected_share.", 0),
        rate("standard_share", "row_share with all domains weighted equally; rows sum to 1."),
        *interval("standard", "standard_share, over source keys; null below five"),
        rate("p_value", "One-sided permutation test of domain labels over source keys; null with one domain."),
        rate("q_value", "Benjamini-Hochberg q-value over all cells of the family."),
    ),
)
WORKED_CASES = Table(
    "worked_cases",
    "family",
    "One member of each cluster with excerpts of both traces around the quoted passages (as in paper figure 1).",
    ("cluster_id",),
    (
        CLUSTER_ID,
        ADVANTAGE_ID,
        text("domain", "Domain of the question."),
        QUESTION_ID,
        text("question", "Text of the problem."),
        Column("stage", pl.String(), "Stage of the pair's first error; null without one.", is_nullable=True),
        *(
            column
            for role in ROLES
            for column in (
                text(f"{role}_excerpt", f"Excerpt of the {role} model's trace."),
                count(f"{role}_start", "Start of the quoted passage in the excerpt, character offset from 0."),
                count(f"{role}_end", "End of the quoted passage, exclusive."),
            )
        ),
    ),
)
NAME_CHECKS = Table(
    "name_checks",
    "family",
    "Whether a judge can apply the cluster names and tell a cluster's advantages from others.",
    ("check", "cluster_id"),
    (
        text(
            "check",
            "assignment: pick the name for an advantage; intruder: pick the outsider among five, without names.",
            allowed=("assignment", "intruder"),
        ),
        Column("cluster_id", pl.Int64(), "Cluster of the advantages; -1 for all clusters.", minimum=-1),
        count("n_advantages", "Usable replies: advantages assigned, or sets with an intruder."),
        count("n_right", "Of these, advantages assigned to their own cluster, or sets whose intruder was identified."),
        rate("share", "n_right / n_advantages; null without usable replies."),
        rate("chance_share", "Share expected by chance: 1 / K; 1/5 for intruders."),
        number("kappa", "Cohen's kappa with the clustering; only on the assignment row over all clusters.", -1, 1),
        flag("is_unseen", "Whether the summariser was not shown these advantages; false for intruders."),
    ),
)
SENSITIVITIES = Table(
    "sensitivities",
    "family",
    "Agreement with the chosen clusters when one setting is changed.",
    ("setting", "value"),
    (
        text("setting", "Name of the setting; `weight` for the weighting of descriptions."),
        text("value", "Value of the setting; `question`: each question is weighted equally."),
        count("n_questions", "Questions with at least one description."),
        count("n_descriptions", "Descriptions clustered."),
        number("ari", "Adjusted Rand index with the chosen clusters on the descriptions common to both.", -1, 1),
    ),
)
COVERAGE_ASSIGNMENTS = Table(
    "coverage_assignments",
    "family",
    "Nearest cluster of the frozen taxonomy for each new advantage; no rows without a frozen taxonomy or new ones.",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        Column("domain", pl.String(), "Domain of the question."),
        Column("cluster_id", pl.Int64(), "Nearest cluster of the frozen taxonomy.", minimum=0),
        Column("distance", pl.Float64(), "Euclidean distance to its centroid in the reduced space.", minimum=0),
        Column("is_outside", pl.Boolean(), "Whether it is farther away than 99 % of the training advantages."),
    ),
)
TAXONOMY_COVERAGE = Table(
    "taxonomy_coverage",
    "family",
    "How well each cluster of the frozen taxonomy covers new advantages; no rows without a frozen taxonomy.",
    ("cluster_id",),
    (
        Column("taxonomy", pl.String(), "Name of the frozen taxonomy."),
        Column("cluster_id", pl.Int64(), "Cluster of the frozen taxonomy.", minimum=0),
        TAG,
        count("n_training", "Advantages of the cluster when the taxonomy was frozen."),
        count("n_new", "New advantages whose nearest cluster it is."),
        count("n_outside", "Of these, advantages outside the reach."),
        rate("outside_share", "n_outside / n_new; null without new advantages."),
        Column("reach", pl.Float64(), "99th percentile of the training distances.", minimum=0),
    ),
)
TAXONOMY_CHANGES = Table(
    "taxonomy_changes",
    "family",
    "Changes from the clusters of the frozen taxonomy to the current ones; no rows without a frozen taxonomy.",
    ("change_index",),
    (
        count("change_index", "Row number, from 0; old clusters first."),
        Column("change", pl.String(), "Kind of change.", allowed=("continued", "merged", "died", "split", "born")),
        Column("old_cluster_id", pl.Int64(), "Cluster of the frozen taxonomy; null when born.", True, 0),
        Column("old_tag", pl.String(), "Tag of the old cluster.", True),
        Column("new_cluster_id", pl.Int64(), "Cluster of the current taxonomy; null when died.", True, 0),
        Column("new_tag", pl.String(), "Tag of the new cluster.", True),
        Column("centre_distance", pl.Float64(), "Euclidean distance between their mean vectors.", True, 0),
        Column("n_shared", pl.Int64(), "Advantages in both clusters; null without a partner.", True, 0),
        rate("old_share", "n_shared as a share of the old cluster's advantages that still exist."),
        rate("new_share", "n_shared as a share of the new cluster's advantages that the frozen taxonomy has."),
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

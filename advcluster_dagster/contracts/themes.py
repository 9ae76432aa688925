"""Tables that relate clusters: themes, tests of declared themes, shared patterns, matches with published clusters."""

import polars as pl

from advcluster_dagster.contracts.columns import CLUSTER_ID, count, flag, number, rate, text
from advcluster_dagster.contracts.table import Column, Table

THEMES = Table(
    "themes",
    "study",
    "Consensus themes of repeated groupings of all clusters.",
    ("theme_id",),
    (
        count("theme_id", "Theme number, from 0."),
        text("name", "Name from the repeat that agrees best with the others."),
        text("definition", "Definition of the theme."),
        count("n_clusters", "Number of clusters in the theme."),
        count("n_advantages", "Number of advantages in these clusters."),
        number("agreement", "Mean adjusted Rand index over pairs of repeats; null with one repeat.", -1, 1),
    ),
)
THEME_MEMBERS = Table(
    "theme_members",
    "study",
    "Theme of each cluster.",
    ("family", "cluster_id"),
    (
        text("family", "Family of the cluster."),
        CLUSTER_ID,
        Column("theme_id", pl.Int64(), "Theme of the cluster; null if it fits none.", True, 0),
        rate("support", "Share of the repeats that group it with the rest of its theme, or assign it no theme."),
    ),
)
THEME_TESTS = Table(
    "theme_tests",
    "study",
    "Support for the themes declared in the study.",
    ("theme", "family", "domain", "basis"),
    (
        text("theme", "Declared theme."),
        text("family", "Family."),
        text("domain", "Domain; `all` for the family."),
        text(
            "basis",
            "clusters: all advantages of clusters assigned to the theme by majority vote; advantages: votes on a random"
            " sample of single advantages.",
            allowed=("clusters", "advantages"),
        ),
        count("n_advantages", "Advantages counted."),
        count("n_belonging", "Of these, advantages that belong to the theme."),
        rate("share", "n_belonging / n_advantages."),
        rate("low", "Lower bound of its confidence interval, over source keys."),
        rate("high", "Upper bound."),
        count("n_keys", "Source items of these advantages."),
    ),
)
SHARED_PATTERNS = Table(
    "shared_patterns",
    "study",
    "Patterns shared by clusters of several families.",
    ("pattern_id",),
    (
        count("pattern_id", "Pattern number, from 0."),
        Column("members", pl.List(pl.String()), "Clusters of the pattern, each as FAMILY#CLUSTER."),
        text("name", "Tag of its first cluster; null when naming failed.", True),
        number("similarity", "Mean similarity of its matches.", -1, 1),
        flag("is_in_all", "Whether every family has a cluster in it."),
        flag(
            "has_several_of_one",
            "Whether a family has several clusters in it, possible where families are matched through a third.",
        ),
    ),
)
PATTERN_MATCHES = Table(
    "pattern_matches",
    "study",
    "Similarity of each pair of clusters from different families.",
    ("family_a", "cluster_a", "family_b", "cluster_b"),
    (
        text("family_a", "First family."),
        Column("cluster_a", pl.Int64(), "Cluster of the first family.", minimum=0),
        text("family_b", "Second family."),
        Column("cluster_b", pl.Int64(), "Cluster of the second family.", minimum=0),
        number("centroid_cosine", "Cosine similarity of the centroids, centred by the pooled mean.", -1, 1),
        number(
            "definition_cosine",
            "Cosine similarity of the embedded tags and definitions, centred in the same way.",
            -1,
            1,
        ),
        rate(
            "member_share_ab", "Share of the first cluster's advantages whose nearest centroid is the second cluster's."
        ),
        rate("member_share_ba", "The same from the second to the first cluster."),
        number("similarity", "Mean of the two cosine similarities.", -1, 1),
        flag(
            "is_match",
            "Whether the pair is in the best one-to-one matching and more similar than clusters within a family.",
        ),
    ),
)
PUBLISHED_MATCHES = Table(
    "published_matches",
    "study",
    "Most similar published cluster of each cluster.",
    ("family", "cluster_id"),
    (
        text("family", "Family of this study."),
        CLUSTER_ID,
        text("published_family", "Family of the published cluster."),
        Column("published_cluster", pl.Int64(), "Number of the published cluster.", minimum=0),
        text("published_tag", "Tag of the published cluster."),
        number("similarity", "Cosine similarity of the embedded tags and definitions, centred.", -1, 1),
        number(
            "null_similarity",
            "95th percentile of the similarity between different published clusters of a family.",
            -1,
            1,
        ),
        flag("is_match", "Whether similarity exceeds null_similarity."),
    ),
)

TABLES = (THEMES, THEME_MEMBERS, THEME_TESTS, SHARED_PATTERNS, PATTERN_MATCHES, PUBLISHED_MATCHES)

"""Tables above the clusters: themes, declared themes, patterns that families share, matches with published clusters."""

import polars as pl

from advcluster_dagster.contracts.columns import CLUSTER_ID, count, flag, number, rate, text
from advcluster_dagster.contracts.table import Column, Table

THEMES = Table(
    "themes",
    "study",
    "Themes that repeated grouping of all clusters agrees on.",
    ("theme_id",),
    (
        count("theme_id", "Theme, counted from 0."),
        text("name", "Name given by the repeat that agrees best with the others."),
        text("definition", "Its definition."),
        count("n_clusters", "Clusters under it."),
        count("n_advantages", "Their advantages."),
        number("agreement", "Mean adjusted Rand index of each two repeats; null with one.", -1, 1),
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
        Column("theme_id", pl.Int64(), "Its theme; null where it fits none.", True, 0),
        rate("support", "Share of the repeats that put it with the others of its theme, or under none."),
    ),
)
THEME_TESTS = Table(
    "theme_tests",
    "study",
    "How far themes that the study declares beforehand are borne out.",
    ("theme", "family", "domain", "basis"),
    (
        text("theme", "Declared theme."),
        text("family", "Family."),
        text("domain", "Domain; `all` for the family."),
        text(
            "basis",
            "clusters: every advantage of a cluster that most votes assign to the theme; advantages: votes on a random"
            " draw of single advantages.",
            allowed=("clusters", "advantages"),
        ),
        count("n_advantages", "Advantages counted."),
        count("n_belonging", "Of these, those that belong to the theme."),
        rate("share", "Their share."),
        rate("low", "Lower end of its interval, over source keys."),
        rate("high", "Upper end."),
        count("n_keys", "Source items among them."),
    ),
)
SHARED_PATTERNS = Table(
    "shared_patterns",
    "study",
    "Patterns that clusters of several families share.",
    ("pattern_id",),
    (
        count("pattern_id", "Pattern, counted from 0."),
        Column("members", pl.List(pl.String()), "Clusters, FAMILY#CLUSTER each."),
        text("name", "Tag of its first cluster; null when naming failed.", True),
        number("similarity", "Mean similarity of its matches.", -1, 1),
        flag("is_in_all", "Whether every family has a cluster in it."),
        flag("has_several_of_one", "Whether one family has several clusters in it, which one-to-one matching forbids."),
    ),
)
PATTERN_MATCHES = Table(
    "pattern_matches",
    "study",
    "Similarity of every two clusters of different families.",
    ("family_a", "cluster_a", "family_b", "cluster_b"),
    (
        text("family_a", "First family."),
        Column("cluster_a", pl.Int64(), "Its cluster.", minimum=0),
        text("family_b", "Second family."),
        Column("cluster_b", pl.Int64(), "Its cluster.", minimum=0),
        number("centroid_cosine", "Cosine of the centroids after centring by the pooled mean.", -1, 1),
        number("definition_cosine", "Cosine of the embedded tags and definitions, centred alike.", -1, 1),
        rate("member_share_ab", "Share of the first cluster's advantages nearest to the second one's centroid."),
        rate("member_share_ba", "The reverse."),
        number("similarity", "Mean of both cosines.", -1, 1),
        flag("is_match", "Best one-to-one pair, beyond what different clusters of a family reach."),
    ),
)
PUBLISHED_MATCHES = Table(
    "published_matches",
    "study",
    "The published cluster that each cluster resembles most.",
    ("family", "cluster_id"),
    (
        text("family", "Family of this study."),
        CLUSTER_ID,
        text("published_family", "Family of the published cluster."),
        Column("published_cluster", pl.Int64(), "Its number.", minimum=0),
        text("published_tag", "Its tag."),
        number("similarity", "Cosine of the embedded tags and definitions, centred.", -1, 1),
        number("null_similarity", "95th percentile of it between different published clusters of a family.", -1, 1),
        flag("is_match", "Closer than that."),
    ),
)

TABLES = (THEMES, THEME_MEMBERS, THEME_TESTS, SHARED_PATTERNS, PATTERN_MATCHES, PUBLISHED_MATCHES)

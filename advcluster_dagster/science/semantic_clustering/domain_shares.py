"""Distribution of clusters over equally weighted domains, and the specialised clusters that follow.

The heatmap's row shares depend on the number of advantages per domain. Here domains have equal weight, source items are
the unit of resampling, and a cluster is specialised only if an interval, a permutation test and the number of questions
support it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.semantic_clustering import DOMAIN_SHARES
from advcluster_dagster.science.statistics.proportions import jeffreys_interval
from advcluster_dagster.science.statistics.resampling import (
    MIN_KEYS,
    FloatArray,
    IntArray,
    bootstrap_weights,
    codes_of,
    percentile_interval,
    permutation_p,
    q_values,
)

#: Minimum permutations per cell; with fewer, adjusted p-values of many cells could not be small.
_PERMUTATIONS_PER_CELL = 50
#: The lower bound of a specialised cluster's interval must exceed this multiple of an even share.
_ABOVE_EVEN = Fraction(3, 2)


@dataclass(frozen=True)
class ShareSettings:
    """Confidence level in (0, 1), bootstrap replicates over source keys, minimum permutations, false discovery rate."""

    confidence: float = 0.95
    n_bootstrap: int = 2000
    n_permutations: int = 2000
    fdr: float = 0.05


@dataclass(frozen=True)
class SpecialisedRule:
    """Bounds for a specialised cluster: standardised share in [0, 1], adjusted p-value, distinct questions."""

    min_share: float = 0.6
    max_q: float = 0.05
    min_questions: int = 5


@dataclass(frozen=True)
class _Counts:
    """Advantage counts by source key and cluster, int64 of shape (C, K), and the domain of each key, shape (C,)."""

    by_key: IntArray
    domains: IntArray
    n_domains: int

    def by_cell(self) -> IntArray:
        cells = np.zeros((self.by_key.shape[1], self.n_domains), dtype=np.int64)
        for domain in range(self.n_domains):
            cells[:, domain] = self.by_key[self.domains == domain].sum(axis=0)
        return cells


def standard_shares(cells: npt.NDArray[np.number]) -> FloatArray:
    """Shares of each cluster over equally weighted domains: s_kd / sum over d of s_kd with s_kd = n_kd / n_d.

    Args:
        cells: Advantage counts of each cluster in each domain, shape (..., K, D).

    Returns:
        float64 of the same shape; NaN for a cluster without advantages. A domain without advantages has share 0.
    """
    sizes = cells.sum(axis=-2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = np.where(sizes > 0, cells / sizes, 0.0)
        shares: FloatArray = rates / rates.sum(axis=-1, keepdims=True)
    return shares


def domain_shares(
    placed: pl.DataFrame, domains: list[str], n_clusters: int, settings: ShareSettings, rng: np.random.Generator
) -> pl.DataFrame:
    """Compute expected and standardised share, lift, interval and test of every cluster in every domain.

    Args:
        placed: Columns domain, source_key, question_id, cluster_id, one row per advantage.
        domains: All analysed domains, including those without advantages.
        n_clusters: Number of clusters K; clusters are 0 .. K-1.
        settings: Settings of intervals and tests.
        rng: Random generator.

    Returns:
        Rows of ``domain_shares``, clusters and domains in order. The p-value is the probability of a standardised share
        at least as large under permutation of domain labels over source keys; intervals are null for clusters with
        fewer than five keys.
    """
    if placed.is_empty() or not n_clusters:
        return pl.DataFrame(schema=DOMAIN_SHARES.own_schema)
    counts = _count(placed, domains, n_clusters)
    cells = counts.by_cell()
    shares = standard_shares(cells)
    replicates = _bootstrap(counts, settings, rng)
    p_values = _permutation_p_values(counts, shares, settings, rng)
    adjusted = _adjusted(p_values)
    n_questions = _distinct(placed, domains, n_clusters, "question_id")
    n_keys = _distinct(placed, domains, n_clusters, "source_key").sum(axis=1)
    expected = cells.sum(axis=0) / cells.sum()
    rows: list[tuple[object, ...]] = []
    for cluster, place in _cells(cells):
        size, share = int(cells[cluster].sum()), shares[cluster, place]
        row_share = cells[cluster, place] / size if size else None
        lift = row_share / expected[place] if row_share is not None and expected[place] > 0 else None
        low, high = (None, None)
        if size and n_keys[cluster] >= MIN_KEYS:
            low, high = _interval(
                share, int(n_questions[cluster].sum()), replicates[:, cluster, place], settings.confidence
            )
        rows.append(
            (
                cluster,
                domains[place],
                int(cells[cluster, place]),
                int(n_questions[cluster, place]),
                float(expected[place]),
                lift,
                None if np.isnan(share) else float(share),
                low,
                high,
                p_values[cluster][place],
                adjusted[cluster][place],
            )
        )
    return pl.DataFrame(rows, schema=DOMAIN_SHARES.own_schema, orient="row")


def _cells(cells: IntArray) -> Iterator[tuple[int, int]]:
    return ((cluster, place) for cluster in range(cells.shape[0]) for place in range(cells.shape[1]))


def _count(placed: pl.DataFrame, domains: list[str], n_clusters: int) -> _Counts:
    keys = codes_of(list(placed.select("domain", "source_key").iter_rows()))
    by_key = np.zeros((int(keys.max()) + 1, n_clusters), dtype=np.int64)
    np.add.at(by_key, (keys, placed["cluster_id"].to_numpy()), 1)
    index = {domain: number for number, domain in enumerate(domains)}
    row_domains = np.array([index[domain] for domain in placed["domain"]])
    return _Counts(by_key, row_domains[np.unique(keys, return_index=True)[1]], len(domains))


def _bootstrap(counts: _Counts, settings: ShareSettings, rng: np.random.Generator) -> FloatArray:
    weights = bootstrap_weights(counts.domains, settings.n_bootstrap, rng)
    cells = np.stack(
        [
            weights[:, counts.domains == domain] @ counts.by_key[counts.domains == domain]
            for domain in range(counts.n_domains)
        ],
        axis=2,
    )
    return standard_shares(cells)


def _permutation_p_values(
    counts: _Counts, shares: FloatArray, settings: ShareSettings, rng: np.random.Generator
) -> list[list[float | None]]:
    """P-values by cluster and domain; None for a single domain or an empty cluster."""
    n_clusters, n_domains = shares.shape
    n_present = len(np.unique(counts.domains))
    if n_present < 2:
        return [[None] * n_domains for _ in range(n_clusters)]
    n_permutations = max(settings.n_permutations, _PERMUTATIONS_PER_CELL * n_clusters * n_domains)
    labels = rng.permuted(np.tile(counts.domains, (n_permutations, 1)), axis=1)
    by_key = counts.by_key.astype(np.float64)
    cells = np.stack([(labels == domain).astype(np.float64) @ by_key for domain in range(n_domains)], axis=2)
    permuted = standard_shares(cells)
    return [
        [
            None
            if np.isnan(shares[cluster, place])
            else permutation_p(float(shares[cluster, place]), np.nan_to_num(permuted[:, cluster, place]))
            for place in range(n_domains)
        ]
        for cluster in range(n_clusters)
    ]


def _adjusted(p_values: list[list[float | None]]) -> list[list[float | None]]:
    defined = [p for row in p_values for p in row if p is not None]
    adjusted = iter(q_values(defined))
    return [[None if p is None else next(adjusted) for p in row] for row in p_values]


def _distinct(placed: pl.DataFrame, domains: list[str], n_clusters: int, column: str) -> IntArray:
    """Different values of a column by cluster and domain."""
    numbers = np.zeros((n_clusters, len(domains)), dtype=np.int64)
    place = {domain: number for number, domain in enumerate(domains)}
    counted = placed.group_by("cluster_id", "domain").agg(pl.col(column).n_unique().alias("n"))
    for cluster, domain, n in counted.iter_rows():
        numbers[cluster, place[domain]] = n
    return numbers


def _interval(
    share: float, n_questions: int, replicates: FloatArray, confidence: float
) -> tuple[float | None, float | None]:
    """Bootstrap interval; for shares of 0 or 1, which resampling cannot vary, the Jeffreys interval over questions."""
    if share <= 0 or share >= 1:
        low, high = jeffreys_interval(round(share) * n_questions, n_questions, confidence)
        return float(low), float(high)
    return percentile_interval(replicates, confidence)


def classify_by_shares(shares: pl.DataFrame, rule: SpecialisedRule) -> pl.DataFrame:
    """Classify each cluster and determine its main domain.

    ``specialised`` in a domain: standardised share at least ``min_share``, lower bound of its interval above 1.5 times
    an even share, q at most ``max_q``, at least ``min_questions`` questions. ``common``: not specialised, with a
    standardised share of at least half an even share in more than half of the domains. ``mixed``: neither.

    Args:
        shares: Rows of ``domain_shares``.
        rule: Bounds for specialised clusters.

    Returns:
        Columns cluster_id, kind, main_domain (with the largest standardised share, ties by name), domain_entropy (of
        the standardised shares, normalised; null for a single domain or an empty cluster).
    """
    n_domains = shares["domain"].n_unique()
    even = 1 / n_domains if n_domains else 1.0
    is_specialised = (
        (pl.col("standard_share") >= rule.min_share - 1e-12)
        & (pl.col("standard_low") > float(_ABOVE_EVEN) * even)
        & (pl.col("q_value") <= rule.max_q)
        & (pl.col("n_questions") >= rule.min_questions)
    ).fill_null(False)
    is_present = (pl.col("standard_share") >= even / 2).fill_null(False)
    share = pl.col("standard_share").filter(pl.col("standard_share") > 0)
    return (
        shares.with_columns(is_specialised.alias("_specialised"), is_present.alias("_present"))
        .sort("cluster_id", "standard_share", "domain", descending=[False, True, False], nulls_last=True)
        .group_by("cluster_id", maintain_order=True)
        .agg(
            pl.when(pl.col("_specialised").any())
            .then(pl.lit("specialised"))
            .when(pl.col("_present").sum() * 2 > n_domains)
            .then(pl.lit("common"))
            .otherwise(pl.lit("mixed"))
            .alias("kind"),
            pl.when(pl.col("standard_share").is_not_null().any()).then(pl.col("domain").first()).alias("main_domain"),
            pl.when(pl.col("standard_share").is_not_null().any() & (n_domains > 1))
            .then(share.entropy(base=n_domains).abs() if n_domains > 1 else pl.lit(None))
            .alias("domain_entropy"),
        )
    )

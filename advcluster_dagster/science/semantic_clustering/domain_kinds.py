"""Classify clusters as common to all domains or specialised in one domain.

Paper section 5 distinguishes common and specialised advantages manually; the rule is this project's.
"""

from fractions import Fraction

import polars as pl

_N, _CLUSTER, _DOMAIN = pl.col("n_advantages"), "cluster_id", "domain"


def adjusted_residuals(counts: pl.DataFrame) -> pl.DataFrame:
    """Adjusted standardised residual of every cell of the cluster-by-domain table.

    With N advantages in total, r in the cluster, c in the domain and O in both, the residual is
    (O - rc/N) / sqrt(rc/N * (1 - r/N) * (1 - c/N)); approximately standard normal if clusters and domains are
    independent, positive for an over-represented domain. Null if the cluster or the domain is empty or contains
    all advantages.

    Args:
        counts: cluster_id, domain, n_advantages; an absent pair counts as 0 advantages.

    Returns:
        cluster_id, domain, n_advantages, adjusted_residual: one row per pair, sorted.

    Raises:
        ValueError: A pair occurs more than once.

    References:
        Haberman (1973), The analysis of residuals in cross-classified tables, Biometrics 29.
    """
    repeated = counts.filter(pl.struct(_CLUSTER, _DOMAIN).is_duplicated())
    if not repeated.is_empty():
        raise ValueError(f"cluster {repeated[_CLUSTER][0]}, domain {repeated[_DOMAIN][0]!r} occurs more than once")
    pairs = counts.select(_CLUSTER).unique().join(counts.select(_DOMAIN).unique(), how="cross")
    of_cluster, of_domain, total = _N.sum().over(_CLUSTER), _N.sum().over(_DOMAIN), _N.sum()
    expected = of_cluster * of_domain / total
    variance = expected * (1 - of_cluster / total) * (1 - of_domain / total)
    is_defined = (of_cluster > 0) & (of_cluster < total) & (of_domain > 0) & (of_domain < total)
    residual = pl.when(is_defined).then((_N - expected) / variance.sqrt())
    return (
        pairs.join(counts, on=[_CLUSTER, _DOMAIN], how="left")
        .select(_CLUSTER, _DOMAIN, _N.fill_null(0).cast(pl.Int64))
        .with_columns(residual.alias("adjusted_residual"))
        .sort(_CLUSTER, _DOMAIN)
    )


def classify_clusters(counts: pl.DataFrame, min_share: float = 0.6, min_residual: float = 2.0) -> pl.DataFrame:
    """Classify each cluster as specialised or common.

    A cluster is specialised in a domain that has at least `min_share` of its advantages (compared exactly, on the
    counts) and is over-represented in it (adjusted residual > `min_residual`). All other clusters are common.
    With a single domain residuals are undefined, so all clusters are common.

    Args:
        counts: cluster_id, domain, n_advantages; an absent pair counts as 0 advantages.
        min_share: Minimum share of the cluster's advantages in its domain, in [0, 1].
        min_residual: Number of standard deviations that the residual must exceed.

    Returns:
        One row per cluster, sorted: cluster_id; kind, `specialised` or `common`; main_domain, the domain it is
        specialised in, else the domain with most of its advantages (ties: higher residual, then name; null for an
        empty cluster); domain_entropy, the Shannon entropy of its shares divided by the logarithm of the number of
        domains in the table: 0 for a single domain, 1 for equal shares; null if the table has one domain or the
        cluster is empty.

    Raises:
        ValueError: A pair occurs more than once.
    """
    share = Fraction(str(min_share))
    size = _N.sum().over(_CLUSTER)
    is_large = (_N * share.denominator >= size * share.numerator) & (size > 0)
    is_specialised = is_large & (pl.col("adjusted_residual") > min_residual).fill_null(False)
    n_domains = counts[_DOMAIN].n_unique()
    entropy = _N.filter(_N > 0).entropy(base=n_domains).abs()  # abs: a single domain gives -0
    return (
        adjusted_residuals(counts)
        .with_columns(is_specialised.alias("is_specialised"))
        .sort(
            [_CLUSTER, "is_specialised", "n_advantages", "adjusted_residual", _DOMAIN],
            descending=[False, True, True, True, False],
            nulls_last=True,
        )
        .group_by(_CLUSTER, maintain_order=True)
        .agg(
            pl.when(pl.col("is_specialised").any())
            .then(pl.lit("specialised"))
            .otherwise(pl.lit("common"))
            .alias("kind"),
            pl.when(_N.sum() > 0).then(pl.col(_DOMAIN).first()).alias("main_domain"),
            pl.when((_N.sum() > 0) & (n_domains > 1)).then(entropy).alias("domain_entropy"),
        )
    )

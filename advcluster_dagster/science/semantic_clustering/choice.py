"""Choose the final clustering among the retained candidates (paper section 3.2.3)."""

from dataclasses import dataclass
from statistics import stdev

import polars as pl

_KEYS = ["pca_dim", "n_clusters"]


@dataclass(frozen=True)
class Choice:
    """The chosen candidate and why.

    Attributes:
        pca_dim: PCA dimension d' of the choice.
        n_clusters: Number of clusters K of the choice.
        mean_total: Mean total of its valid reviews; None if it has none.
        reason: One line for the report.
        near: Other candidates whose mean total is at most one standard error below the winner's, so that the
            reviews do not distinguish them.
    """

    pca_dim: int
    n_clusters: int
    mean_total: float | None
    reason: str
    near: tuple[tuple[int, int], ...] = ()


def choose_candidate(
    reviews: pl.DataFrame,
    metrics: pl.DataFrame,
    pin: tuple[int, int] | None,
    stabilities: pl.DataFrame | None = None,
) -> Choice:
    """Choose the retained candidate with the highest mean review total.

    Ties are broken by the lower Davies-Bouldin index, the higher silhouette, then the smaller pca_dim and
    n_clusters. Candidates without a valid review rank last; if no candidate has one, the index decides. The index
    only breaks ties because it is not comparable across dimensions (it decreases with d').

    Args:
        reviews: Columns pca_dim, n_clusters, review, total; total is null for an invalid review.
        metrics: Columns pca_dim, n_clusters, davies_bouldin, silhouette, is_retained.
        pin: (pca_dim, n_clusters) pinned in the study, or None.
        stabilities: Rows of ``candidate_stabilities``; candidates whose bootstrap ari_mean is more than one
            bootstrap standard deviation below the best are excluded first. None uses the reviews alone.

    Returns:
        The choice and its reason.

    Raises:
        ValueError: No candidate is retained, or the pinned or a reviewed candidate is not retained.

    References:
        Paper section 3.2.3, "Final Clustering Selection".
    """
    ranking = _rank(reviews, metrics)
    retained = list(ranking.select(_KEYS).iter_rows())
    if not retained:
        raise ValueError("no retained candidate to choose from; see the reason reported by candidate_clusterings")
    _check_retained("reviewed candidate", list(reviews.select(_KEYS).unique().sort(_KEYS).iter_rows()), retained)
    if pin is not None:
        _check_retained("pinned candidate", [pin], retained)
        rank = retained.index(pin)
        reason = f"pinned by the study; {_describe_rank(ranking, rank)}"
        return Choice(pin[0], pin[1], ranking["mean_total"][rank], reason)
    stable = ranking if stabilities is None else _stable(ranking, stabilities)
    chosen = stable.row(0, named=True)
    reason = _reason(stable)
    if stable.height < ranking.height:
        reason += f"; {ranking.height - stable.height} less stable candidates excluded"
    near = _near(stable, reviews)
    return Choice(chosen["pca_dim"], chosen["n_clusters"], chosen["mean_total"], reason, near)


def _stable(ranking: pl.DataFrame, stabilities: pl.DataFrame) -> pl.DataFrame:
    """Candidates whose stability is at most one bootstrap standard deviation below that of the best."""
    bootstrap = stabilities.filter(pl.col("kind") == "bootstrap").drop_nulls("ari_mean")
    if bootstrap.is_empty():
        return ranking
    best = bootstrap.sort("ari_mean", descending=True).row(0, named=True)
    kept = bootstrap.filter(pl.col("ari_mean") >= best["ari_mean"] - (best["ari_std"] or 0.0))
    return ranking.join(kept, on=_KEYS, how="semi", maintain_order="left")


def _near(ranking: pl.DataFrame, reviews: pl.DataFrame) -> tuple[tuple[int, int], ...]:
    """Other candidates whose mean total is at most one standard error below that of the first."""
    first = ranking.row(0, named=True)
    if first["mean_total"] is None:
        return ()
    totals = reviews.filter((pl.col("pca_dim") == first["pca_dim"]) & (pl.col("n_clusters") == first["n_clusters"]))
    valid_totals = totals["total"].drop_nulls().to_list()
    error = stdev(valid_totals) / len(valid_totals) ** 0.5 if len(valid_totals) > 1 else 0.0
    near = ranking.slice(1).filter(pl.col("mean_total") >= first["mean_total"] - error)
    return tuple(near.select(_KEYS).iter_rows())


def _rank(reviews: pl.DataFrame, metrics: pl.DataFrame) -> pl.DataFrame:
    """Retained candidates, best first, with mean_total and n_reviews."""
    totals = reviews.group_by(_KEYS).agg(
        pl.col("total").cast(pl.Float64).mean().alias("mean_total"), pl.col("total").count().alias("n_reviews")
    )
    return (
        metrics.filter("is_retained")
        .join(totals, on=_KEYS, how="left")
        .with_columns(pl.col("n_reviews").fill_null(0))
        .sort(
            ["mean_total", "davies_bouldin", "silhouette", *_KEYS],
            descending=[True, False, True, False, False],
            nulls_last=True,
        )
    )


def _check_retained(label: str, candidates: list[tuple[int, int]], retained: list[tuple[int, int]]) -> None:
    """Raise ValueError if a candidate is not retained."""
    unretained = [candidate for candidate in candidates if candidate not in retained]
    if unretained:
        names = ", ".join(str(candidate) for candidate in sorted(retained))
        raise ValueError(f"{label} {unretained[0]} is not retained; retained (pca_dim, n_clusters): {names}")


def _reason(ranking: pl.DataFrame) -> str:
    """State why the first candidate of the ranking was chosen."""
    total = ranking["mean_total"][0]
    if total is None:
        return "no valid review of any candidate; lowest Davies-Bouldin index"
    rivals = ranking.slice(1).filter(pl.col("mean_total") == total)
    reason = f"highest mean review total, {_describe_rank(ranking, 0)}"
    if rivals.is_empty():
        return reason
    by_index = rivals["davies_bouldin"][0] > ranking["davies_bouldin"][0]
    by_width = rivals["silhouette"][0] < ranking["silhouette"][0]
    rule = "lower Davies-Bouldin index" if by_index else "higher silhouette" if by_width else "smaller setting"
    return f"{reason}; tied with {rivals.height} other{'s' * (rivals.height != 1)}, {rule}"


def _describe_rank(ranking: pl.DataFrame, rank: int) -> str:
    """Mean total and number of valid reviews of one candidate."""
    total, n_reviews = ranking["mean_total"][rank], ranking["n_reviews"][rank]
    return "no valid review" if total is None else f"{total:.2f} over {n_reviews} valid review{'s' * (n_reviews != 1)}"

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
        near: Other candidates whose mean total is within one standard error of the winner's, or not below it:
            reviews do not tell them apart.
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

    Ties go to the lower Davies-Bouldin index, then to the higher silhouette, then to the smaller pca_dim and
    n_clusters. A candidate without a valid review loses to every one that has some; if none has, the index
    decides. The index is not comparable across dimensions (it falls with d'), which is why it only breaks ties.

    Args:
        reviews: pca_dim, n_clusters, review, total; a total is null where the review was not valid.
        metrics: pca_dim, n_clusters, davies_bouldin, silhouette, is_retained.
        pin: (pca_dim, n_clusters) set by hand in the study, or None.
        stabilities: rows of ``candidate_stabilities``; candidates whose bootstrap ari_mean lies more than one
            bootstrap standard deviation below the best one's drop out first. None leaves the choice to the reviews.

    Returns:
        The choice and its reason.

    Raises:
        ValueError: If nothing is retained, or a pin or a review belongs to no retained candidate.

    References:
        Paper section 3.2.3, "Final Clustering Selection".
    """
    ranking = _rank(reviews, metrics)
    retained = list(ranking.select(_KEYS).iter_rows())
    if not retained:
        raise ValueError("no retained candidate to choose from: see the reason given by candidate_clusterings")
    _check_retained("reviewed candidate", list(reviews.select(_KEYS).unique().sort(_KEYS).iter_rows()), retained)
    if pin is not None:
        _check_retained("pinned candidate", [pin], retained)
        place = retained.index(pin)
        reason = f"pinned by the study; {_describe_place(ranking, place)}"
        return Choice(pin[0], pin[1], ranking["mean_total"][place], reason)
    stable = ranking if stabilities is None else _stable(ranking, stabilities)
    chosen = stable.row(0, named=True)
    reason = _reason(stable)
    if stable.height < ranking.height:
        reason += f"; {ranking.height - stable.height} less stable candidates dropped before"
    near = _near(stable, reviews)
    return Choice(chosen["pca_dim"], chosen["n_clusters"], chosen["mean_total"], reason, near)


def _stable(ranking: pl.DataFrame, stabilities: pl.DataFrame) -> pl.DataFrame:
    """Candidates no less stable than the best by more than one bootstrap standard deviation of the best."""
    bootstrap = stabilities.filter(pl.col("kind") == "bootstrap").drop_nulls("ari_mean")
    if bootstrap.is_empty():
        return ranking
    best = bootstrap.sort("ari_mean", descending=True).row(0, named=True)
    kept = bootstrap.filter(pl.col("ari_mean") >= best["ari_mean"] - (best["ari_std"] or 0.0))
    return ranking.join(kept, on=_KEYS, how="semi", maintain_order="left")


def _near(ranking: pl.DataFrame, reviews: pl.DataFrame) -> tuple[tuple[int, int], ...]:
    """Candidates after the first whose mean total is within one standard error of the first one's."""
    first = ranking.row(0, named=True)
    if first["mean_total"] is None:
        return ()
    totals = reviews.filter((pl.col("pca_dim") == first["pca_dim"]) & (pl.col("n_clusters") == first["n_clusters"]))
    given = totals["total"].drop_nulls().to_list()
    error = stdev(given) / len(given) ** 0.5 if len(given) > 1 else 0.0
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


def _check_retained(what: str, candidates: list[tuple[int, int]], retained: list[tuple[int, int]]) -> None:
    """Refuse a candidate that is not retained."""
    strangers = [candidate for candidate in candidates if candidate not in retained]
    if strangers:
        names = ", ".join(str(candidate) for candidate in sorted(retained))
        raise ValueError(f"{what} {strangers[0]} is not retained; retained (pca_dim, n_clusters): {names}")


def _reason(ranking: pl.DataFrame) -> str:
    """Why the first candidate of the ranking was chosen."""
    total = ranking["mean_total"][0]
    if total is None:
        return "no valid review of any candidate; lowest Davies-Bouldin index"
    rivals = ranking.slice(1).filter(pl.col("mean_total") == total)
    reason = f"highest mean review total, {_describe_place(ranking, 0)}"
    if rivals.is_empty():
        return reason
    by_index = rivals["davies_bouldin"][0] > ranking["davies_bouldin"][0]
    by_width = rivals["silhouette"][0] < ranking["silhouette"][0]
    rule = "lower Davies-Bouldin index" if by_index else "higher silhouette" if by_width else "smaller setting"
    return f"{reason}; tied with {rivals.height} other, {rule}"


def _describe_place(ranking: pl.DataFrame, place: int) -> str:
    """Mean total of one candidate and the number of reviews behind it."""
    total, n_reviews = ranking["mean_total"][place], ranking["n_reviews"][place]
    return "no valid review" if total is None else f"{total:.2f} over {n_reviews} valid review{'s' * (n_reviews != 1)}"

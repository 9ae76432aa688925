"""Match clusters across families, or with the published clusters, beyond similarities expected by chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from advcluster_dagster.contracts.themes import PATTERN_MATCHES, PUBLISHED_MATCHES, SHARED_PATTERNS
from advcluster_dagster.science.statistics.resampling import FloatArray, IntArray

#: A match must exceed this percentile of the similarities between different clusters of one family.
_NULL_PERCENTILE = 95.0
#: Each cluster of a match must be among this many most similar clusters of the other.
_N_BEST = 2


@dataclass(frozen=True)
class FamilyClusters:
    """The clusters of one family.

    Attributes:
        family: Name of the family.
        tags: Tag of each cluster; None if naming failed.
        embeddings: float64 of shape (n, d), embeddings of its advantages in the full space.
        labels: int64 of shape (n,), clusters 0 .. K-1, none empty.
        definitions: float64 of shape (K, d), embeddings of "tag. definition".
    """

    family: str
    tags: Sequence[str | None]
    embeddings: FloatArray
    labels: IntArray
    definitions: FloatArray

    @property
    def n_clusters(self) -> int:
        """Number of clusters K."""
        return len(self.tags)


@dataclass(frozen=True)
class _Space:
    """Embeddings of every family, centred by the pooled mean, for similarities between clusters."""

    centroids: dict[str, FloatArray]
    members: dict[str, FloatArray]
    definitions: dict[str, FloatArray]

    def similarity(self, first: str, second: str) -> tuple[FloatArray, FloatArray]:
        """Cosines of centroids and of definitions, each of shape (K_1, K_2)."""
        return (
            _cosines(self.centroids[first], self.centroids[second]),
            _cosines(self.definitions[first], self.definitions[second]),
        )


def match_patterns(families: Sequence[FamilyClusters]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Match clusters of each two families one to one, and derive shared patterns.

    Embeddings are centred by the mean of the families' means, which weights families equally; without centring all
    cosines are near 1. Similarity is the mean of the cosines of centroids and of definitions. A pair of the optimal
    assignment is a match if its similarity exceeds the 95th percentile of similarities between different clusters of
    one family, and each cluster is among the other's two most similar.

    Args:
        families: Families embedded by the same model.

    Returns:
        Rows of ``shared_patterns`` and of ``pattern_matches``; both empty for fewer than two families.
    """
    from scipy.optimize import linear_sum_assignment

    if len(families) < 2:
        return pl.DataFrame(schema=SHARED_PATTERNS.own_schema), pl.DataFrame(schema=PATTERN_MATCHES.own_schema)
    space = _space(families)
    threshold = _null([np.mean(space.similarity(f.family, f.family), axis=0) for f in families])
    rows, edges = [], []
    for first, second in combinations(families, 2):
        centroid, definition = space.similarity(first.family, second.family)
        similarity = (centroid + definition) / 2
        ranks_a, ranks_b = (-similarity).argsort(axis=1).argsort(axis=1), (-similarity).argsort(axis=0).argsort(axis=0)
        shares_ab = _member_shares(space, first, second)
        shares_ba = _member_shares(space, second, first)
        assigned = set(zip(*(map(int, side) for side in linear_sum_assignment(-similarity)), strict=True))
        for a in range(first.n_clusters):
            for b in range(second.n_clusters):
                is_near = ranks_a[a, b] < _N_BEST and ranks_b[a, b] < _N_BEST
                is_match = (a, b) in assigned and is_near and bool(similarity[a, b] > threshold)
                rows.append(
                    (
                        first.family, a, second.family, b, float(centroid[a, b]), float(definition[a, b]),
                        float(shares_ab[a, b]), float(shares_ba[b, a]), float(similarity[a, b]), is_match,
                    )
                )  # fmt: skip
                if is_match:
                    edges.append(((first.family, a), (second.family, b), float(similarity[a, b])))
    matches = pl.DataFrame(rows, schema=PATTERN_MATCHES.own_schema, orient="row")
    return _patterns(edges, families), matches


def _space(families: Sequence[FamilyClusters]) -> _Space:
    mean = np.mean([family.embeddings.mean(axis=0) for family in families], axis=0)
    definition_mean = np.mean([family.definitions.mean(axis=0) for family in families], axis=0)
    members = {family.family: family.embeddings - mean for family in families}
    centroids = {
        family.family: np.stack(
            [members[family.family][family.labels == k].mean(axis=0) for k in range(family.n_clusters)]
        )
        for family in families
    }
    return _Space(centroids, members, {f.family: f.definitions - definition_mean for f in families})


def _cosines(first: FloatArray, second: FloatArray) -> FloatArray:
    lengths = [np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12) for side in (first, second)]
    cosines: FloatArray = np.clip((first / lengths[0]) @ (second / lengths[1]).T, -1, 1)
    return cosines


def _null(within: Sequence[FloatArray]) -> float:
    """95th percentile of similarities between different clusters of one family; 1 if no family has two clusters."""
    values = np.concatenate([square[~np.eye(len(square), dtype=bool)] for square in within])
    return float(np.percentile(values, _NULL_PERCENTILE)) if len(values) else 1.0


def _member_shares(space: _Space, first: FamilyClusters, second: FamilyClusters) -> FloatArray:
    """Share of each cluster's advantages nearest to each centroid of the other family, shape (K_1, K_2)."""
    nearest = _cosines(space.members[first.family], space.centroids[second.family]).argmax(axis=1)
    table = np.zeros((first.n_clusters, second.n_clusters))
    np.add.at(table, (first.labels, nearest), 1)
    shares: FloatArray = table / table.sum(axis=1, keepdims=True)
    return shares


def _patterns(
    edges: Sequence[tuple[tuple[str, int], tuple[str, int], float]], families: Sequence[FamilyClusters]
) -> pl.DataFrame:
    """Connected components of matches; components with two clusters of one family are flagged."""
    group: dict[tuple[str, int], int] = {}
    for number, (first, second, _) in enumerate(edges):
        merged = {group.get(first, number), group.get(second, number), number}
        smallest = min(merged)
        group |= {first: smallest, second: smallest}
        group = {node: smallest if number in merged else number for node, number in group.items()}
    tags = {(family.family, k): tag for family in families for k, tag in enumerate(family.tags)}
    rows = []
    for number, component in enumerate(dict.fromkeys(group.values())):
        members = sorted(node for node, assigned in group.items() if assigned == component)
        strengths = [weight for first, _, weight in edges if group[first] == component]
        names = [family for family, _ in members]
        rows.append(
            (
                number,
                [f"{family}#{cluster}" for family, cluster in members],
                tags[members[0]],
                float(np.mean(strengths)),
                len(set(names)) == len(families),
                len(set(names)) < len(names),
            )
        )
    return pl.DataFrame(rows, schema=SHARED_PATTERNS.own_schema, orient="row")


def nearest_published(
    family: str,
    definitions: FloatArray,
    published: FloatArray,
    names: Sequence[tuple[str, int, str]],
) -> pl.DataFrame:
    """Find the published cluster most similar to each of a family's clusters, by the cosine of definitions.

    Args:
        family: Name of the family.
        definitions: float64 of shape (K, d), embeddings of "tag. definition".
        published: float64 of shape (P, d), embeddings of the published clusters' "tag. definition".
        names: (family, cluster, tag) of each published cluster.

    Returns:
        Rows of ``published_matches``. ``is_match`` is true if the cosine exceeds the 95th percentile of the cosines
        between different published clusters of one family, that is, clusters which the authors separate.
    """
    if not len(definitions) or not len(published):
        return pl.DataFrame(schema=PUBLISHED_MATCHES.own_schema)
    centre = np.concatenate([definitions, published]).mean(axis=0)
    cosines = _cosines(definitions - centre, published - centre)
    of_family = np.array([name for name, _, _ in names])
    among = _cosines(published - centre, published - centre)
    is_other = (of_family[:, None] == of_family[None, :]) & ~np.eye(len(names), dtype=bool)
    null = float(np.percentile(among[is_other], _NULL_PERCENTILE)) if is_other.any() else 1.0
    best = cosines.argmax(axis=1)
    rows = [
        (
            family,
            cluster,
            *names[int(index)],
            float(cosines[cluster, index]),
            null,
            bool(cosines[cluster, index] > null),
        )
        for cluster, index in enumerate(best)
    ]
    return pl.DataFrame(rows, schema=PUBLISHED_MATCHES.own_schema, orient="row")

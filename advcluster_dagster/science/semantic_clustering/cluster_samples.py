"""Select the descriptions of a cluster to show to the summariser (paper section 3.2.3, appendix A.2.2)."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import islice, zip_longest

import numpy as np
import numpy.typing as npt


def select_shown(
    projection: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int32],
    cluster_id: int,
    domains: Sequence[str],
    ids: Sequence[str],
    n_shown: int,
    seed: int,
) -> list[int]:
    """Choose the rows of one cluster to show.

    A cluster of at most `n_shown` rows is shown completely. Otherwise half of the rows (rounded up) are
    sampled round-robin over the domains; exhausted domains are skipped. The others are the rows nearest
    to the centroid (ties: earlier row) that are not sampled. A row's rank in its domain is the sha256 of
    seed, pca_dim, n_clusters, cluster_id and its id, so the selection is independent of other calls and
    changes little when a row is added or removed.

    Args:
        projection: float64 array of shape (n, pca_dim), the points that were clustered.
        labels: int32 array of shape (n,), cluster ids 0..K-1, none empty.
        cluster_id: The cluster to choose from.
        domains: n domain names.
        ids: n unique advantage ids.
        n_shown: Maximum number of rows, >= 1.
        seed: Seed of the study.

    Returns:
        Row indices, ascending (canonical order), without repeats.

    Raises:
        ValueError: `n_shown` is below 1, no row has this cluster_id, or the lengths differ.
    """
    n_rows = len(projection)
    if not n_rows == len(labels) == len(domains) == len(ids):
        raise ValueError(
            f"lengths differ: {n_rows} points, {len(labels)} labels, {len(domains)} domains, {len(ids)} ids"
        )
    if n_shown < 1:
        raise ValueError(f"n_shown is {n_shown}: show at least one description per cluster")
    members = [int(row) for row in np.flatnonzero(labels == cluster_id)]
    if not members:
        raise ValueError(f"cluster {cluster_id} has no rows: the labels run from 0 to {labels.max(initial=-1)}")
    if len(members) <= n_shown:
        return members
    key = f"{seed}:{projection.shape[1]}:{labels.max() + 1}:{cluster_id}"
    sampled = _sample_over_domains(members, domains, ids, key, n_places=(n_shown + 1) // 2)
    taken = set(sampled)
    nearest = [row for row in _by_centroid_distance(projection, members) if row not in taken]
    return sorted(sampled + nearest[: n_shown - len(sampled)])


def _sample_over_domains(
    members: Sequence[int], domains: Sequence[str], ids: Sequence[str], key: str, n_places: int
) -> list[int]:
    """Sample rows round-robin over the domains, each domain in the order of its rows' hashes."""
    ranked = sorted(members, key=lambda row: sha256(f"{key}:{ids[row]}".encode()).digest())
    queues = [[row for row in ranked if domains[row] == name] for name in sorted({domains[row] for row in members})]
    in_turn = (row for turn in zip_longest(*queues) for row in turn if row is not None)
    return list(islice(in_turn, n_places))


def _by_centroid_distance(projection: npt.NDArray[np.float64], members: Sequence[int]) -> list[int]:
    """Sort rows by distance to the centroid, nearest first."""
    points = projection[members]
    distances = np.linalg.norm(points - points.mean(axis=0), axis=1)
    return [members[position] for position in np.argsort(distances, kind="stable")]


def nearest_others(
    points: npt.NDArray[np.float64], labels: npt.NDArray[np.int32], cluster_id: int, n_shown: int
) -> list[int]:
    """Rows outside a cluster nearest to its centroid, nearest first (ties: the earlier row).

    Args:
        points: float64 array of shape (n, d').
        labels: int32 array of shape (n,).
        cluster_id: The cluster.
        n_shown: Maximum number of rows.
    """
    centre = points[labels == cluster_id].mean(axis=0)
    outside = np.flatnonzero(labels != cluster_id)
    distances = np.linalg.norm(points[outside] - centre, axis=1)
    return [int(row) for row in outside[np.argsort(distances, kind="stable")[:n_shown]]]

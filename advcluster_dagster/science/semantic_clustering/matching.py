"""Match the clusters of two taxonomies: continued, born, died, split, merged.

An addition of this project; the paper clusters only once.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Change = Literal["continued", "merged", "died", "split", "born"]


@dataclass(frozen=True)
class ClusterChange:
    """What became of an old cluster, or the origin of a new cluster.

    Attributes:
        change: ``continued``: the old cluster is the new one. ``merged``: the old cluster was absorbed by a new
            cluster that it is not paired with. ``split``: the new cluster was split off an old cluster that it is
            not paired with. ``died``: an old cluster without successor. ``born``: a new cluster without predecessor.
        old: Old cluster; None if born.
        new: New cluster; None if died.
        distance: Euclidean distance between their centres, >= 0; None without a partner.
        n_shared: Number of advantages in both; None without a partner.
        old_share: Share of the old cluster's remaining advantages that are in the new cluster, [0, 1]; None
            without a partner or without remaining advantages.
        new_share: Share of the new cluster's previously known advantages that are in the old cluster; None likewise.
    """

    change: Change
    old: int | None
    new: int | None
    distance: float | None = None
    n_shared: int | None = None
    old_share: float | None = None
    new_share: float | None = None


def match_clusters(
    old_centres: npt.NDArray[np.floating], new_centres: npt.NDArray[np.floating], n_shared: npt.NDArray[np.integer]
) -> list[ClusterChange]:
    """Match the clusters of two taxonomies in the same embedding space.

    1. The Hungarian method pairs min(K, K') clusters with the least sum of Euclidean distances between centres.
    2. A pair is continued if it shares more than half of the old cluster's remaining advantages, or more than half of
       the new cluster's previously known advantages. If neither cluster has such advantages, the pair is continued if
       the centres are mutual nearest neighbours.
    3. Any other old cluster is merged into the new cluster with more than half of its remaining advantages, or else
       died. Any other new cluster is split off the old cluster with more than half of its previously known
       advantages, or else was born.

    Renumbering either side only renumbers the result, unless sums of distances tie.

    Args:
        old_centres: Shape (K, d), mean embedding of each cluster.
        new_centres: Shape (K', d).
        n_shared: Shape (K, K'), number of advantages in both an old and a new cluster.

    Returns:
        Changes of the old clusters in order, then of the new clusters that continue none.
    """
    # Imported lazily to keep process start fast.
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    distances = cdist(old_centres, new_centres)
    rows, columns = linear_sum_assignment(distances)
    pairs = {
        int(old): int(new)
        for old, new in zip(rows, columns, strict=True)
        if _is_continued(int(old), int(new), distances, n_shared)
    }
    continued = {new: old for old, new in pairs.items()}
    changes = []
    for old in range(len(old_centres)):
        target = pairs.get(old, _majority_index(n_shared[old]))
        kind: Change = "continued" if old in pairs else "merged"
        changes.append(
            ClusterChange("died", old, None) if target is None else _change(kind, old, target, distances, n_shared)
        )
    for new in range(len(new_centres)):
        if new not in continued:
            origin = _majority_index(n_shared[:, new])
            born = ClusterChange("born", None, new)
            changes.append(born if origin is None else _change("split", origin, new, distances, n_shared))
    return changes


def _is_continued(old: int, new: int, distances: npt.NDArray[np.float64], n_shared: npt.NDArray[np.integer]) -> bool:
    n_old, n_new = int(n_shared[old].sum()), int(n_shared[:, new].sum())
    if n_old or n_new:
        return 2 * int(n_shared[old, new]) > min(count for count in (n_old, n_new) if count)
    return bool(distances[old].argmin() == new and distances[:, new].argmin() == old)


def _majority_index(counts: npt.NDArray[np.integer]) -> int | None:
    """Index with more than half of the total count; None if there is none."""
    if not counts.any():
        return None
    index = int(counts.argmax())
    return index if 2 * int(counts[index]) > int(counts.sum()) else None


def _change(
    kind: Change, old: int, new: int, distances: npt.NDArray[np.float64], n_shared: npt.NDArray[np.integer]
) -> ClusterChange:
    shared, n_old, n_new = int(n_shared[old, new]), int(n_shared[old].sum()), int(n_shared[:, new].sum())
    return ClusterChange(
        kind,
        old,
        new,
        float(distances[old, new]),
        shared,
        shared / n_old if n_old else None,
        shared / n_new if n_new else None,
    )

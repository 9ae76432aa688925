"""Match the clusters of two taxonomies: continued, born, died, split, merged (a rule of this project).

A rule of this project; the paper clusters once.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Change = Literal["continued", "merged", "died", "split", "born"]


@dataclass(frozen=True)
class ClusterChange:
    """The fate of an old cluster, or the origin of a new one.

    Attributes:
        change: ``continued``: the old cluster is the new one. ``merged``: the old one went into a new one that it
            is not paired with. ``split``: the new one came out of an old one that it is not paired with. ``died``: an
            old one without successor. ``born``: a new one without predecessor.
        old: Old cluster; None if born.
        new: New cluster; None if died.
        distance: Euclidean distance of their centres, >= 0; None without a partner.
        n_shared: Advantages that lie in both; None without a partner.
        old_share: Share of the old cluster's advantages, of those still there, that lie in the new one, [0, 1]; None
            without a partner or without such advantages.
        new_share: The same of the new cluster's advantages, of those the old taxonomy knew.
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
    """Match the clusters of two taxonomies over one space.

    1. The Hungarian method pairs min(K, K') clusters with the least sum of Euclidean distances between centres.
    2. A pair is one cluster that continues when it shares more than half of the old one's advantages still there, or
       more than half of the new one's that the old taxonomy knew. Where neither has such advantages, it continues
       when each centre is the other's nearest.
    3. Any other old cluster is merged into the new one that holds more than half of its advantages still there, else
       it died. Any other new cluster is split off the old one that more than half of its known advantages come from,
       else it was born.

    Renumbering either side renumbers the result and changes nothing else, unless sums of distances tie.

    Args:
        old_centres: Shape (K, d), means of the clusters' embeddings.
        new_centres: Shape (K', d).
        n_shared: Shape (K, K'), number of advantages in both an old and a new cluster.

    Returns:
        Old clusters in order, then new ones that continue none.
    """
    # Imported where they are needed: every process that starts would wait for them.
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
        heir = pairs.get(old, _holder_of_most(n_shared[old]))
        kind: Change = "continued" if old in pairs else "merged"
        changes.append(
            ClusterChange("died", old, None) if heir is None else _change(kind, old, heir, distances, n_shared)
        )
    for new in range(len(new_centres)):
        if new not in continued:
            origin = _holder_of_most(n_shared[:, new])
            born = ClusterChange("born", None, new)
            changes.append(born if origin is None else _change("split", origin, new, distances, n_shared))
    return changes


def _is_continued(old: int, new: int, distances: npt.NDArray[np.float64], n_shared: npt.NDArray[np.integer]) -> bool:
    of_old, of_new = int(n_shared[old].sum()), int(n_shared[:, new].sum())
    if of_old or of_new:
        return 2 * int(n_shared[old, new]) > min(count for count in (of_old, of_new) if count)
    return bool(distances[old].argmin() == new and distances[:, new].argmin() == old)


def _holder_of_most(counts: npt.NDArray[np.integer]) -> int | None:
    """The only place that holds more than half; None where there is none."""
    if not counts.any():
        return None
    place = int(counts.argmax())
    return place if 2 * int(counts[place]) > int(counts.sum()) else None


def _change(
    kind: Change, old: int, new: int, distances: npt.NDArray[np.float64], n_shared: npt.NDArray[np.integer]
) -> ClusterChange:
    shared, of_old, of_new = int(n_shared[old, new]), int(n_shared[old].sum()), int(n_shared[:, new].sum())
    return ClusterChange(
        kind,
        old,
        new,
        float(distances[old, new]),
        shared,
        shared / of_old if of_old else None,
        shared / of_new if of_new else None,
    )

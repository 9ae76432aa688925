"""Score a candidate taxonomy: separation of the clusters, balance of their sizes, their number."""

import hashlib
import math
import re
from dataclasses import dataclass
from itertools import combinations

from advcluster_dagster.demo.analyst.naming import MIXED_MARK

_SCORES = ("distinctness", "granularity", "interpretability", "balance", "resolution")
_BEST_NUMBER = (5, 9)


@dataclass(frozen=True)
class _Cluster:
    """A cluster as presented to the reviewer."""

    tag: str
    definition: str
    size: int

    @property
    def stems(self) -> frozenset[str]:
        """Stems (first six letters) of the longer words in tag and definition."""
        return frozenset(word[:6] for word in re.findall(r"[a-z]{5,}", f"{self.tag} {self.definition}".lower()))


def review_clusters(blocks: str, review: int) -> dict[str, int]:
    """Return five scores from 1 to 10; ``review`` shifts one of them by one point, to simulate variation."""
    clusters = _read_clusters(blocks)
    scores = {
        "distinctness": _distinctness(clusters),
        "granularity": _mean([min(len(cluster.definition.split()) / 45, 1.0) for cluster in clusters]),
        "interpretability": _mean([_is_telling(cluster.tag) for cluster in clusters]),
        "balance": _balance([cluster.size for cluster in clusters]),
        "resolution": _resolution(clusters),
    }
    points = {name: 1 + round(8 * score) for name, score in scores.items()}
    digest = hashlib.sha256(f"{blocks}\x1f{review}".encode("utf-8", "replace")).digest()
    shifted = _SCORES[digest[0] % len(_SCORES)]
    points[shifted] = min(max(points[shifted] + (1 if digest[1] % 2 else -1), 1), 10)
    return points


def _read_clusters(blocks: str) -> list[_Cluster]:
    matches = re.findall(r"^tag: (.*)\ndefinition: (.*)\ncount: (\d{1,9})$", blocks, re.MULTILINE)
    return [_Cluster(tag, definition, int(size)) for tag, definition, size in matches]


def _distinctness(clusters: list[_Cluster]) -> float:
    """1 minus the average of the mean and the maximum word overlap between pairs."""
    overlaps = [
        len(first.stems & second.stems) / max(len(first.stems | second.stems), 1)
        for first, second in combinations(clusters, 2)
    ]
    return 1 - (_mean(overlaps) + max(overlaps)) / 2 if overlaps else 0.0


def _is_telling(tag: str) -> float:
    words = tag.split()
    return (0.5 if 2 <= len(words) <= 4 else 0.0) + (0.5 if words and words[0].lower().endswith("ing") else 0.0)


def _balance(sizes: list[int]) -> float:
    """Normalised entropy of the sizes, rescaled from its usual range of 0.5 to 1."""
    total = sum(sizes)
    if len(sizes) < 2 or not total:
        return 0.0
    entropy = -sum(size / total * math.log(size / total) for size in sizes if size)
    return max(2 * entropy / math.log(len(sizes)) - 1, 0.0)


def _resolution(clusters: list[_Cluster]) -> float:
    """Highest for five to nine pure clusters with distinct tags; reduced otherwise."""
    number, (low, high) = len(clusters), _BEST_NUMBER
    off = max(low - number, number - high, 0)
    n_tags = len({cluster.tag.lower() for cluster in clusters})
    n_pure = sum(MIXED_MARK not in cluster.definition for cluster in clusters)
    return max(1 - 0.2 * off, 0.0) * min(n_tags, n_pure) / number if number else 0.0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0

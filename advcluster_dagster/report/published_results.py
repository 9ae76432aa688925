"""Published results for comparison with a study (paper tables 1 and 4 to 11).

Numbers are as printed and not corrected: the published N_Q differ from the published kept counts, and some deviations
are too large to be deviations over trials.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from advcluster_dagster.study.study import Study

MeanStd = tuple[float, float]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RoleAccuracy(_Record):
    """Mean and standard deviation of both models, in percent."""

    smaller: MeanStd
    larger: MeanStd

    def of(self, role: Literal["smaller", "larger"]) -> MeanStd:
        """Values of a role."""
        return self.smaller if role == "smaller" else self.larger


class DomainAccuracy(RoleAccuracy):
    """A domain's row, and its benchmarks by name prefix (letters and digits only)."""

    benchmarks: dict[str, RoleAccuracy]


class Accuracy(_Record):
    """Tables 1 and 5 to 8."""

    family: RoleAccuracy
    domains: dict[str, DomainAccuracy]


class Deduplication(_Record):
    """Table 10."""

    before: int
    after: int
    removed_percent: float


class Candidate(_Record):
    """The chosen candidate."""

    pca_dim: int
    n_clusters: int


class Dispersion(_Record):
    """A row of table 11."""

    n_questions: int
    mean: float
    std: float


class ClusterRecord(_Record):
    """A published cluster (tables 2 and 3, section 5); the definition is paraphrased."""

    tag: str
    definition: str
    kind: Literal["common", "specialised"]
    domain: str | None
    theme: str


class PublishedCluster(ClusterRecord):
    """A published cluster with family, number and size."""

    family: str
    cluster_id: int
    size: int


class PublishedFamily(_Record):
    """Published results of a family."""

    accuracy: Accuracy
    kept_questions: dict[str, int]
    pool_questions: dict[str, int]
    deduplication: Deduplication
    chosen: Candidate
    cluster_sizes: tuple[int, ...]
    clusters: tuple[ClusterRecord, ...]
    edi: dict[str, Dispersion]

    def benchmark(self, domain: str, name: str, siblings: Sequence[str]) -> RoleAccuracy | None:
        """Published row of a study's benchmark; None unless only this benchmark of the domain has the name prefix."""
        published = self.accuracy.domains.get(domain)
        for start, row in (published.benchmarks if published else {}).items():
            if [sibling for sibling in siblings if _letters(sibling).startswith(start)] == [name]:
                return row
        return None


class _PublishedFile(_Record):
    families: dict[str, PublishedFamily]


def published_families(study: Study) -> Mapping[str, PublishedFamily]:
    """Published results of the study's families by name; empty if the study names none or no family matches.

    Raises:
        FileNotFoundError: the published results named in the study do not exist.
    """
    by_family = _published(study)
    return {name: by_family[name] for name in study.families if name in by_family}


def published_clusters(study: Study) -> list[PublishedCluster]:
    """All published clusters, of any family; empty if the study names no results.

    Raises:
        FileNotFoundError: the published results named in the study do not exist.
    """
    return [
        PublishedCluster(family=name, cluster_id=number, size=size, **cluster.model_dump())
        for name, family in _published(study).items()
        for number, (cluster, size) in enumerate(zip(family.clusters, family.cluster_sizes, strict=True))
    ]


def _published(study: Study) -> Mapping[str, PublishedFamily]:
    if study.published_results is None:
        return {}
    path = files("advcluster_dagster.report") / "published" / f"{study.published_results}.json"
    if not path.is_file():
        raise FileNotFoundError(f"published_results {study.published_results!r}: no such results")
    return _PublishedFile.model_validate_json(path.read_text(encoding="utf-8")).families


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name)

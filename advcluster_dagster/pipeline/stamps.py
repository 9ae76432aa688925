"""What a partition is made from: upstream partitions, sources outside the lake, the stamp that follows from them.

Here: design decisions 4 and 6 as functions of a study, its files and a partition. Not here: which table reads which
(recipe), what is stale (automation/status).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.sources.benchmarks.registry import can_load_questions
from advcluster_dagster.sources.imports.readers import has_imported_traces
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import Stamp, read_stamp, table_path
from advcluster_dagster.study.base import ROLES
from advcluster_dagster.study.partitions import Partition
from advcluster_dagster.study.study import Study

if TYPE_CHECKING:
    from advcluster_dagster.pipeline.step import Step


def upstream_partitions(study: Study, partition: Partition, upstream_level: PartitionLevel) -> list[Partition]:
    """Partitions of a table that a partition of another table is made from.

    A coarser table is met at its own level; of a finer one, all partitions that agree in what both have.
    """
    has_family, has_domain = (
        upstream_level in ("family", "family_domain"),
        upstream_level in ("domain", "family_domain"),
    )
    families = [None] if not has_family else [partition.family] if partition.family else list(study.families)
    domains = [None] if not has_domain else [partition.domain] if partition.domain else list(study.domains)
    return [Partition(family, domain) for family in families for domain in domains]


def has_sources(home: Home, study: Study, partition: Partition) -> bool:
    """Whether questions and traces of a partition can be had: what the study imports there has been imported.

    A family, or a whole study, has sources when some domain of it has.
    """
    if partition.domain is None:
        families = [partition.family] if partition.family else list(study.families)
        return any(has_sources(home, study, Partition(f, d)) for f in families for d in study.domains)
    if not can_load_questions(home, study, partition.domain):
        return False
    if partition.family is None:
        return True
    models = study.families[partition.family]
    is_importing = any(models.model_of(role).provider == "imported" for role in ROLES)
    return not is_importing or has_imported_traces(home.imports, study, partition.family, partition.domain)


def expected_stamp(step: "Step", read: Callable[[str, Partition], Stamp | None] | None = None) -> Stamp:
    """What the files of a step would be stamped with if it ran now; ``read`` gives the stamp of an upstream file."""

    def read_hash(table: str, partition: Partition) -> str | None:
        stamp = (
            read(table, partition)
            if read
            else read_stamp(table_path(step.home.lake, step.study.study, table, partition))
        )
        return stamp.content_hash if stamp else None

    return Stamp(
        code=step.recipe.code_fingerprint,
        settings=step.recipe.settings_fingerprint(step.home, step.study, step.partition),
        prompts=step.recipe.prompts_fingerprint,
        upstream=upstream_hashes(step, read_hash),
        code_parts=step.recipe.code_parts,
    )


def upstream_hashes(step: "Step", read_hash: Callable[[str, Partition], str | None]) -> dict[str, str]:
    """Content hashes of everything the step reads, by TABLE@PARTITION; what is missing is left out."""
    found = {}
    for table in step.recipe.upstream:
        for partition in upstream_partitions(step.study, step.partition, TABLES[table].level):
            if (content_hash := read_hash(table, partition)) is not None:
                found[f"{table}@{partition.label}"] = content_hash
    return found

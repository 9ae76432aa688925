"""Stamps: fingerprints of what a partition is made from, to decide staleness from files only.

Also: upstream partitions of a step, and whether its sources outside the lake exist.
"""

from collections.abc import Callable

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.pipeline.recipe import Recipe, is_table_on
from advcluster_dagster.sources.benchmarks.registry import can_load_questions
from advcluster_dagster.sources.imports.readers import has_imported_traces
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import Stamp, read_stamp, table_path
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study


def upstream_partitions(study: Study, partition: Partition, upstream_level: PartitionLevel) -> list[Partition]:
    """Return the partitions of an upstream table that a partition of another table is made from.

    Of a coarser table, this is the partition that contains it; of a finer one, all partitions that agree in the shared
    dimensions.
    """
    has_family, has_domain = (
        upstream_level in ("family", "family_domain"),
        upstream_level in ("domain", "family_domain"),
    )
    families = [None] if not has_family else [partition.family] if partition.family else list(study.families)
    domains = [None] if not has_domain else [partition.domain] if partition.domain else list(study.domains)
    return [Partition(family, domain) for family in families for domain in domains]


def has_sources(home: Home, study: Study, partition: Partition) -> bool:
    """Return whether questions and traces of a partition are available, including imports.

    A family, or a whole study, has sources if one of its domains has.
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


def expected_stamp(
    recipe: Recipe,
    home: Home,
    study: Study,
    partition: Partition,
    read: Callable[[str, Partition], Stamp | None] | None = None,
) -> Stamp:
    """Return the stamp that the files of a step would get if it ran now.

    Args:
        recipe: the step.
        home: holds the files.
        study: the study as currently declared.
        partition: the partition of the step.
        read: returns the stamp of an upstream file; by default it is read from the lake.
    """

    def read_from_lake(table: str, upstream: Partition) -> Stamp | None:
        return read_stamp(table_path(home.lake, study.study, table, upstream))

    return Stamp(
        code=recipe.code_fingerprint,
        settings=recipe.settings_fingerprint(home, study, partition),
        prompts=recipe.prompts_fingerprint,
        upstream=_upstream_hashes(recipe, study, partition, read or read_from_lake),
        code_parts=recipe.code_parts,
        setting_parts=recipe.setting_parts(home, study, partition),
        prompt_parts=recipe.prompt_parts,
    )


def _upstream_hashes(
    recipe: Recipe, study: Study, partition: Partition, read: Callable[[str, Partition], Stamp | None]
) -> dict[str, str]:
    """Return the content hashes of all existing files that a step reads, by TABLE@PARTITION."""
    stamps = {
        f"{table}@{upstream.label}": read(table, upstream)
        for table in recipe.upstream
        if is_table_on(table, study)
        for upstream in upstream_partitions(study, partition, TABLES[table].level)
    }
    return {name: stamp.content_hash for name, stamp in stamps.items() if stamp is not None}

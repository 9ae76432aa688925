"""Selection of the steps and partitions of a study to run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from advcluster_dagster.assets.registry import RECIPES, recipe_of
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.recipe import is_table_on
from advcluster_dagster.planning.asset_selection import SelectionError, asset_names, nearest
from advcluster_dagster.planning.status import StepStatus
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study


@dataclass(frozen=True)
class Selection:
    """Families, domains and assets of a study to run; empty means all.

    ``is_forced`` also runs fresh steps. ``keeps_taxonomies`` keeps existing taxonomies even if their inputs changed;
    missing ones are made.
    """

    families: Sequence[str] = ()
    domains: Sequence[str] = ()
    assets: Sequence[str] = ()
    is_forced: bool = False
    keeps_taxonomies: bool = False

    def check(self, study: Study) -> None:
        """Check that the study has every selected family, domain and asset.

        Raises:
            SelectionError: one of them does not exist; the message lists the known ones.
        """
        for kind, chosen, known in (
            ("family", self.families, list(study.families)),
            ("domain", self.domains, list(study.domains)),
            ("asset", self.assets, asset_names()),
        ):
            for name in chosen:
                if name not in known:
                    raise SelectionError(f"{kind} {name!r} is not in study {study.study}; {nearest(name, known)}")
        self._check_sections(study)

    def _check_sections(self, study: Study) -> None:
        """Raise if all selected assets, apart from their inputs, need a section that the study lacks."""
        chosen = [name for name in self.assets if name in TABLES]
        needed = {table for name in chosen for table in recipe_of(name).upstream}
        ends = [name for name in chosen if not needed & set(recipe_of(name).tables)]
        if ends and len(chosen) == len(self.assets) and not any(is_table_on(name, study) for name in ends):
            section = TABLES[ends[0]].section
            raise SelectionError(
                f"study {study.study} has no {ends[0]}: section {section} is missing; add it to the study file, such as"
                f" {section}: {{}}"
            )

    def covers(self, status: StepStatus) -> bool:
        """Return whether a step on a partition is selected."""
        if self.keeps_taxonomies and status.state == "stale" and status.step in _steps_of_taxonomies():
            return False
        tables = RECIPES[status.step].tables
        is_selected = not self.assets or any(table in self.assets for table in tables)
        return is_selected and self.covers_partition(status.partition)

    def covers_partition(self, partition: Partition) -> bool:
        """Return whether a partition is selected."""
        return (not self.families or partition.family is None or partition.family in self.families) and (
            not self.domains or partition.domain is None or partition.domain in self.domains
        )


@cache
def _steps_of_taxonomies() -> frozenset[str]:
    """Return the steps that a new clustering would change, without the pages."""
    reached = {"clustered_advantages"}
    for recipe in RECIPES.values():  # in data-flow order
        has_tables = recipe.level in ("family", "study") and TABLES.keys() >= set(recipe.tables)
        if has_tables and reached & {recipe_of(table).name for table in recipe.upstream}:
            reached.add(recipe.name)
    return frozenset(reached)


#: The whole study.
EVERYTHING = Selection()

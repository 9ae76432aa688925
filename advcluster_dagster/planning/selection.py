"""Which steps and partitions of a study a run covers."""

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
    """What of a study is to run; empty means all.

    ``is_forced`` runs it even where it is fresh. With ``keeps_taxonomies``, a taxonomy that exists is left as it is
    though its inputs changed; one that is missing is made.
    """

    families: Sequence[str] = ()
    domains: Sequence[str] = ()
    assets: Sequence[str] = ()
    is_forced: bool = False
    keeps_taxonomies: bool = False

    def check(self, study: Study) -> None:
        """Check that the study has every family, domain and asset that is named.

        Raises:
            SelectionError: one of them does not exist; the message lists those that do.
        """
        for what, chosen, known in (
            ("family", self.families, list(study.families)),
            ("domain", self.domains, list(study.domains)),
            ("asset", self.assets, asset_names()),
        ):
            for name in chosen:
                if name not in known:
                    raise SelectionError(f"{what} {name!r} is not in study {study.study}; {nearest(name, known)}")
        self._check_sections(study)

    def _check_sections(self, study: Study) -> None:
        """Raise where all that is asked for, but for what it needs, is made only by studies with another section."""
        chosen = [name for name in self.assets if name in TABLES]
        needed = {table for name in chosen for table in recipe_of(name).upstream}
        ends = [name for name in chosen if not needed & set(recipe_of(name).tables)]
        if ends and len(chosen) == len(self.assets) and not any(is_table_on(name, study) for name in ends):
            section = TABLES[ends[0]].section
            raise SelectionError(
                f"study {study.study} makes no {ends[0]}: it has no section {section}; add it to the study file, such"
                f" as {section}: {{}}"
            )

    def covers(self, status: StepStatus) -> bool:
        """Whether a step on a partition is asked for."""
        if self.keeps_taxonomies and status.state == "stale" and status.step in _steps_of_taxonomies():
            return False
        tables = RECIPES[status.step].tables
        is_wanted = not self.assets or any(table in self.assets for table in tables)
        return is_wanted and self.covers_partition(status.partition)

    def covers_partition(self, partition: Partition) -> bool:
        """Whether a partition is asked for."""
        return (not self.families or partition.family is None or partition.family in self.families) and (
            not self.domains or partition.domain is None or partition.domain in self.domains
        )


@cache
def _steps_of_taxonomies() -> frozenset[str]:
    """Steps that a new clustering would change, without the reports, which show whatever there is."""
    reached = {"clustered_advantages"}
    for recipe in RECIPES.values():  # in the order of the data flow
        has_tables = recipe.level in ("family", "study") and TABLES.keys() >= set(recipe.tables)
        if has_tables and reached & {recipe_of(table).name for table in recipe.upstream}:
            reached.add(recipe.name)
    return frozenset(reached)


#: The whole study.
EVERYTHING = Selection()

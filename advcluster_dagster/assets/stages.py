"""Every step by name, in the order of the data flow.

Here: the imports that declare the steps, their order, finding the step of a table. Not here: any step.
"""

from advcluster_dagster.assets import (
    advantage_extraction,
    error_dispersion,
    explorer,
    grading,
    inference,
    question_set,
    report,
    semantic_clustering,
    taxonomy,
    taxonomy_coverage,
)
from advcluster_dagster.assets.recipe import DECLARED, Recipe
from advcluster_dagster.contracts.registry import TABLES

__all__ = [
    "RECIPES",
    "advantage_extraction",
    "error_dispersion",
    "explorer",
    "grading",
    "inference",
    "question_set",
    "recipe_of",
    "report",
    "semantic_clustering",
    "taxonomy",
    "taxonomy_coverage",
]

_ORDER = {table: place for place, table in enumerate(TABLES)}

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in sorted(DECLARED, key=lambda recipe: _ORDER.get(recipe.tables[0], len(_ORDER)))
}


def recipe_of(table: str) -> Recipe:
    """The step that makes a table, or the report."""
    return next(recipe for recipe in RECIPES.values() if table in recipe.tables)

"""Every step by name, in the order of the data flow.

Here: the imports that declare the steps, their order, finding the step of a table or of an op. Not here: any step.
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
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.recipe import DECLARED, Recipe
from advcluster_dagster.study.study import Study

__all__ = [
    "RECIPES",
    "advantage_extraction",
    "error_dispersion",
    "explorer",
    "grading",
    "inference",
    "op_name",
    "question_set",
    "recipe_of",
    "report",
    "semantic_clustering",
    "step_of_op",
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


def op_name(study: Study, step: str) -> str:
    """Name of the op that makes the tables of a step."""
    return f"{study.identifier}__{step}"


def step_of_op(op: str | None) -> str | None:
    """The step that an op of any study runs; None for an op that runs none, such as that of a whole study."""
    return next((step for step in RECIPES if op is not None and op.endswith(f"__{step}")), None)

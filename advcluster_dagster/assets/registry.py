"""Registry of all steps by name, in data-flow order."""

from advcluster_dagster.assets import (
    advantage_extraction,
    cluster_naming,
    compute,
    error_dispersion,
    explorer,
    grading,
    inference,
    name_checks,
    preferences,
    question_set,
    ratings,
    report,
    semantic_clustering,
    taxonomy,
    taxonomy_coverage,
    themes,
    worked_cases,
)
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.recipe import Recipe
from advcluster_dagster.study.study import Study

_STEPS = (
    *inference.STEPS,
    *grading.STEPS,
    *question_set.STEPS,
    *advantage_extraction.STEPS,
    *semantic_clustering.STEPS,
    *cluster_naming.STEPS,
    *taxonomy.STEPS,
    *worked_cases.STEPS,
    *name_checks.STEPS,
    *taxonomy_coverage.STEPS,
    *error_dispersion.STEPS,
    *themes.STEPS,
    *compute.STEPS,
    *ratings.STEPS,
    *preferences.STEPS,
    *explorer.STEPS,
    *report.STEPS,
)
_ORDER = {table: place for place, table in enumerate(TABLES)}

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in sorted(_STEPS, key=lambda recipe: _ORDER.get(recipe.tables[0], len(_ORDER)))
}


def recipes_of(study: Study) -> tuple[Recipe, ...]:
    """Return the steps of a study in data-flow order, without those of optional sections that it does not have."""
    return tuple(recipe for recipe in RECIPES.values() if recipe.is_on(study))


def recipe_of(table: str) -> Recipe:
    """Return the step that makes a table or a page.

    Raises:
        LookupError: no step makes it.
    """
    recipe = next((recipe for recipe in RECIPES.values() if table in recipe.tables), None)
    if recipe is None:
        raise LookupError(f"no step makes {table}; list its step in STEPS of the stage's file in assets/")
    return recipe


def tables_behind(*tables: str) -> tuple[str, ...]:
    """Return all tables of the steps that make these tables, and of all steps upstream of them."""
    needed: dict[str, None] = {}
    todo = list(tables)
    while todo:
        recipe = recipe_of(todo.pop())
        for table in recipe.tables:
            if table not in needed:
                needed[table] = None
                todo += recipe.upstream
    return tuple(needed)


def op_name(study: Study, step: str) -> str:
    """Return the name of the op that runs a step."""
    return f"{study.identifier}__{step}"


def step_of_op(op: str | None) -> str | None:
    """Return the step that an op of any study runs; None for other ops, such as that of a whole study."""
    return next((step for step in RECIPES if op is not None and op.endswith(f"__{step}")), None)

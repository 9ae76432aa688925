"""Declarative automation: the sensors that let analysis assets follow their inputs.

Here: the two switches. Not here: the conditions themselves, which stand with the assets (assets/follow).
"""

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.orchestration.follow import follows_inputs
from advcluster_dagster.orchestration.run_process import STUDY_TAG
from advcluster_dagster.pipeline.recipe import Recipe
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.study.study import Study


def build_condition_sensors(study: Study) -> list[dg.AutomationConditionSensorDefinition]:
    """Two sensors, both switched off at first: one for steps that ask models, one for all others that follow."""
    return [
        dg.AutomationConditionSensorDefinition(
            name=f"{study.identifier}__follow_{name}",
            target=dg.AssetSelection.assets(
                *(
                    asset_key(study.study, table)
                    for recipe in RECIPES.values()
                    if follows_inputs(recipe) and _asks_models(recipe, study) == asks_models
                    for table in recipe.tables
                )
            ),
            run_tags={STUDY_TAG: study.study},
            default_status=dg.DefaultSensorStatus.STOPPED,
            description=f"Materialises analysis steps that {what} when their inputs changed.",
        )
        for name, asks_models, what in (
            ("without_models", False, "ask no model"),
            ("asking_models", True, "ask judge models"),
        )
    ]


def _asks_models(recipe: Recipe, study: Study) -> bool:
    """Whether a step asks models in this study: grading does so only where a panel votes."""
    return recipe.asks_models and (recipe.name != "graded_trials" or bool(study.grading.panel))

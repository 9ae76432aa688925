"""When an analysis asset is to be made again, in Dagster's declarative terms.

Here: the conditions by recipe. Not here: the sensors that act on them (automation/conditions).
"""

from typing import Any

import dagster as dg

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.recipe import Recipe


def follows_inputs(recipe: Recipe) -> bool:
    """Whether a step follows its inputs by condition: all do but questions and traces, which have none in the lake."""
    return recipe.group != "inference"


def automation_condition(recipe: Recipe) -> dg.AutomationCondition[Any] | None:
    """An input was updated, none is being made, none is missing; None for a step that does not follow.

    A step that gathers domains goes without those that were not run, so that missing ones do not hold it up. One of the
    whole study takes no notice of new traces until something was made of them.
    """
    if not follows_inputs(recipe):
        return None
    any_updated = dg.AutomationCondition.any_deps_updated()
    if recipe.level == "study":
        any_updated = any_updated.ignore(dg.AssetSelection.groups("inference"))
    updated = any_updated.since_last_handled()
    is_idle = ~dg.AutomationCondition.any_deps_in_progress() & ~dg.AutomationCondition.in_progress()
    if all(TABLES[name].level in (recipe.level, "domain") for name in recipe.upstream):
        return (updated & ~dg.AutomationCondition.any_deps_missing() & is_idle).with_label("follows its inputs")
    return (updated & is_idle).with_label("follows the domains that were run")

"""Declarative automation: analysis assets follow their inputs, level by level."""

import dagster as dg
import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.orchestration.conditions import build_condition_sensors
from advcluster_dagster.orchestration.definitions import build_defs
from advcluster_dagster.study.study import Study
from tests.studies import GIVEN, bring_traces

INFERENCE = {"benchmark_questions", "larger_traces", "smaller_traces"}


class Followed:
    """The conditions of a study with their cursor."""

    def __init__(self, small):
        self.small, self.definitions, self.cursor = small, build_defs(small.home, small.study), None

    def look(self):
        """Assets requested, with their partitions."""
        with self.small.instance() as instance:
            found = dg.evaluate_automation_conditions(self.definitions, instance, cursor=self.cursor)
        self.cursor = found.cursor
        names = [table for recipe in RECIPES.values() for table in recipe.tables if table not in INFERENCE]
        wanted = {name: found.get_requested_partitions(dg.AssetKey([self.small.name, name])) for name in names}
        return {name: {key and str(key) for key in keys} for name, keys in wanted.items() if keys}


def _of_level(level):
    return {table for recipe in RECIPES.values() if recipe.level == level for table in recipe.tables} - INFERENCE


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_new_traces_are_followed_down_to_the_report(given):
    followed = Followed(given)
    assert followed.look() == {}
    bring_traces(given, "sums", n_kept=3)
    assert given.run(("larger_traces", "smaller_traces")).failures == {}
    # Everything of that family and domain, in one run; the other domain is left alone, the one without traces too.
    assert followed.look() == {key: {"sums|f"} for key in _of_level("family_domain")}
    assert given.run([name for name, table in TABLES.items() if table.level == "family_domain"]).failures == {}
    of_study = {"study_report": {None}, "evidence_explorer": {None}}
    assert followed.look() == {key: {"f"} for key in _of_level("family")} | of_study
    assert given.run().failures == {}
    assert followed.look() == {}


def test_questions_and_traces_follow_nothing(given_once):
    definitions = build_defs(given_once.home, given_once.study)
    without = {
        spec.key.path[-1] for asset in definitions.assets for spec in asset.specs if spec.automation_condition is None
    }
    assert without == INFERENCE


def test_the_two_switches_cover_what_follows(given_once):
    definitions = build_defs(given_once.home, given_once.study)
    repository = definitions.get_repository_def()
    targets = {
        sensor.name: {key.path[-1] for key in sensor.asset_selection.resolve(repository.asset_graph)}
        for sensor in definitions.sensors
        if isinstance(sensor, dg.AutomationConditionSensorDefinition)
    }
    assert targets["given__follow_asking_models"] == {
        "advantage_corpus", "first_errors", "extraction_failures", "advantage_embeddings", "cluster_summaries",
        "candidate_reviews",
    }  # fmt: skip
    assert targets["given__follow_without_models"] == (
        {table for recipe in RECIPES.values() for table in recipe.tables}
        - INFERENCE
        - targets["given__follow_asking_models"]
    )


@pytest.mark.parametrize("panel", [[], ["a", "b", "c"]])
def test_grading_asks_models_where_a_panel_votes(panel):
    members = [{"model": name, "provider": "embedded"} for name in panel]
    study = Study.model_validate({**GIVEN, "grading": {"panel": members}})
    for sensor in build_condition_sensors(study):
        has_grading = dg.AssetKey(["given", "graded_trials"]) in sensor.asset_selection.selected_keys
        assert has_grading == (sensor.name.endswith("asking_models") == bool(panel))

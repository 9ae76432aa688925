import json
import os
from pathlib import Path

import dagster as dg
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.orchestration.asset_definitions import build_assets, build_pages
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import Study
from tests.studies import GIVEN

SNAPSHOT = Path(__file__).with_name("asset_graph.json")
HOW_TO = "the asset graph changed; if it should have: UPDATE_SNAPSHOT=1 pytest tests/orchestration/test_asset_graph.py"


def _partitions(definition):
    if definition is None:
        return []
    dimensions = definition.partitions_defs if isinstance(definition, dg.MultiPartitionsDefinition) else None
    if dimensions is None:
        return [definition.name]
    return [f"{dimension.name}: {dimension.partitions_def.name}" for dimension in dimensions]


def _described(asset, spec):
    checks = {check.name: check for check in asset.check_specs if check.asset_key == spec.key}
    partitions = _partitions(asset.partitions_def)
    assert all(_partitions(check.partitions_def) == partitions for check in checks.values())
    return {
        "group": spec.group_name,
        "kinds": sorted(spec.kinds),
        "partitions": partitions,
        "deps": sorted(dep.asset_key.path[-1] for dep in spec.deps),
        "checks": {name: "blocking" if check.blocking else "warning" for name, check in sorted(checks.items())},
    }


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    home, study = Home(tmp_path_factory.mktemp("home")), Study.model_validate(GIVEN)
    assets = [*build_assets(home, study), *build_pages(home, study)]
    assert {key.path[0] for asset in assets for key in asset.keys} == {"given"}
    return {spec.key.path[-1]: _described(asset, spec) for asset in assets for spec in asset.specs}


def test_the_graph_is_that_of_the_snapshot(graph):
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(graph, indent=2) + "\n", encoding="utf-8")
    assert graph == json.loads(SNAPSHOT.read_text(encoding="utf-8")), HOW_TO


def test_every_asset_of_the_design_is_there(graph):
    always = {name for name, table in TABLES.items() if table.section is None}
    assert graph.keys() == {*always, "study_report", "evidence_explorer"}
    named = {
        "pass_rate_table", "analysis_question_set", "advantage_corpus", "advantage_embeddings", "candidate_clusterings",
        "final_taxonomy", "edi_summary", "study_report", "evidence_explorer",
    }  # fmt: skip
    assert named <= graph.keys()


def test_every_table_has_a_blocking_contract_check(graph):
    assert {name: asset["checks"].get("contract") for name, asset in graph.items()} == {
        name: None if name in ("study_report", "evidence_explorer") else "blocking" for name in graph
    }

"""What Dagster shows of an asset before it is run."""

from pathlib import Path

import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.orchestration.asset_descriptions import describe_table, paper_places
from advcluster_dagster.orchestration.run_definitions import run_assets
from advcluster_dagster.study.study import StudyError
from tests.studies import ROOT


def test_a_table_says_its_grain_its_source_and_its_place_in_the_paper(given):
    assert describe_table(given.study, RECIPES["pass_rate_table"], "pass_rate_table") == (
        f"{TABLES['pass_rate_table'].description}\n\n"
        "One row per `question_id`; one partition per family and domain."
        " Made by the SQL model `pass_rate_table` from `graded_trials`.\n\n"
        "Paper: 3.2.1, PassRate and Δ (docs/paper_map.md)."
    )


def test_a_table_of_the_whole_study_that_the_paper_does_not_have(given):
    text = describe_table(given.study, RECIPES["themes"], "shared_patterns")
    assert "; one file for the study. Made by the step `themes` from " in text
    assert text.endswith("Not in the paper (docs/paper_map.md).")


def test_places_are_those_of_the_paper_map():
    places = paper_places()
    lines = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8").splitlines()
    assert places["trace_pairs"].place == "3.2.2, comparison instances"
    assert all(place.place and f"`{asset}`" in lines[place.line - 1] for asset, place in places.items())
    assert set(places) <= {*TABLES, "study_report", "evidence_explorer"}


def test_assets_have_owners_tags_and_links_to_files_that_exist(given):
    given.change(owners=["team:evaluation", "me@example.org"])
    for asset in run_assets(given.home, given.study):
        for key, spec in asset.specs_by_key.items():
            assert list(spec.owners) == ["team:evaluation", "me@example.org"]
            assert spec.tags["advcluster/study"] == "given"
            assert {"advcluster/stage", "advcluster/partitioned_by"} <= spec.tags.keys()
            references = spec.metadata["dagster/code_references"].code_references
            for reference in references:
                lines = Path(reference.file_path).read_text(encoding="utf-8").splitlines()
                assert 1 <= reference.line_number <= len(lines), key


@pytest.mark.parametrize("owner", ["nobody", "team:", "me@", "a b@c.de", "team:x y"])
def test_an_owner_that_dagster_would_refuse_is_refused_in_the_study_file(given, owner):
    given.change(owners=[owner])
    with pytest.raises(StudyError, match=r"allowed: an email address, or team:NAME"):
        given.study  # noqa: B018

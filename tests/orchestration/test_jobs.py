"""Jobs, schedules and retry policies as definitions."""

import dagster as dg
import pytest
from dagster._core.definitions.utils import DISALLOWED_NAMES, is_valid_name
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.assets.registry import recipes_of
from advcluster_dagster.code_location import home_definitions
from advcluster_dagster.orchestration.definitions import build_defs
from advcluster_dagster.orchestration.schedules import build_schedules
from advcluster_dagster.study.base import NAME_PATTERN, is_name
from advcluster_dagster.study.study import Study, StudyError
from tests.studies import GIVEN, write_study


@pytest.fixture
def definitions(tmp_path):
    small = write_study(tmp_path, GIVEN)
    return build_defs(small.home, [small.study])


def test_one_job_for_each_stage_and_partition_scheme(definitions):
    repository = definitions.get_repository_def()
    jobs = {
        name: {key.path[-1] for key in repository.get_job(name).asset_layer.executable_asset_keys}
        for name in repository.job_names
        if name.count("__") == 2 and not name.startswith("__")
    }
    expected = {}
    for recipe in recipes_of(Study.model_validate(GIVEN)):
        expected.setdefault(f"given__{recipe.group}__{recipe.level}", set()).update(recipe.tables)
    assert jobs == expected
    assert len(jobs) == 12


def test_the_whole_is_taken_up_again_after_a_crash_but_not_after_a_failure(definitions):
    job = definitions.resolve_job_def("given__whole_study")
    assert job.tags == {
        "advcluster/study": "given",
        "advcluster/whole_study": "given",
        "dagster/max_retries": "3",
        "dagster/retry_on_asset_or_op_failure": "false",
    }


def test_steps_that_ask_models_are_tried_again(definitions):
    asking = {
        asset.op.name.split("__")[-1]
        for asset in definitions.assets
        if getattr(asset.op, "retry_policy", None) is not None
    }
    assert asking == {
        "larger_traces", "smaller_traces", "graded_trials", "extracted_advantages", "advantage_embeddings",
        "cluster_summaries", "candidate_reviews", "name_checks", "themes",
    }  # fmt: skip


def test_a_schedule_runs_the_whole(tmp_path):
    assert build_schedules(Study.model_validate(GIVEN)) == []
    automation = {"schedule": "0 3 * * 1", "timezone": "Europe/Berlin"}
    (schedule,) = build_schedules(Study.model_validate({**GIVEN, "automation": automation}))
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * 1", "Europe/Berlin")
    assert schedule.job_name == "given__whole_study"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


SAME_BUT_FOR_SIGNS = ("a-b", "a.b", "a_b", "a--b", "a.-b", "a_-b", "a_.b", "a__b", "a_dash_b", "a_dot_b", "a-b.")


def test_studies_whose_names_differ_in_signs_alone_stand_side_by_side(tmp_path, capsys):
    for name in SAME_BUT_FOR_SIGNS:
        small = write_study(tmp_path, {**GIVEN, "study": name})
    repository = home_definitions(small.home).get_repository_def()
    assert sum(name.endswith("__whole_study") for name in repository.job_names) == len(SAME_BUT_FOR_SIGNS)
    studies = {key.path[0] for key in repository.asset_graph.get_all_asset_keys()}
    assert studies == set(SAME_BUT_FOR_SIGNS)
    groups = {node.group_name for node in repository.asset_graph.asset_nodes}
    assert len(groups) == len(SAME_BUT_FOR_SIGNS) * len({recipe.group for recipe in recipes_of(small.study)})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", sorted(name for name in DISALLOWED_NAMES if is_name(name)))
def test_a_study_may_have_a_name_that_dagster_keeps_for_itself(tmp_path, name):
    small = write_study(tmp_path, {**GIVEN, "study": name})
    assert f"{name}_Study__whole_study" in home_definitions(small.home).get_repository_def().job_names


@pytest.mark.parametrize("name", ["demo", "gsm8k", "a_b", "0", "study"])
def test_plain_names_are_kept(name):
    assert Study.model_validate({**GIVEN, "study": name}).identifier == name


@given(*[st.from_regex(NAME_PATTERN.replace("$", r"\Z"))] * 2)
def test_different_studies_have_different_identifiers(one, other):
    identifiers = [Study.model_construct(study=name).identifier for name in (one, other)]
    assert (identifiers[0] == identifiers[1]) == (one == other)
    assert all(is_valid_name(identifier) for identifier in identifiers)


def test_a_schedule_that_never_comes_is_one_line_and_leaves_other_studies_alone(tmp_path, capsys):
    never = {**GIVEN, "study": "never", "automation": {"schedule": "0 0 31 2 *"}}
    with pytest.raises(StudyError, match="that time never occurs"):
        build_schedules(Study.model_validate(never))
    write_study(tmp_path, never)
    small = write_study(tmp_path, GIVEN)
    repository = home_definitions(small.home).get_repository_def()
    assert {key.path[0] for key in repository.asset_graph.get_all_asset_keys()} == {"given"}
    assert "skipped: study never: automation.schedule is '0 0 31 2 *'" in capsys.readouterr().err

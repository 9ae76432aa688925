"""Sensors against a real instance: which runs they request, when, and that they request none twice."""

import dagster as dg
import pytest

from advcluster_dagster.orchestration.definitions import build_defs
from advcluster_dagster.orchestration.run_process import STUDY_TAG
from advcluster_dagster.orchestration.sensors import build_change_sensor, build_partition_sensor
from advcluster_dagster.planning.status import study_status
from tests.orchestration.conftest import drop
from tests.studies import GIVEN, SIMULATED, given_study, write_study

PAID = {"extractor": {"model": "m", "provider": "openai"}}
STOPPED, RUNNING = dg.DefaultSensorStatus.STOPPED, dg.DefaultSensorStatus.RUNNING


class Watched:
    """A sensor of a study with its cursor."""

    def __init__(self, small, build, instance):
        self.sensor, self.instance, self.cursor = build(small.home, small.study), instance, None

    def look(self, keeps_cursor=True):
        """Evaluate one tick; return its result."""
        tick = self.sensor.evaluate_tick(dg.build_sensor_context(instance=self.instance, cursor=self.cursor))
        if keeps_cursor and tick.cursor:
            self.cursor = tick.cursor
        return tick

    def requests(self):
        return [request.run_key for request in self.look().run_requests]


@pytest.fixture
def instance(made):
    with made.instance() as instance:
        yield instance


@pytest.fixture
def changes(made, instance):
    return Watched(made, build_change_sensor, instance)


def _run_whole(small, instance):
    return (
        build_defs(small.home, [small.study]).resolve_job_def("made__whole_study").execute_in_process(instance=instance)
    )


@pytest.mark.integration
def test_a_drop_is_requested_once_and_run_to_the_end(made, instance, changes):
    statuses = study_status(made.platform, made.study, instance)
    assert {place: status.reasons for place, status in statuses.items() if status.state != "fresh"} == {}
    assert changes.look().skip_message == "the changes make nothing stale"
    assert changes.look().skip_message == "nothing changed"
    drop(made.home, "made", "math", "more", 3)
    (request,) = changes.look(keeps_cursor=False).run_requests
    # The daemon died before it stored the cursor: the repeated tick requests the same run.
    assert changes.requests() == [request.run_key]
    assert changes.look().skip_message == "nothing changed"
    before = {run.run_id for run in instance.get_runs()}
    assert _run_whole(made, instance).success
    runs = [run for run in instance.get_runs() if run.run_id not in before]
    assert sorted(run.tags.get("dagster/partition", run.job_name) for run in runs) == [
        "__ASSET_JOB", "made__whole_study", "math", "math|orion", "orion",
    ]  # fmt: skip
    assert {run.tags[STUDY_TAG] for run in runs} == {"made"}
    assert {status.state for status in made.status().values()} == {"fresh"}
    assert changes.look().skip_message == "nothing changed"


def test_back_and_forth_are_different_requests(made, changes):
    changes.look()
    path = drop(made.home, "made", "math", "more", 3)
    keys = changes.requests()
    path.unlink()
    assert changes.look().skip_message == "the changes make nothing stale"  # no run in between
    drop(made.home, "made", "math", "more", 3)
    keys += changes.requests()
    assert len(keys) == len(set(keys)) == 2


def test_the_study_file_is_watched_too(made, changes):
    changes.look()
    made.change(deduplication={"threshold": 0.5})
    assert len(changes.requests()) == 1
    made.change(families=SIMULATED["families"] | {"lyra": {
        "larger": {"model": "lyra-large", "provider": "simulated"},
        "smaller": {"model": "lyra-small", "provider": "simulated"},
    }})  # fmt: skip
    assert len(changes.requests()) == 1
    assert changes.instance.get_dynamic_partitions("made_family") == ["orion", "lyra"]
    path = made.home.study_file("made")
    path.write_text(path.read_text(encoding="utf-8") + "trials: nine\n", encoding="utf-8")
    assert "key 'trials' is given twice" in changes.look().skip_message


def test_nothing_is_requested_while_a_run_of_the_study_goes_on(made, instance, changes):
    changes.look()
    drop(made.home, "made", "math", "more", 3)
    instance.add_run(dg.DagsterRun("other", status=dg.DagsterRunStatus.STARTED, tags={STUDY_TAG: "elsewhere"}))
    run = dg.DagsterRun("made__whole_study", status=dg.DagsterRunStatus.STARTED, tags={STUDY_TAG: "made"})
    instance.add_run(run)
    assert changes.look().skip_message == "something changed; a run of the study is in progress"
    instance.report_run_failed(run, "for the test")
    assert len(changes.requests()) == 1


def test_the_first_run_is_a_persons(tmp_path):
    small = write_study(tmp_path, SIMULATED)
    with small.instance() as instance:
        changes = Watched(small, build_change_sensor, instance)
        assert changes.look().skip_message == "the study has never run; start its first run by hand"
        assert changes.cursor is None


def test_imports_are_watched(given):
    with given.instance() as instance:
        changes = Watched(given, build_change_sensor, instance)
        changes.look()
        given_study(given.home.root)  # the same imports again
        assert changes.look().skip_message == "nothing changed"


@pytest.mark.parametrize(("judges", "status"), [({}, RUNNING), (PAID, STOPPED)])
def test_what_may_cost_money_starts_switched_off(tmp_path, judges, status):
    small = write_study(tmp_path, {**GIVEN, "judges": judges, "automation": {"schedule": "0 3 * * *"}})
    definitions = build_defs(small.home, [small.study])
    switches = {sensor.name.split("__")[1]: sensor.default_status for sensor in definitions.sensors}
    assert switches == {"partitions": RUNNING, "changes": status, "failures": RUNNING}
    schedule = next(schedule for schedule in definitions.schedules if schedule.name == "given__schedule")
    assert schedule.default_status.value == status.value


def test_partition_keys_follow_and_faults_are_named(made, instance):
    watched = Watched(made, build_partition_sensor, instance)
    assert watched.look().skip_message == "partition keys are in step with the study"
    made.change(domains={"math": ["worked-math"], "physics": ["worked-physics"]},
                benchmarks={name: {"source": "simulated"} for name in ("worked-math", "worked-physics")})  # fmt: skip
    drop(made.home, "made", "math", "Bad", 1)
    assert "Bad.jsonl: skipped, names consist of" in watched.look().skip_message
    assert instance.get_dynamic_partitions("made_domain") == ["math", "physics"]

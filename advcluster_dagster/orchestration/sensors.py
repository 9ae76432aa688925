"""Sensors of a study: synchronise its partition keys with its file, and run it when its inputs change.

Every tick reads the study file, so that changes need no restart.
"""

import json

import dagster as dg

from advcluster_dagster.assets.registry import recipes_of
from advcluster_dagster.orchestration.jobs import whole_job_name
from advcluster_dagster.orchestration.partition_definitions import sync_partitions
from advcluster_dagster.orchestration.run_process import STUDY_TAG
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.recipe import fingerprint
from advcluster_dagster.planning.status import study_status
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import all_partitions
from advcluster_dagster.study.study import Study, StudyError

_IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_partition_sensor(home: Home, study: Study) -> dg.SensorDefinition:
    """A sensor that reads the study file every 30 seconds and adds or removes partition keys; launches no runs."""

    @dg.sensor(
        name=f"{study.identifier}__partitions",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Synchronises families and domains of study {study.study} with its file.",
    )
    def partitions(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        try:
            sync_partitions(context.instance, home.load_study(study.study))
            faults = home.drop_faults(study.study)
        except StudyError as error:
            return dg.SkipReason(str(error))
        for fault in faults:
            context.log.warning(fault)
        return dg.SkipReason("; ".join(["partition keys are in step with the study", *faults]))

    return partitions


def build_change_sensor(home: Home, study: Study) -> dg.SensorDefinition:
    """A sensor that runs the study when its inputs changed; see :func:`look_for_changes`.

    It is initially stopped if the study says so, or if runs may call paid models.
    """
    follows = study.automation.follow_changes
    platform, is_off = Platform(home), study.asks_paid_models if follows is None else not follows

    @dg.sensor(
        name=f"{study.identifier}__changes",
        job_name=whole_job_name(study),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED if is_off else dg.DefaultSensorStatus.RUNNING,
        description=f"Runs the steps affected by changes of study {study.study}, its dropped benchmarks or imports.",
    )
    def changes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            return look_for_changes(platform, home.load_study(study.study), context)
        except StudyError as error:
            return dg.SkipReason(str(error))

    return changes


def look_for_changes(
    platform: Platform, study: Study, context: dg.SensorEvaluationContext
) -> dg.SensorResult | dg.SkipReason:
    """Request a whole-study run if the inputs changed since the last tick and something is to be run.

    The first run of a study is left to the user. While a run of the study is in progress nothing is requested, and the
    change is examined again at the next tick. Failed steps are not run again until something changes; the schedule or
    the user does that. The cursor and the request's key contain a counter and the digest of the inputs, so that a tick
    repeated after a crash requests the same run, and returning to an earlier state requests a new one.
    """
    n_looks, seen = json.loads(context.cursor) if context.cursor else (0, "")
    digest = inputs_digest(platform.home, study)
    if digest == seen:
        return dg.SkipReason("nothing changed")
    running = dg.RunsFilter(statuses=_IN_PROGRESS, tags={STUDY_TAG: study.study})
    if context.instance.get_runs(running, limit=1):
        return dg.SkipReason("something changed; a run of the study is in progress")
    sync_partitions(context.instance, study)
    statuses = study_status(platform, study, context.instance)
    if not any(status.state in ("fresh", "stale", "blocked") for status in statuses.values()):
        return dg.SkipReason("the study has never run; start its first run by hand")
    cursor = json.dumps([n_looks + 1, digest])
    work = [status for status in statuses.values() if status.must_run]
    if not work:
        return dg.SensorResult(skip_reason="the changes make nothing stale", cursor=cursor)
    partitions = dict.fromkeys(status.partition.label for status in work)
    context.log.info(f"{len(work)} steps of {', '.join(partitions)} are to be run")
    request = dg.RunRequest(
        run_key=f"{study.study}:{n_looks + 1}:{digest}", tags={"advcluster/partitions": f"{len(partitions)}"}
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)


def inputs_digest(home: Home, study: Study) -> str:
    """Hash of a study's inputs outside the lake (settings, benchmark files, imports), 16 hex digits."""
    sources = [
        recipe.sources(home, study, partition)
        for recipe in recipes_of(study)
        for partition in all_partitions(study, recipe.level)
    ]
    return fingerprint([study.model_dump(mode="json"), sources])

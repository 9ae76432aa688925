"""Whether each family's taxonomy is up to date, as a check that the UI shows by partition.

Here: the sensor that keeps the check in step with what the study's files are now. Not here: what is stale (status).
"""

from collections.abc import Mapping

import dagster as dg

from advcluster_dagster.assets.taxonomy import FOLLOWS_INPUTS
from advcluster_dagster.orchestration.sensors import inputs_digest
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.planning.status import StepKey, StepStatus, study_status
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study, StudyError

_TABLE = "final_taxonomy"


def build_freshness_sensor(home: Home, study: Study) -> dg.SensorDefinition:
    """A sensor that says anew, when something changed, whether each taxonomy is up to date; it launches nothing."""
    platform = Platform(home)

    @dg.sensor(
        name=f"{study.identifier}__freshness",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Shows by check {FOLLOWS_INPUTS} of {_TABLE} whether each family's taxonomy is up to date.",
    )
    def freshness(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            declared = home.load_study(study.study)
        except StudyError as error:
            return dg.SkipReason(str(error))
        last_event = context.instance.event_log_storage.get_maximum_record_id()
        cursor = f"{inputs_digest(home, declared)}:{last_event}"
        if cursor == context.cursor:
            return dg.SkipReason("nothing changed")
        said = say_freshness(declared, study_status(platform, declared, context.instance), context.instance)
        lines = [f"{family} is {state}" for family, state in said.items()] or ["nothing"]
        return dg.SensorResult(skip_reason=f"said what changed: {', '.join(lines)}", cursor=cursor)

    return freshness


def say_freshness(study: Study, statuses: Mapping[StepKey, StepStatus], instance: dg.DagsterInstance) -> dict[str, str]:
    """Bring the check of each family's taxonomy up to date; the states said, by family.

    The result goes into the run that made the taxonomy, in place of what that run said: Dagster keeps no more than one
    result of a partition that belongs to no run.
    """
    key = dg.AssetCheckKey(asset_key(study.study, _TABLE), FOLLOWS_INPUTS)
    known = {
        info.partition_key: info.latest_execution_status.value
        for info in instance.event_log_storage.get_asset_check_partition_info([key])
    }
    said: dict[str, str] = {}
    for family in study.families:
        status = statuses[_TABLE, Partition(family)]
        expected = "SUCCEEDED" if status.state == "fresh" else "FAILED"
        if status.state not in ("missing", "no sources") and known.get(family) != expected:
            _report(instance, key, family, status)
            said[family] = status.state
    return said


def _report(instance: dg.DagsterInstance, key: dg.AssetCheckKey, family: str, status: StepStatus) -> None:
    records = instance.fetch_materializations(dg.AssetRecordsFilter(key.asset_key, [family]), limit=1).records
    run = instance.get_run_by_id(records[0].run_id) if records else None
    if run is None:  # the run was deleted since
        return
    found = dg.AssetCheckEvaluation(
        key.asset_key,
        key.name,
        passed=status.state == "fresh",
        metadata={"state": status.state, "why": "; ".join(status.texts)},
        severity=dg.AssetCheckSeverity.WARN,
        partition=family,
    )
    event = dg.DagsterEvent(dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, run.job_name, event_specific_data=found)
    instance.report_dagster_event(event, run.run_id)

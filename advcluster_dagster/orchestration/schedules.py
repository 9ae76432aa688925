"""The schedule of a study, where its file declares one."""

import dagster as dg

from advcluster_dagster.orchestration.jobs import whole_job_name
from advcluster_dagster.study.study import Study, StudyError


def build_schedules(study: Study) -> list[dg.ScheduleDefinition]:
    """The schedule of a study; none without one in its file. It starts switched off where runs may ask paid models.

    Raises:
        StudyError: the schedule names no time that ever comes.
    """
    if study.automation.schedule is None:
        return []
    is_off = study.asks_paid_models
    try:
        return [
            dg.ScheduleDefinition(
                name=f"{study.identifier}__schedule",
                cron_schedule=study.automation.schedule,
                execution_timezone=study.automation.timezone,
                job_name=whole_job_name(study),
                default_status=dg.DefaultScheduleStatus.STOPPED if is_off else dg.DefaultScheduleStatus.RUNNING,
                description=f"Runs what is not up to date in study {study.study}.",
            )
        ]
    except dg.DagsterInvalidDefinitionError:
        raise StudyError(
            f"study {study.study}: automation.schedule is {study.automation.schedule!r}; that time never comes"
        ) from None

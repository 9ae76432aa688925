"""Schedule of a study, if its file declares one."""

import dagster as dg

from advcluster_dagster.orchestration.jobs import whole_job_name
from advcluster_dagster.study.study import Study, StudyError


def build_schedules(study: Study) -> list[dg.ScheduleDefinition]:
    """The schedule of a study, if its file declares one; initially stopped if runs may call paid models.

    Raises:
        StudyError: the schedule's time never occurs.
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
                description=f"Runs the steps of study {study.study} that are not up to date.",
            )
        ]
    except dg.DagsterInvalidDefinitionError:
        raise StudyError(
            f"study {study.study}: automation.schedule is {study.automation.schedule!r}; that time never occurs"
        ) from None

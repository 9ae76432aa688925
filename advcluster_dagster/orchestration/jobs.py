"""Jobs of a study: one per stage and partition scheme, and one that runs the whole study in order."""

import dagster as dg

from advcluster_dagster.assets.registry import recipes_of
from advcluster_dagster.contracts.table import PartitionLevel
from advcluster_dagster.dagster_internals import UnresolvedAssetJobDefinition
from advcluster_dagster.orchestration.run_process import STUDY_TAG, claim_run
from advcluster_dagster.orchestration.run_study import run_study
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.platform import Executor
from advcluster_dagster.study.study import Study

#: Whole-study runs of a study are serialised (dagster.yaml), and retried if their process died.
WHOLE_TAG = "advcluster/whole_study"
_RETRY_TAGS = {"dagster/max_retries": "3", "dagster/retry_on_asset_or_op_failure": "false"}


def stage_jobs(study: Study) -> list[UnresolvedAssetJobDefinition]:
    """A job for each stage and partition scheme: a Dagster job cannot mix schemes."""
    tables: dict[tuple[str, PartitionLevel], list[str]] = {}
    for recipe in recipes_of(study):
        tables.setdefault((recipe.group, recipe.level), []).extend(recipe.tables)
    return [
        dg.define_asset_job(
            name=f"{study.identifier}__{group}__{level}",
            selection=dg.AssetSelection.assets(*(asset_key(study.study, table) for table in names)),
            description=f"Stage {group} of study {study.study}: {', '.join(names)}.",
            tags={STUDY_TAG: study.study},
        )
        for (group, level), names in tables.items()
    ]


def whole_job_name(study: Study) -> str:
    """Name of the job that runs a whole study."""
    return f"{study.identifier}__whole_study"


def whole_job(home: Home, study: Study) -> dg.JobDefinition:
    """The job that runs a whole study as ``advcluster run`` does: what is not fresh, each partition as a run."""
    # This op only waits for the runs it starts, so it stays in its run's process, whichever executor runs steps.
    executor: Executor = home.settings.executor if home.settings.has_cluster else "in_process"

    @dg.op(name=f"{whole_job_name(study)}__run", required_resource_keys={"platform"})
    def run_whole(context: dg.OpExecutionContext) -> None:
        claim_run(context.instance, context.run, executor)
        declared = home.load_study(study.study)
        for fault in home.drop_faults(study.study):
            context.log.warning(fault)
        outcome = run_study(
            context.resources.platform,
            declared,
            context.instance,
            Selection(keeps_taxonomies=declared.automation.keep_taxonomies),
            on_run=lambda label, n_steps: context.log.info(f"{label}: {n_steps} steps"),
        )
        context.add_output_metadata({"n_runs": outcome.n_runs, "n_steps": outcome.n_steps})
        for partition, reason in outcome.waiting.items():
            context.log.warning(f"{partition.label}: {reason}")
        if outcome.failures:
            lines = [f"{partition.label}: {fault}" for partition, fault in outcome.failures.items()]
            raise dg.Failure(f"did not finish: {'; '.join(lines)}", allow_retries=False)

    @dg.job(
        name=whole_job_name(study),
        description=f"Runs the steps of study {study.study} that are not up to date, in order.",
        tags={STUDY_TAG: study.study, WHOLE_TAG: study.study, **_RETRY_TAGS},
        executor_def=dg.in_process_executor,
    )
    def whole() -> None:
        run_whole()

    return whole

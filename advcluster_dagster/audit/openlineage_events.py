"""The history of a study as OpenLineage events: each run and step with its inputs and outputs (optional extra).

Tables are datasets, partitions are subsets of them; the columns of SQL models carry their sources.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import dagster as dg
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    DatasetFacet,
    JobFacet,
    RunFacet,
    base_subset_dataset,
    column_lineage_dataset,
    dataset_version_dataset,
    datasource_dataset,
    documentation_dataset,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    processing_engine_run,
    schema_dataset,
    set_producer,
    sql_job,
    tags_run,
)

from advcluster_dagster.assets.registry import recipe_of
from advcluster_dagster.audit.history import Materialisation, every_materialisation
from advcluster_dagster.audit.records import partition_named
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.column_lineage import column_lineage
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.sql_models import sql_models
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

NAMESPACE = "advcluster"
_REPORT = "study_report"
_ENDINGS = {
    dg.DagsterRunStatus.SUCCESS: RunState.COMPLETE,
    dg.DagsterRunStatus.FAILURE: RunState.FAIL,
    dg.DagsterRunStatus.CANCELED: RunState.ABORT,
}
set_producer(f"urn:advcluster-dagster:{version('advcluster-dagster')}")


def lineage_events(home: Home, study: Study, instance: dg.DagsterInstance) -> Iterator[RunEvent]:
    """Yield START and end events of every run of a study that materialised something and of its steps, oldest first."""
    by_run: dict[str, list[Materialisation]] = {}
    for table in (*TABLES, _REPORT):
        for materialisation in every_materialisation(instance, study.study, table):
            by_run.setdefault(materialisation.run_id, []).append(materialisation)
    for run_id in sorted(by_run, key=lambda run_id: min(materialisation.time for materialisation in by_run[run_id])):
        yield from _run_events(home, study, instance, run_id, by_run[run_id])


def _run_events(
    home: Home, study: Study, instance: dg.DagsterInstance, run_id: str, history: Sequence[Materialisation]
) -> Iterator[RunEvent]:
    """Yield the events of a run and its steps; a run deleted from the history is timed by its materialisations."""
    record = instance.get_run_record_by_id(run_id)
    first, last = min(item.time for item in history), max(item.time for item in history)
    begun = _time(record.start_time) if record and record.start_time else first
    job = Job(NAMESPACE, study.study, facets=_job_type("JOB"))
    run = Run(run_id, facets={"processing_engine": _engine()})
    yield RunEvent(eventTime=begun.isoformat(), eventType=RunState.START, run=run, job=job)
    times = {stats.step_key: stats for stats in instance.get_run_step_stats(run_id)} if record else {}
    for step in sorted(
        {item.step for item in history}, key=lambda step: min(o.time for o in history if o.step == step)
    ):
        outputs = [item for item in history if item.step == step]
        stats = times.get(step)
        start = _time(stats.start_time) if stats and stats.start_time else outputs[0].time
        end = _time(stats.end_time) if stats and stats.end_time else outputs[-1].time
        yield from _step_events(home, study, step, outputs, (start, max(start, end)))
    ending = _ENDINGS.get(record.dagster_run.status) if record else RunState.COMPLETE
    if ending is not None:
        ended = _time(record.end_time) if record and record.end_time else last
        yield RunEvent(eventTime=ended.isoformat(), eventType=ending, run=run, job=job)


def _step_events(
    home: Home, study: Study, step: str, history: Sequence[Materialisation], times: tuple[datetime, datetime]
) -> Iterator[RunEvent]:
    """Yield the events of one step on one partition; ids derive from Dagster's, so that events sent twice are equal."""
    first = history[0]
    own_id = str(uuid.uuid5(uuid.UUID(first.run_id), f"{step}/{first.partition.label}"))
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=first.run_id), job=parent_run.Job(namespace=NAMESPACE, name=study.study)
    )
    facets: dict[str, RunFacet] = {"parent": parent, "tags": _tags(first), "processing_engine": _engine()}
    name = recipe_of(first.table).name
    model = sql_models().get(name)
    job_facets = _job_type("STEP")
    if model is not None:
        job_facets["sql"] = sql_job.SQLJobFacet(query=model.sql, dialect="duckdb")
    job = Job(NAMESPACE, f"{study.study}.{name}", facets=job_facets)
    inputs = [_input(study, table, partitions) for table, partitions in _read_by(first).items()]
    outputs = [_output(home, study, materialisation) for materialisation in history]
    for state, time in zip((RunState.START, RunState.COMPLETE), times, strict=True):
        yield RunEvent(
            eventTime=time.isoformat(),
            eventType=state,
            run=Run(own_id, facets=facets),
            job=job,
            inputs=list(inputs),
            outputs=list(outputs) if state == RunState.COMPLETE else [],
        )


def _read_by(materialisation: Materialisation) -> dict[str, dict[Partition, str]]:
    """Return the inputs of a materialisation: content hash by table and partition."""
    versions: dict[str, dict[Partition, str]] = {}
    for name, content_hash in materialisation.upstream.items():
        table, _, label = name.partition("@")
        versions.setdefault(table, {})[partition_named(TABLES[table].level, label)] = content_hash
    return versions


def _input(study: Study, table: str, partitions: dict[Partition, str]) -> InputDataset:
    facets: dict[str, DatasetFacet] = {"schema": _schema(table)}
    if len(partitions) == 1:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(next(iter(partitions.values())))
    subset = base_subset_dataset.InputSubsetInputDatasetFacet(inputCondition=_subset(partitions))
    return InputDataset(NAMESPACE, f"{study.study}.{table}", facets=facets, inputFacets={"subset": subset})


def _output(home: Home, study: Study, materialisation: Materialisation) -> OutputDataset:
    facets: dict[str, DatasetFacet] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(materialisation.data_version),
        "dataSource": datasource_dataset.DatasourceDatasetFacet(name="advcluster lake", uri=str(home.lake)),
    }
    if materialisation.table in TABLES:
        facets["schema"] = _schema(materialisation.table)
        facets["documentation"] = documentation_dataset.DocumentationDatasetFacet(
            TABLES[materialisation.table].description
        )
    if materialisation.table in sql_models():
        facets["columnLineage"] = _column_lineage(study, materialisation.table)
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=materialisation.n_rows, fileCount=1
    )
    subset = base_subset_dataset.OutputSubsetOutputDatasetFacet(outputCondition=_subset([materialisation.partition]))
    return OutputDataset(
        NAMESPACE,
        f"{study.study}.{materialisation.table}",
        facets=facets,
        outputFacets={"outputStatistics": statistics, "subset": subset},
    )


def _subset(partitions: Iterable[Partition]) -> base_subset_dataset.PartitionSubsetCondition:
    conditions = [base_subset_dataset.Partition(dimensions=item.columns, identifier=item.label) for item in partitions]
    return base_subset_dataset.PartitionSubsetCondition(partitions=conditions)


def _schema(table: str) -> schema_dataset.SchemaDatasetFacet:
    return schema_dataset.SchemaDatasetFacet(
        fields=[
            schema_dataset.SchemaDatasetFacetFields(
                name=column.name, type=str(column.dtype), description=column.description, ordinal_position=place
            )
            for place, column in enumerate(TABLES[table].all_columns, start=1)
        ]
    )


def _column_lineage(study: Study, table: str) -> column_lineage_dataset.ColumnLineageDatasetFacet:
    return column_lineage_dataset.ColumnLineageDatasetFacet(
        fields={
            column: column_lineage_dataset.Fields(
                inputFields=[
                    column_lineage_dataset.InputField(namespace=NAMESPACE, name=f"{study.study}.{source}", field=name)
                    for source, name in sources
                ]
            )
            for column, sources in column_lineage(sql_models()[table]).items()
        }
    )


def _tags(materialisation: Materialisation) -> tags_run.TagsRunFacet:
    """Return tags for the partition and the fingerprints of code, settings and prompts."""
    run_tags = {"partition": materialisation.partition.label}
    run_tags |= {
        name: str(materialisation.fingerprint[name])
        for name in ("code", "settings", "prompts")
        if name in materialisation.fingerprint
    }
    return tags_run.TagsRunFacet(
        tags=[tags_run.TagsRunFacetFields(key=key, value=value, source="ADVCLUSTER") for key, value in run_tags.items()]
    )


def _job_type(kind: str) -> dict[str, JobFacet]:
    facet = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DAGSTER", jobType=kind)
    return {"jobType": facet}


def _engine() -> processing_engine_run.ProcessingEngineRunFacet:
    own = version("advcluster-dagster")
    return processing_engine_run.ProcessingEngineRunFacet(
        version=version("dagster"), name="Dagster", openlineageAdapterVersion=own
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""Definitions needed to run studies: assets, resources and executor, without jobs, schedules and sensors."""

from collections.abc import Collection, Iterable

import dagster as dg

from advcluster_dagster.orchestration.asset_definitions import build_assets, build_pages
from advcluster_dagster.orchestration.executors import executor_of
from advcluster_dagster.orchestration.lake_io import LakeIOManager
from advcluster_dagster.orchestration.report_io import ReportIOManager
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import Study


def run_assets(home: Home, study: Study, families: Collection[str] | None = None) -> list[dg.AssetsDefinition]:
    """All assets of a study, tables and pages; see :func:`run_definitions`."""
    return [*build_assets(home, study, families), *build_pages(home, study)]


def run_definitions(
    home: Home, studies: Iterable[Study], platform: Platform | None = None, families: Collection[str] | None = None
) -> dg.Definitions:
    """Build the definitions needed to run studies.

    Args:
        home: location of the data; its settings choose the executor.
        studies: the studies to run.
        platform: options of model calls; by default those of the home.
        families: the families to run; None for all.
    """
    return dg.Definitions(
        assets=[asset for study in studies for asset in run_assets(home, study, families)],
        resources={
            "platform": platform or Platform(home),
            "lake_io": LakeIOManager(home.lake),
            "report_io": ReportIOManager(home.reports),
        },
        executor=executor_of(home),
    )

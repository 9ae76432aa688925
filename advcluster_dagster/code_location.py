"""Dagster code location: one ``Definitions`` for all studies of the home in ADVCLUSTER_HOME.

Only Dagster imports this module.
"""

import sys

import dagster as dg

from advcluster_dagster.orchestration.definitions import build_defs
from advcluster_dagster.orchestration.schedules import build_schedules
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import StudyError


def home_definitions(home: Home) -> dg.Definitions:
    """Definitions of all studies; studies with invalid files are skipped with a line on standard error."""
    studies, faults = home.readable_studies()
    usable = []
    for study in studies:
        try:
            build_schedules(study)
            usable.append(study)
        except StudyError as error:
            faults.append(str(error))
    for fault in faults:
        print(f"skipped: {fault}", file=sys.stderr)
    return build_defs(home, usable)


defs = home_definitions(Home.from_environment())

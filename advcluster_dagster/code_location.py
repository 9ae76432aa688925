"""The Dagster code location: one repository per study of the home, so that each study has its own asset groups.

Only Dagster imports this module.
"""

import sys

import dagster as dg

from advcluster_dagster.orchestration.definitions import build_defs
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import Study, StudyError


def build_repositories(home: Home) -> dict[str, dg.RepositoryDefinition]:
    """A repository per study by name; a study whose file is wrong is left out with one line on standard error."""
    studies, faults = home.readable_studies()
    repositories = {}
    for study in studies:
        try:
            repositories[study.identifier] = _repository(home, study)
        except StudyError as error:
            faults.append(str(error))
    for fault in faults:
        print(f"left out: {fault}", file=sys.stderr)
    return repositories


def _repository(home: Home, study: Study) -> dg.RepositoryDefinition:
    definitions = build_defs(home, study)
    return dg.create_repository_using_definitions_args(
        name=study.identifier,
        assets=definitions.assets,
        resources=definitions.resources,
        jobs=definitions.jobs,
        schedules=definitions.schedules,
        sensors=definitions.sensors,
        executor=definitions.executor,
    )


globals().update(build_repositories(Home.from_environment()))

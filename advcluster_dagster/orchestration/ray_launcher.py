"""Run launcher for a Ray cluster, with a correction to dagster-ray's (extra `ray`)."""

import shlex
from typing import Any

from dagster_ray import RayRunLauncher


class QuotingRayRunLauncher(RayRunLauncher):  # type: ignore[misc]
    """As its base, with the run's description quoted for the shell that starts it.

    The base puts it between single quotes as it is; the settings of an instance with files of its own hold such quotes.
    """

    def _launch_ray_job(self, submission_id: str, entrypoint: str, run: Any) -> None:
        program, _, description = entrypoint.partition(" '")
        super()._launch_ray_job(submission_id, f"{program} {shlex.quote(description.removesuffix(chr(39)))}", run)

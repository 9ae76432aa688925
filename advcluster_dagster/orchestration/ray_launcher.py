"""The launcher of runs on a Ray cluster; needs the extra `ray`.

Here: one correction to dagster-ray's launcher. Not here: when it is chosen (executors), where steps go.
"""

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

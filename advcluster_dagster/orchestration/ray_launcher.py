"""Run launcher for a Ray cluster that fixes quoting in dagster-ray (extra `ray`)."""

import shlex
from typing import Any

from dagster_ray import RayRunLauncher


class QuotingRayRunLauncher(RayRunLauncher):  # type: ignore[misc]
    """Ray run launcher that shell-quotes the run's description.

    The base class puts it in single quotes unescaped, but settings of instances with custom classes contain quotes.
    """

    def _launch_ray_job(self, submission_id: str, entrypoint: str, run: Any) -> None:
        program, _, description = entrypoint.partition(" '")
        super()._launch_ray_job(submission_id, f"{program} {shlex.quote(description.removesuffix(chr(39)))}", run)

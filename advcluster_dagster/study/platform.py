"""Settings of a home, from its ``platform.yaml``: where steps run, where history and tables are kept."""

from pathlib import Path
from typing import Literal

from pydantic import Field, StrictInt

from advcluster_dagster.study.base import Settings
from advcluster_dagster.study.files import read_settings

Executor = Literal["in_process", "multiprocess", "ray", "kubernetes"]


class PlatformSettings(Settings):
    """Settings of a home; without a file, everything runs in one process and lies in folders."""

    executor: Executor = Field(
        "in_process",
        description="Where steps run: one after the other in the run's process, each in a process of its own on this"
        " machine, each as a job of a Ray cluster, or each as a Kubernetes job.",
    )
    max_concurrent_steps: StrictInt | None = Field(
        None, ge=1, description="Steps of one run at once; None is the executor's own. One at a time in process."
    )
    max_concurrent_runs: StrictInt = Field(
        2,
        ge=1,
        description="Partitions at once, each a run: in the queue of the UI, schedules and sensors, and in `advcluster"
        " run` unless steps run in its own process.",
    )
    database_url_env: str | None = Field(
        None,
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="Environment variable that holds the PostgreSQL URL of Dagster's history and the call ledger,"
        " postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE; None keeps both in SQLite files of the home.",
    )
    lake: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9]*://[^/]+(/.*)?$",
        description="Where the tables lie, such as s3://BUCKET/PREFIX; None is the home's folder lake/.",
    )
    keep_history_days: float = Field(
        90.0,
        ge=0,
        description="Age from which housekeeping removes runs that no result refers to, and log files, in days.",
    )
    gpu_pool_slots: StrictInt = Field(
        1,
        ge=1,
        description="Steps with an inference engine at once on this machine (executors in_process, multiprocess).",
    )

    @property
    def has_cluster(self) -> bool:
        """Whether steps run on machines that others look after, who also hand out the GPUs."""
        return self.executor in ("ray", "kubernetes")


def load_platform_settings(path: Path) -> PlatformSettings:
    """The settings of a home; the defaults where it has no file.

    Raises:
        SettingsError: the file is wrong; one line.
    """
    return read_settings(path, PlatformSettings, "platform file") if path.exists() else PlatformSettings()

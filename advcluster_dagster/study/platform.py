"""Settings of a home, from its ``platform.yaml``: where steps run, where history and tables are stored."""

from pathlib import Path
from typing import Literal

from pydantic import Field, StrictInt

from advcluster_dagster.study.base import Settings
from advcluster_dagster.study.files import read_settings

Executor = Literal["in_process", "multiprocess", "ray", "kubernetes"]


class PlatformSettings(Settings):
    """Settings of a home; the defaults run everything in one process and store everything in local files."""

    executor: Executor = Field(
        "in_process",
        description="Where steps run: one after another in the run's process, each in its own process on this machine,"
        " each as a Ray job, or each as a Kubernetes job.",
    )
    max_concurrent_steps: StrictInt | None = Field(
        None,
        ge=1,
        description="Maximum parallel steps of a run; None is the executor's default. In process, always one.",
    )
    max_concurrent_runs: StrictInt = Field(
        2,
        ge=1,
        description="Maximum parallel runs, one per partition: in the queue of the UI, schedules and sensors, and in"
        " `advcluster run` unless steps run in its own process.",
    )
    database_url_env: str | None = Field(
        None,
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="Environment variable with the PostgreSQL URL for Dagster's history and the call ledger,"
        " postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE; None stores both in SQLite files in the home.",
    )
    lake: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9]*://[^/]+(/.*)?$",
        description="Location of the tables, such as s3://BUCKET/PREFIX; None is the home's folder lake/.",
    )
    keep_history_days: float = Field(
        90.0,
        ge=0,
        description="Age in days from which housekeeping deletes log files and runs that no result refers to.",
    )
    gpu_pool_slots: StrictInt = Field(
        1,
        ge=1,
        description="Maximum parallel steps with an inference engine on this machine (in_process, multiprocess).",
    )

    @property
    def has_cluster(self) -> bool:
        """Whether steps run on a managed cluster, which also allocates the GPUs."""
        return self.executor in ("ray", "kubernetes")


def load_platform_settings(path: Path) -> PlatformSettings:
    """Read the settings of a home; without a file, return the defaults.

    Raises:
        SettingsError: the file is invalid; one line.
    """
    return read_settings(path, PlatformSettings, "platform file") if path.exists() else PlatformSettings()

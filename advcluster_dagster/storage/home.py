"""The home folder: the paths below ADVCLUSTER_HOME, and studies by name or file."""

import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import fsspec
from upath import UPath

from advcluster_dagster.extras import install_command
from advcluster_dagster.storage.dropped import drop_faults, with_dropped_benchmarks
from advcluster_dagster.storage.files import atomic_write
from advcluster_dagster.study.files import SettingsError
from advcluster_dagster.study.platform import PlatformSettings, load_platform_settings
from advcluster_dagster.study.study import Study, StudyError, load_study

_PACKAGE = Path(__file__).resolve().parent.parent
_PROJECT = _PACKAGE.parent
#: The driver required by Dagster's PostgreSQL storage; not SQLAlchemy's default.
_POSTGRES = "postgresql+psycopg2://"


def shipped(folder: str) -> Path:
    """Return a folder shipped with the project (``data/studies``, ``dbt_like_sql``), in a checkout or a wheel."""
    in_wheel = _PACKAGE / "presets" / Path(folder).name
    return in_wheel if in_wheel.is_dir() else _PROJECT / folder


@dataclass(frozen=True)
class Home:
    """Paths below one root folder; two homes share nothing."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """Return ADVCLUSTER_HOME; by default the checkout's ``data``, or ``./advcluster`` if installed from a wheel."""
        if folder := os.environ.get("ADVCLUSTER_HOME"):
            return cls(Path(folder).expanduser().resolve())
        return cls(_PROJECT / "data" if (_PROJECT / "pyproject.toml").is_file() else Path.cwd() / "advcluster")

    @classmethod
    def existing(cls) -> "Home":
        """Return the home of the environment for commands that only read it and must not create it.

        Raises:
            SettingsError: its folder does not exist; one line.
        """
        home = cls.from_environment()
        if not home.root.is_dir():
            source = "ADVCLUSTER_HOME is" if os.environ.get("ADVCLUSTER_HOME") else "the home is"
            raise SettingsError(
                f"{source} {home.root}, which is not a folder; correct ADVCLUSTER_HOME, or create a study with"
                " `advcluster init NAME`"
            )
        return home

    @cached_property
    def settings(self) -> PlatformSettings:
        """Settings of this home, read once per process.

        Raises:
            SettingsError: platform.yaml is invalid; one line.
        """
        return load_platform_settings(self.root / "platform.yaml")

    @cached_property
    def lake(self) -> UPath:
        """Tables: STUDY/ASSET/[FAMILY/][DOMAIN].parquet.

        Raises:
            SettingsError: support for the lake's storage is not installed; one line.
        """
        return UPath(self.root / "lake") if self.settings.lake is None else _bucket(self.settings.lake)

    @property
    def studies(self) -> Path:
        """Folder of study files, NAME.yaml."""
        return self.root / "studies"

    @property
    def imports(self) -> Path:
        """Imported questions and traces, by study."""
        return self.root / "imports"

    @property
    def taxonomies(self) -> Path:
        """Frozen taxonomies, STUDY/FAMILY/NAME.parquet."""
        return self.root / "taxonomies"

    @property
    def reports(self) -> Path:
        """Reports and their figures, by study."""
        return self.root / "reports"

    @property
    def logs(self) -> Path:
        """Logs for operators."""
        return self.root / "logs"

    @property
    def dagster(self) -> Path:
        """Dagster's instance: history, schedules, logs. On Kubernetes the chart's, set by DAGSTER_HOME."""
        folder = os.environ.get("DAGSTER_HOME")
        return Path(folder) if folder and self.settings.executor == "kubernetes" else self.root / "dagster"

    @property
    def database_url(self) -> str | None:
        """URL of the PostgreSQL database with history and ledger; None if both are SQLite files.

        Raises:
            SettingsError: the variable for the URL is not set or has no such URL; one line that does not quote it.
        """
        variable = self.settings.database_url_env
        if variable is None:
            return None
        url = os.environ.get(variable, "")
        if not url.startswith(_POSTGRES):
            fault = f"does not begin with {_POSTGRES}" if url else "is not set"
            raise SettingsError(f"{self.root / 'platform.yaml'}: database_url_env names {variable}, which {fault}")
        return url

    @property
    def prices(self) -> Path:
        """The user's prices of models, which override the shipped ones; optional."""
        return self.root / "prices.yaml"

    def spending_lock(self, study: str) -> Path:
        """Lock file held while a study with a spending limit calls models."""
        return self.root / "ledger" / f"{study}.spending.lock"

    def run_lock(self, study: str) -> Path:
        """Lock file held while a command runs a study."""
        return self.root / "ledger" / f"{study}.run.lock"

    @property
    def ledger_url(self) -> str:
        """Database URL of the call ledger."""
        if self.database_url is not None:
            return self.database_url
        folder = self.root / "ledger"
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{folder / 'ledger.sqlite'}"

    def study_files(self) -> list[Path]:
        """Return all study files, sorted by name."""
        return sorted(self.studies.glob("*.yaml"))

    def readable_studies(self) -> tuple[list[Study], list[str]]:
        """Return the studies with valid files, sorted by name, and one line per invalid file."""
        studies, faults = [], []
        for path in self.study_files():
            try:
                studies.append(self.load_study(path.stem))
            except StudyError as error:
                faults.append(str(error))
        return studies, faults

    def study_file(self, name: str) -> Path:
        """Return the file of a study, which has the study's name.

        Raises:
            StudyError: it does not exist; the message lists the known studies.
        """
        path = self.studies / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(file.stem for file in self.study_files()) or "none yet"
            raise StudyError(f"study {name!r} not found in {self.studies}; known: {known}")
        return path

    def load_study(self, name: str) -> Study:
        """Read a study of this home by name: its file and the benchmarks in its drop folder.

        Raises:
            StudyError: there is no such study, or its file is invalid.
        """
        return with_dropped_benchmarks(self.root, self._declared(name))

    def drop_faults(self, name: str) -> list[str]:
        """Return one line for each skipped entry of a study's drop folder.

        Raises:
            StudyError: as :meth:`load_study`.
        """
        return drop_faults(self.root, self._declared(name))

    def _declared(self, name: str) -> Study:
        path = self.study_file(name)
        study = load_study(path)
        if study.study != name:
            raise StudyError(f"{path}: study is {study.study!r}; allowed: the name of its file, {name!r}")
        return study

    def register_study(self, name_or_file: str) -> Study:
        """Return a study by name, or from a study file, which is copied into the home under the study's name.

        Shipped studies (demo, paper) are also found by name. Registering a file again replaces its copy.

        Raises:
            StudyError: neither a known name nor a valid study file.
        """
        source = Path(name_or_file)
        if source.suffix not in (".yaml", ".yml"):
            preset = shipped("data/studies") / f"{name_or_file}.yaml"
            if (self.studies / f"{name_or_file}.yaml").is_file() or not preset.is_file():
                return self.load_study(name_or_file)
            source = preset
        study = load_study(source)
        target = self.studies / f"{study.study}.yaml"
        if not target.exists() or not target.samefile(source):
            self.studies.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as staged:
                shutil.copyfile(source, staged)
        return self.load_study(study.study)


def _bucket(url: str) -> UPath:
    """Return a path in an object store, without cached listings: other processes write there too.

    Raises:
        SettingsError: the package for that storage is missing, or the protocol is unknown.
    """
    protocol = url.split("://")[0]
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError:
        raise SettingsError(f"lake {url}: install the package for it: {install_command('s3')}") from None
    except ValueError:
        raise SettingsError(f"lake {url}: unknown storage {protocol!r}") from None
    return UPath(url, use_listings_cache=False)

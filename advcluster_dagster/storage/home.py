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
#: The driver that Dagster's PostgreSQL storage is written for; SQLAlchemy would take another one.
_POSTGRES = "postgresql+psycopg2://"


def shipped(folder: str) -> Path:
    """A folder that ships with the project (``data/studies``, ``dbt_like_sql``), in a checkout or inside a wheel."""
    in_wheel = _PACKAGE / "presets" / Path(folder).name
    return in_wheel if in_wheel.is_dir() else _PROJECT / folder


@dataclass(frozen=True)
class Home:
    """The places below one root folder; two homes share nothing."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """ADVCLUSTER_HOME, by default the checkout's ``data``, else (installed from a wheel) ``./advcluster``."""
        if given := os.environ.get("ADVCLUSTER_HOME"):
            return cls(Path(given).expanduser().resolve())
        return cls(_PROJECT / "data" if (_PROJECT / "pyproject.toml").is_file() else Path.cwd() / "advcluster")

    @classmethod
    def existing(cls) -> "Home":
        """The home of the environment, for commands that only read it and so must not make it.

        Raises:
            SettingsError: its folder does not exist; one line.
        """
        home = cls.from_environment()
        if not home.root.is_dir():
            named = "ADVCLUSTER_HOME names" if os.environ.get("ADVCLUSTER_HOME") else "the home is"
            raise SettingsError(
                f"{named} {home.root}, which is no folder; correct ADVCLUSTER_HOME, or begin a study with"
                " `advcluster init NAME`"
            )
        return home

    @cached_property
    def settings(self) -> PlatformSettings:
        """How this home is run; read once a process.

        Raises:
            SettingsError: platform.yaml is wrong; one line.
        """
        return load_platform_settings(self.root / "platform.yaml")

    @cached_property
    def lake(self) -> UPath:
        """Tables: STUDY/ASSET/[FAMILY/][DOMAIN].parquet.

        Raises:
            SettingsError: the lake's kind of storage is not installed; one line.
        """
        return UPath(self.root / "lake") if self.settings.lake is None else _bucket(self.settings.lake)

    @property
    def studies(self) -> Path:
        """Study files, NAME.yaml each."""
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
        """Lines for those who operate the platform."""
        return self.root / "logs"

    @property
    def dagster(self) -> Path:
        """Dagster's instance: history, schedules, logs. On Kubernetes it is the chart's, which DAGSTER_HOME names."""
        given = os.environ.get("DAGSTER_HOME")
        return Path(given) if given and self.settings.executor == "kubernetes" else self.root / "dagster"

    @property
    def database_url(self) -> str | None:
        """The PostgreSQL database of history and ledger; None where both are SQLite files.

        Raises:
            SettingsError: the variable that holds the URL is not set, or holds something else; one line without it.
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
        """A person's own prices of models, over those that ship; need not exist."""
        return self.root / "prices.yaml"

    def spending_lock(self, study: str) -> Path:
        """File whose lock is held while a study with a cap on its costs asks models."""
        return self.root / "ledger" / f"{study}.spending.lock"

    def run_lock(self, study: str) -> Path:
        """File whose lock is held while a command runs a study."""
        return self.root / "ledger" / f"{study}.run.lock"

    @property
    def ledger_url(self) -> str:
        """Database of the call ledger."""
        if self.database_url is not None:
            return self.database_url
        folder = self.root / "ledger"
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{folder / 'ledger.sqlite'}"

    def study_files(self) -> list[Path]:
        """All study files, by name."""
        return sorted(self.studies.glob("*.yaml"))

    def readable_studies(self) -> tuple[list[Study], list[str]]:
        """The studies whose files are right, by name, and for the others the line that says why not."""
        studies, faults = [], []
        for path in self.study_files():
            try:
                studies.append(self.load_study(path.stem))
            except StudyError as error:
                faults.append(str(error))
        return studies, faults

    def study_file(self, name: str) -> Path:
        """The file of a study by its name, which the file's own name must equal.

        Raises:
            StudyError: there is none; the message lists those there are.
        """
        path = self.studies / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(file.stem for file in self.study_files()) or "none yet"
            raise StudyError(f"study {name!r} not found in {self.studies}; known: {known}")
        return path

    def load_study(self, name: str) -> Study:
        """Read a study of this home by name: its file, and the benchmarks dropped into its folder.

        Raises:
            StudyError: there is no such study, or its file is wrong.
        """
        return with_dropped_benchmarks(self.root, self._declared(name))

    def drop_faults(self, name: str) -> list[str]:
        """What lies in a study's drop folder and is left out of it, one line each.

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
        """A study of this home by name, or any study file: it is then copied into the home under its study's name.

        Shipped studies (demo, paper) are found by name too. A file given again replaces its copy.

        Raises:
            StudyError: neither a known name nor a readable study file.
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
    """A place in an object store, of which nothing is remembered: other processes write there too.

    Raises:
        SettingsError: the package for that kind of storage is missing, or there is no such kind.
    """
    protocol = url.split("://")[0]
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError:
        raise SettingsError(f"lake {url}: install the package for it: {install_command('s3')}") from None
    except ValueError:
        raise SettingsError(f"lake {url}: there is no storage {protocol!r}") from None
    return UPath(url, use_listings_cache=False)

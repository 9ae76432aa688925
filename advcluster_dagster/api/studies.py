"""Study objects: tables, queries, runs, findings and pairs of traces."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from advcluster_dagster.api.evidence import Cluster, Pair, clusters_of, pairs_of
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.pages import page_path
from advcluster_dagster.storage.table_files import read_table
from advcluster_dagster.storage.views import query_study
from advcluster_dagster.study.study import Study as StudySettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from advcluster_dagster.report.data import ReportData


class RunFailedError(AdvClusterError):
    """Partitions of a study did not finish; the message names each with its error."""


class Study:
    """A study in a home folder.

    Example:
        >>> from advcluster_dagster import open_study
        >>> study = open_study("demo")  # doctest: +SKIP
        >>> study.table("paired_accuracies", family="orion")  # doctest: +SKIP
    """

    def __init__(self, home: Home, name: str) -> None:
        self._home = home
        self.name = name
        home.load_study(name)

    def __repr__(self) -> str:
        settings = self.settings
        return f"Study({self.name!r}: families {', '.join(settings.families)}; domains {', '.join(settings.domains)})"

    @property
    def settings(self) -> StudySettings:
        """Current settings, read from the study file.

        Raises:
            StudyError: the study does not exist or its file is invalid.
        """
        return self._home.load_study(self.name)

    @property
    def tables(self) -> list[str]:
        """Names of the tables that a study may have, in the order of the data flow (docs/data_contracts.md)."""
        return list(TABLES)

    def table(self, name: str, family: str | None = None, domain: str | None = None) -> pl.DataFrame:
        """Return the rows of a table; empty if it has not been materialised yet.

        Args:
            name: One of :attr:`tables`.
            family: Only rows of this family, if the table has a family column.
            domain: Only rows of this domain, if the table has a domain column.

        Raises:
            KeyError: there is no such table.

        Example:
            >>> study.table("final_taxonomy", family="orion")  # doctest: +SKIP
        """
        if name not in TABLES:
            raise KeyError(f"{name!r} is not a table; tables: {', '.join(TABLES)}")
        frame = read_table(self._home.lake, self.settings, TABLES[name])
        for column, value in (("family", family), ("domain", domain)):
            if value is not None and column in frame.columns:
                frame = frame.filter(pl.col(column) == value)
        return frame

    def query(self, sql: str) -> pl.DataFrame:
        """Run a SQL query over the study's tables, in DuckDB's dialect.

        Raises:
            QueryError: the SQL is invalid, or is not a select statement.

        Example:
            >>> study.query("select domain, count(*) as n from advantage_corpus group by all")  # doctest: +SKIP
        """
        return query_study(self._home, self.settings, sql)

    def run(self, tables: Sequence[str] = ()) -> int:
        """Run the steps that are not up to date and return the number of model calls.

        Args:
            tables: Only the steps that produce these tables; empty for the whole study.

        Raises:
            RunFailedError: a partition did not finish; completed work is kept.
            StudyIsRunningError: another process is running the study.
        """
        return run_tables(self._home, self.name, tables)

    def status(self) -> pl.DataFrame:
        """Status per step and partition: step, family, domain, state (fresh, stale, missing, failed, ...), reasons."""
        from advcluster_dagster.orchestration.instance import open_instance
        from advcluster_dagster.pipeline.platform import Platform
        from advcluster_dagster.planning.status import study_status

        with open_instance(self._home) as instance:
            statuses = study_status(Platform(self._home), self.settings, instance).values()
        rows = [
            (status.step, status.partition.family, status.partition.domain, status.state, list(status.texts))
            for status in statuses
        ]
        texts = dict.fromkeys(("step", "family", "domain", "state"), pl.String)
        return pl.DataFrame(rows, schema={**texts, "reasons": pl.List(pl.String)}, orient="row")

    @property
    def report(self) -> Path | None:
        """Path of the report; None if it has not been written."""
        page = page_path(self._home.reports, self.name, "study_report")
        return page if page.exists() else None

    @property
    def explorer(self) -> Path | None:
        """Path of the explorer; None if it has not been written."""
        page = page_path(self._home.reports, self.name, "evidence_explorer")
        return page if page.exists() else None

    def findings(self, family: str, has_judge: bool = True) -> tuple[str, ...]:
        """Findings on a family, one sentence each, as on the report's first page.

        Args:
            family: Name of the family.
            has_judge: If False, only findings that need no judge: accuracies and kept questions.
        """
        from advcluster_dagster.report.sections.summary import accuracy_findings, findings

        data = self._report_data()
        return findings(data, family) if has_judge else accuracy_findings(data, family)

    def figures(self, family: str) -> dict[str, "Figure"]:
        """Figures of the report for a family as matplotlib objects: accuracy, pass_rates, sweep, heatmap, depths.

        Notebooks display them after ``%matplotlib inline``.
        """
        from advcluster_dagster.report.figures import family_figures

        return family_figures(self._report_data(), family)

    def taxonomy(self, family: str) -> list[Cluster]:
        """The clusters of a family's final taxonomy, largest first; empty if there is none yet."""
        return clusters_of(self.table, family)

    def pairs(self, family: str, domain: str | None = None) -> Iterator[Pair]:
        """Yield the pairs of traces of a family, domain by domain, with both texts and the extracted advantages."""
        for name in self.settings.domains if domain is None else (domain,):
            yield from pairs_of(self._home, self.settings, family, name)

    def _report_data(self) -> "ReportData":
        from advcluster_dagster.assets.registry import RECIPES
        from advcluster_dagster.assets.report import report_data
        from advcluster_dagster.pipeline.platform import Platform
        from advcluster_dagster.study.partition import Partition

        return report_data(Platform(self._home).open_step(self.name, RECIPES["study_report"], Partition()))


def open_study(name: str, home: str | Path | None = None) -> Study:
    """Open a study by name, or a study file, which is copied into the home folder.

    Args:
        name: Name of a study (``demo`` is included), or path of a study file.
        home: Home folder; by default the one set in ADVCLUSTER_HOME.

    Raises:
        StudyError: the study does not exist or its file is invalid.

    Example:
        >>> open_study("demo").run()  # doctest: +SKIP
    """
    where = in_home(home)
    return Study(where, where.register_study(name).study)


def in_home(home: str | Path | None) -> Home:
    """Home at the given folder, or the one from the environment."""
    return Home.from_environment() if home is None else Home(Path(home).expanduser().resolve())


def run_tables(home: Home, name: str, tables: Sequence[str]) -> int:
    """Run the steps of these tables (all if empty) under the study's run lock; returns the number of model calls.

    Raises:
        RunFailedError: a partition did not finish.
    """
    from advcluster_dagster.orchestration.instance import open_instance
    from advcluster_dagster.orchestration.run_lock import only_run
    from advcluster_dagster.orchestration.run_study import run_study
    from advcluster_dagster.pipeline.platform import Platform
    from advcluster_dagster.planning.selection import Selection

    with ExitStack() as stack:
        instance = stack.enter_context(open_instance(home))
        stack.enter_context(only_run(home, name, instance, f"advcluster run {name}"))
        study = home.load_study(name)
        outcome = run_study(Platform(home), study, instance, Selection(assets=tuple(tables)))
    if outcome.failures:
        raise RunFailedError("; ".join(f"{partition.label}: {line}" for partition, line in outcome.failures.items()))
    return outcome.n_asked

"""Small studies in separate homes, for tests that run the whole graph.

Functions to write, change, run and inspect such a study, and to kill a process after some progress. The study `given`
has imported traces of one family in two domains, and a third domain without imports.
"""

import atexit
import fcntl
import inspect
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.orchestration.instance import open_instance
from advcluster_dagster.orchestration.run_study import RunOutcome, run_study
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.recipe import Recipe, is_table_on
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.planning.status import StepStatus, study_status
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import Stamp, read_stamp, read_table, table_path
from advcluster_dagster.study.partition import Partition, all_partitions
from advcluster_dagster.study.study import Study

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = {"provider": "imported"}
GIVEN: dict[str, Any] = {
    "study": "given",
    "trials": 2,
    "families": {"f": {"larger": {"model": "f-large", **IMPORTED}, "smaller": {"model": "f-small", **IMPORTED}}},
    "domains": {"sums": ["additions"], "products": ["doublings"], "later": ["open"]},
    "clustering": {"pca_dims": [4, 2], "max_clusters": 4, "n_reviews": 1, "n_bootstrap": 5, "n_choices": 2},
    "statistics": {"n_bootstrap": 100, "n_permutations": 100},
    "checks": {"max_dispersion_p": 1.0},
}
SIMULATED: dict[str, Any] = {
    "study": "made",
    "trials": 3,
    "families": {
        "orion": {
            role: {"model": f"orion-{size}", "provider": "simulated"}
            for role, size in (("larger", "large"), ("smaller", "small"))
        }
    },
    "domains": {"math": ["worked-math"]},
    "benchmarks": {"worked-math": {"source": "simulated"}},
    "clustering": {"pca_dims": [4], "max_clusters": 3, "n_reviews": 1, "n_bootstrap": 5, "n_choices": 2},
}
BENCHMARKS = {"sums": "additions", "products": "doublings"}
#: All tables; excludes the report, which takes longer than the rest of a small study.
ALL_TABLES = tuple(TABLES)
#: Tables of every study, which no section of the study file has to turn on.
USUAL_TABLES = tuple(name for name, table in TABLES.items() if table.section is None)


@dataclass
class SmallHome:
    """A study in a separate home."""

    home: Home
    name: str

    @property
    def study(self) -> Study:
        return self.home.load_study(self.name)

    @property
    def platform(self) -> Platform:
        return Platform(self.home)

    def change(self, **settings: Any) -> None:
        """Replace whole sections of the study file."""
        path = self.home.study_file(self.name)
        path.write_text(_as_yaml({**yaml.safe_load(path.read_text(encoding="utf-8")), **settings}))

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        _begin_history(self.home)
        with open_instance(self.home) as instance:
            yield instance

    def run(self, assets: Sequence[str] = ALL_TABLES, platform: Platform | None = None, **chosen: Any) -> RunOutcome:
        """Run those of these assets that are not fresh; ``chosen`` may select families and domains."""
        with self.instance() as instance:
            return run_study(platform or self.platform, self.study, instance, Selection(assets=assets, **chosen))

    def status(self, retry_failed: bool = False) -> dict[tuple[str, str], StepStatus]:
        """Status by (step, partition label), without the report."""
        with self.instance() as instance:
            statuses = study_status(self.platform, self.study, instance, retry_failed)
        return {(step, partition.label): status for (step, partition), status in statuses.items() if step in _STEPS}

    def states(self) -> set[str]:
        return {status.state for status in self.status().values()}

    def step(self, table: str, partition: Partition) -> Step:
        return self.platform.open_step(self.name, recipe_named(table), partition)

    def path(self, table: str, partition: Partition) -> Path:
        return Path(str(table_path(self.home.lake, self.name, table, partition)))

    def stamp(self, table: str, partition: Partition) -> Stamp | None:
        return read_stamp(table_path(self.home.lake, self.name, table, partition))

    def table(self, name: str) -> pl.DataFrame:
        """All partitions of a table."""
        return read_table(self.home.lake, self.study, TABLES[name])

    def hashes(self) -> dict[str, str | None]:
        return content_hashes(self.home, self.study)

    def metadata(self, table: str, partition: Partition) -> Mapping[str, Any]:
        """Metadata of the latest materialisation, as plain values."""
        records = dg.AssetRecordsFilter(dg.AssetKey([self.name, table]), [partition.key] if partition.key else None)
        with self.instance() as instance:
            (record,) = instance.fetch_materializations(records, limit=1).records
        assert record.asset_materialization is not None
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}


@cache
def _empty_history() -> Path:
    """Dagster's databases of a home without runs, cached because creating them takes most of a second."""
    home = Home(Path(tempfile.mkdtemp()))
    atexit.register(shutil.rmtree, home.root)
    open_instance(home).dispose()
    return home.dagster


def _begin_history(home: Home) -> None:
    if not home.dagster.exists() and home.settings.database_url_env is None:
        shutil.copytree(_empty_history(), home.dagster, ignore=shutil.ignore_patterns("opening.lock", "dagster.yaml"))


_STEPS = {name for name, recipe in RECIPES.items() if recipe.tables[0] in TABLES}


def recipe_named(table: str) -> Recipe:
    """The recipe of the step that writes a table."""
    return next(recipe for recipe in RECIPES.values() if table in recipe.tables)


def write_study(root: Path, content: Mapping[str, Any]) -> SmallHome:
    """A home with one study file."""
    home = Home(root)
    home.studies.mkdir(parents=True, exist_ok=True)
    path = home.studies / f"{content['study']}.yaml"
    path.write_text(_as_yaml(content), encoding="utf-8")
    return SmallHome(home, content["study"])


def _as_yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False)


def given_study(root: Path, **sections: Any) -> SmallHome:
    """The study `given` with its imports, without runs."""
    small = write_study(root, {**GIVEN, **sections})
    for domain in BENCHMARKS:
        bring_questions(small, domain)
        bring_traces(small, domain)
    return small


def bring_questions(small: SmallHome, domain: str, n_questions: int = 6) -> None:
    """Import the questions of a domain."""
    path = small.home.root / f"{domain}-questions.jsonl"
    write_lines(path, [_question(domain, number) for number in range(n_questions)])
    import_questions(path, small.study, domain, BENCHMARKS[domain], small.home.imports)


def bring_traces(
    small: SmallHome, domain: str, n_kept: int = 4, family: str = "f", is_missing: bool = False, n_questions: int = 6
) -> None:
    """Import two trials of both models: the larger is always correct, the smaller wrong on ``n_kept`` questions.

    ``is_missing`` makes responses null, which cannot be graded.
    """
    models, trials = small.study.families[family], range(2)
    rows = [
        {
            "question_id": f"{domain}-{number}",
            "model": model,
            "trial": trial,
            "response": None if is_missing else _response(domain, number, trial, is_wrong),
        }
        for number in range(n_questions)
        for model, is_wrong in ((models.larger.model, False), (models.smaller.model, number < n_kept))
        for trial in trials
    ]
    path = small.home.root / f"{family}-{domain}-traces.jsonl"
    write_lines(path, rows)
    import_traces(path, small.study, family, domain, BENCHMARKS[domain], small.home.imports)


def write_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")


def _numbers(domain: str, number: int) -> tuple[int, int, int]:
    return (7 + 3 * number, 4 + number, 5 + 2 * number) if domain == "sums" else (3 + number, 6 + 2 * number, 9)


def _question(domain: str, number: int) -> dict[str, str]:
    boxes, each, loose = _numbers(domain, number)
    text = f"{boxes} boxes hold {each} pens each and {loose} pens lie loose. How many pens are there?"
    answer = str(boxes * each + loose)
    return {"question_id": f"{domain}-{number}", "question": text, "answer": answer, "answer_type": "numeric"}


def _response(domain: str, number: int, trial: int, is_wrong: bool) -> str:
    """A worked solution; wrong ones misread a value, omit a part, err in a step or set up another sum."""
    boxes, each, loose = _numbers(domain, number)
    slip = (number + trial) % 4 if is_wrong else None
    each = each + 2 if slip == 0 else each
    packed = boxes + each if slip == 1 else boxes * each
    total = packed if slip == 2 else packed + loose + (10 if slip == 3 else 0)
    sign = "+" if slip == 1 else "*"
    lines = [
        f"Given: {boxes} boxes, {each} pens in each, {loose} loose.",
        f"In the boxes: {boxes} {sign} {each} = {packed}.",
        *([] if slip == 2 else [f"With the loose ones: {packed} + {loose} = {total}."]),
        f"Way {trial + 1} gives \\boxed{{{total}}}",
    ]
    return "\n".join(lines)


def reply_to(prompt: str, is_wrong: bool) -> str:
    """Response of a model of the study `given` served by a provider: that of the first trial."""
    texts = {_question(domain, n)["question"]: (domain, n) for domain in BENCHMARKS for n in range(6)}
    asked = max((text for text in texts if text in prompt), key=len)  # "3 boxes ..." is part of "13 boxes ..." too
    return _response(*texts[asked], trial=0, is_wrong=is_wrong)


def content_hashes(home: Home, study: Study) -> dict[str, str | None]:
    """Content hash of every partition of every table of the study, by TABLE@PARTITION; None without a file."""
    hashes = {}
    for table in (table for name, table in TABLES.items() if is_table_on(name, study)):
        for partition in all_partitions(study, table.level):
            stamp = read_stamp(table_path(home.lake, study.study, table.name, partition))
            hashes[f"{table.name}@{partition.label}"] = stamp.content_hash if stamp else None
    return hashes


COMPARES_TAXONOMIES = {"taxonomy_changes", "taxonomy_coverage", "coverage_assignments"}


def changed_tables(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> set[str]:
    """Tables with a differing partition, except those that compare with the frozen taxonomy.

    A family's first taxonomy is frozen when it is created, so these tables have rows only from the second run on.
    """
    names = {name.split("@")[0] for name in before.keys() | after if before.get(name) != after.get(name)}
    return names - COMPARES_TAXONOMIES


def ledger_rows(home: Home) -> list[tuple[str, int, bool]]:
    """(call id, replies received, retired) of every entry; empty without a ledger."""
    path = home.root / "ledger" / "ledger.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        try:
            return connection.execute("select call_id, n_replies, is_retired from calls order by 1").fetchall()
        except sqlite3.OperationalError:  # the tables are being created
            return []


def n_files(home: Home) -> int:
    """Number of published files in the lake."""
    return sum(not path.name.startswith(".") for path in (home.root / "lake").rglob("*.parquet"))


def run_until(command: Sequence[str], home: Home, is_far_enough: Callable[[], bool], timeout_s: float = 180.0) -> bool:
    """Run the command line in a process and SIGKILL it on a condition; return whether it was killed before it ended.

    Raises:
        TimeoutError: neither happened in time.
    """
    environment = {**os.environ, "ADVCLUSTER_HOME": str(home.root), "PYTHONPATH": str(ROOT)}
    environment.pop("DAGSTER_HOME", None)
    program = [sys.executable, "-c", "from advcluster_dagster.cli.main import main; main()", *command]
    deadline = time.monotonic() + timeout_s
    with subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            while process.poll() is None:
                if is_far_enough():
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{' '.join(command)} got nowhere in {timeout_s:g} s")
                time.sleep(0.01)
            is_killed = process.poll() is None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return is_killed


def changed_recipe(table: str, change: Callable[[Step, Any], Any]) -> dict[str, Recipe]:
    """The recipe of a table's step with its result changed, for ``monkeypatch.setitem(RECIPES, *...)``.

    Its code differs from the real recipe's, so that partitions written by the other are stale.
    """
    recipe = recipe_named(table)

    def made(step: Step, **inputs: Any) -> Any:
        return change(step, recipe.function(step, **inputs))

    made.__name__ = recipe.name
    made.__signature__ = inspect.signature(recipe.function)  # type: ignore[attr-defined]
    changed = replace(recipe, function=made)
    vars(changed)["code_parts"] = {**recipe.code_parts, "tests/studies": change.__qualname__}
    return {recipe.name: changed}


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A read-only folder that the first test worker creates and the others wait for."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root, done = base / f"shared-{name}", base / f"shared-{name}.done"
    with (base / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(root)
            done.touch()
    return root


def questions_asked(bodies: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Counts of requests to a provider: chats by messages, embeddings by each text."""
    return Counter(
        json.dumps(asked, sort_keys=True) for body in bodies for asked in body.get("input") or [body["messages"]]
    )

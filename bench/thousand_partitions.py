"""Benchmark with fifty families x twenty domains: time of loading definitions, of a status, and per step.

    python bench/thousand_partitions.py [--families 50] [--domains 20] [--run-partitions 20]

First, files and history are created: every table of every partition, empty, stamped as by a run, and recorded as
materialised. Then, each in a separate process: loading the definitions (target 3 s) and a status without changes
(target 10 s). Before that, a simulated study of 20 family x domain partitions is run in process; the time beyond the
steps' own functions is the orchestration overhead (target 0.3 s per step).
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES, recipes_of
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.orchestration.instance import open_instance
from advcluster_dagster.orchestration.partition_definitions import sync_partitions
from advcluster_dagster.orchestration.run_study import run_study
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.stamps import expected_stamp
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import stage_table, table_path
from advcluster_dagster.study.partition import all_partitions
from advcluster_dagster.study.study import Study


def write_study(home: Home, n_families: int, n_domains: int) -> Study:
    """Write a study of simulated models whose domains have one small benchmark each."""
    lines = ["study: wide", "trials: 2", "families:"]
    for number in range(n_families):
        lines += [
            f"  family-{number:02}:",
            f"    larger: {{model: orion-large, provider: simulated, aliases: [large-{number}]}}",
            f"    smaller: {{model: orion-small, provider: simulated, aliases: [small-{number}]}}",
        ]
    lines += ["domains:", *(f"  domain-{number:02}: [benchmark-{number:02}]" for number in range(n_domains))]
    lines += ["benchmarks:", *(f"  benchmark-{number:02}: {{source: jsonl}}" for number in range(n_domains))]
    home.studies.mkdir(parents=True)
    (home.studies / "wide.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder = home.root / "benchmarks"
    folder.mkdir()
    for number in range(n_domains):
        row = f'{{"question_id": "q{number}", "question": "1+1?", "answer": "2", "answer_type": "numeric"}}\n'
        (folder / f"benchmark-{number:02}.jsonl").write_text(row, encoding="utf-8")
    return home.load_study("wide")


def lay(platform: Platform, study: Study, instance: dg.DagsterInstance) -> int:
    """Create files and history of every table partition; return their number."""
    sync_partitions(instance, study)
    assert platform.ledger is not None  # creates it: a home with tables and without a ledger is refused
    n_laid = 0
    for recipe in recipes_of(study):
        for partition in all_partitions(study, recipe.level):
            stamp = expected_stamp(recipe, platform.home, study, partition)
            for table in recipe.tables:
                if table not in TABLES:
                    continue
                path = table_path(platform.home.lake, study.study, table, partition)
                staged = stage_table(TABLES[table], TABLES[table].empty(), partition, path, stamp)
                staged.publish()
                instance.report_runless_asset_event(
                    dg.AssetMaterialization(
                        asset_key(study.study, table),
                        partition=partition.key,
                        tags={"dagster/data_version": staged.stamp.content_hash},
                    )
                )
                n_laid += 1
    return n_laid


LOAD = """
import time
started = time.perf_counter()
import dagster
imported = time.perf_counter()
import advcluster_dagster.code_location
print(imported - started, time.perf_counter() - imported)
"""
STATUS = """
import time
started = time.perf_counter()
from advcluster_dagster.cli.main import main
import sys
sys.argv = ["advcluster", "status", "wide", "--format", "json"]
try:
    main()
finally:
    print(time.perf_counter() - started, file=sys.stderr)
"""


def in_a_process(code: str, home: Home) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter; return its output."""
    variables = {"ADVCLUSTER_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
    return subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, **variables}, capture_output=True, text=True
    )


def measure_run(root: Path, n_partitions: int) -> None:
    """Run a simulated study of ``n_partitions`` family x domain partitions in process; print the overhead per step."""
    home = Home(root)
    home.studies.mkdir(parents=True)
    families, domains = n_partitions // 4, ("math", "physics", "chemistry", "programming")
    models = "\n".join(
        f"  family-{n}:\n    larger: {{model: orion-large, provider: simulated}}\n"
        f"    smaller: {{model: orion-small, provider: simulated}}"
        for n in range(families)
    )
    benchmarks = [f"simulated-{domain}" for domain in domains]
    text = f"study: many\ntrials: 2\nfamilies:\n{models}\ndomains:\n"
    text += "".join(f"  {domain}: [{name}]\n" for domain, name in zip(domains, benchmarks, strict=True))
    text += "benchmarks:\n" + "".join(f"  {name}: {{source: simulated}}\n" for name in benchmarks)
    (home.studies / "many.yaml").write_text(text, encoding="utf-8")
    own = OwnTime()
    with open_instance(home) as instance, own:
        started = time.perf_counter()
        outcome = run_study(Platform(home), home.load_study("many"), instance)
        elapsed = time.perf_counter() - started
    assert not outcome.failures, outcome.failures
    overhead = (elapsed - own.seconds) / outcome.n_steps
    print(
        f"{outcome.n_steps} steps in {outcome.n_runs} runs: {elapsed:.1f} s, {own.seconds:.1f} s of it in the steps;"
        f" overhead {overhead:.3f} s per step (target 0.3)"
    )


class OwnTime:
    """Measures the seconds spent in the steps' own functions by wrapping every recipe."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> "OwnTime":
        self._originals = dict(RECIPES)
        RECIPES.update(
            {name: replace(recipe, function=self._timed(recipe.function)) for name, recipe in RECIPES.items()}
        )
        return self

    def __exit__(self, *_: object) -> None:
        RECIPES.update(self._originals)

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def measured(*given: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self.seconds += time.perf_counter() - started

        return measured


def main() -> None:
    """Create files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=50)
    parser.add_argument("--domains", type=int, default=20)
    parser.add_argument("--run-partitions", type=int, default=20, help="family x domain partitions that are really run")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure_run(Path(folder) / "many", chosen.run_partitions)
        home = Home(Path(folder) / "wide")
        study = write_study(home, chosen.families, chosen.domains)
        with open_instance(home) as instance:
            started = time.perf_counter()
            n_laid = lay(Platform(home), study, instance)
            print(f"{n_laid} table partitions laid in {time.perf_counter() - started:.0f} s")
        imported, loaded = map(float, in_a_process(LOAD, home).stdout.split())
        print(f"definitions load in {imported + loaded:.1f} s, {imported:.1f} s of it importing dagster (target 3)")
        answer = in_a_process(STATUS, home)
        states = Counter(record["state"] for record in json.loads(answer.stdout))
        print(f"status: {float(answer.stderr.split()[-1]):.1f} s as a command (target 10): {dict(states)}")


if __name__ == "__main__":
    main()

"""Two processes materialise different partitions of one study concurrently while others read: 200 partitions."""

import os
import subprocess
import sys
import threading

import pytest

from advcluster_dagster.orchestration.partition_definitions import sync_partitions
from advcluster_dagster.orchestration.run_launcher import Launcher
from advcluster_dagster.planning.partition_state import table_health
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.storage.table_files import scan_file, table_path
from advcluster_dagster.storage.views import query_study
from advcluster_dagster.study.partition import Partition
from tests.studies import ROOT, write_lines, write_study

pytestmark = pytest.mark.integration
N_FAMILIES, N_DOMAINS, N_TRIALS = 10, 20, 2
FAMILIES = [f"f{number}" for number in range(N_FAMILIES)]
DOMAINS = [f"d{number}" for number in range(N_DOMAINS)]
#: Materialises larger_traces of half of the families, one Dagster run per partition.
WRITER = """
import sys
from pathlib import Path
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.orchestration.instance import open_instance
from advcluster_dagster.orchestration.run_launcher import Launcher
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.storage.home import Home

home = Home(Path(sys.argv[1]))
study = home.load_study("many")
with open_instance(home) as instance:
    launcher = Launcher(Platform(home), study, instance)
    for family in sys.argv[2].split(","):
        for domain in study.domains:
            end = launcher.run(Partition(family, domain), ["larger_traces"])
            assert end.fault is None, end.fault
    print("done", flush=True)
"""


@pytest.fixture
def many(tmp_path):
    """A study of 10 families x 20 domains with one question a domain, traces imported, questions materialised."""
    imported = {"provider": "imported"}
    small = write_study(
        tmp_path / "home",
        {
            "study": "many",
            "trials": N_TRIALS,
            "families": {
                family: {role: {"model": f"{family}-{role}", **imported} for role in ("larger", "smaller")}
                for family in FAMILIES
            },
            "domains": {domain: [f"b-{domain}"] for domain in DOMAINS},
        },
    )
    for domain in DOMAINS:
        bring(small, domain)
    return small


def bring(small, domain):
    path, benchmark = small.home.root / "bring.jsonl", f"b-{domain}"
    question = {"question_id": f"{domain}-0", "question": "1 + 1?", "answer": "2", "answer_type": "numeric"}
    write_lines(path, [question])
    import_questions(path, small.study, domain, benchmark, small.home.imports)
    for family in FAMILIES:
        rows = [
            {"question_id": f"{domain}-0", "model": f"{family}-{role}", "trial": trial, "response": r"\boxed{2}"}
            for role in ("larger", "smaller")
            for trial in range(N_TRIALS)
        ]
        write_lines(path, rows)
        import_traces(path, small.study, family, domain, benchmark, small.home.imports)


def materialise_from_two_processes(small):
    """Run both writers while this process reads; return what the reads saw."""
    with small.instance() as instance:
        sync_partitions(instance, small.study)
        launcher = Launcher(small.platform, small.study, instance)
        for domain in DOMAINS:
            assert launcher.run(Partition(domain=domain), ["benchmark_questions"]).fault is None
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(small.home.root), ",".join(half)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for half in (FAMILIES[::2], FAMILIES[1::2])
    ]
    ended = threading.Event()
    seen: list[int] = []
    reader = threading.Thread(target=read_on, args=(small, ended, seen))
    reader.start()
    try:
        outputs = [writer.communicate(timeout=900) for writer in writers]
    finally:
        ended.set()
        reader.join()
    assert [writer.returncode for writer in writers] == [0, 0], outputs
    assert "locked" not in "".join(error for _, error in outputs)
    return seen


def read_on(small, ended, seen):
    """Query in SQL and read files until the writers are done; every partition seen is complete."""
    sql = "select family, domain, count(*) as n from larger_traces group by all"
    while not ended.wait(0.02):
        rows = query_study(small.home, small.study, sql)
        assert rows["n"].unique().to_list() in ([], [N_TRIALS])
        path = table_path(small.home.lake, "many", "larger_traces", Partition(FAMILIES[len(seen) % 10], "d0"))
        if path.exists():
            assert scan_file(path).collect()["trial"].to_list() == list(range(N_TRIALS))
        seen.append(rows.height)


def check_all_there(small, seen):
    assert len(seen) > 2
    assert set(seen) <= set(range(N_FAMILIES * N_DOMAINS + 1))
    table = small.table("larger_traces")
    assert table.height == N_FAMILIES * N_DOMAINS * N_TRIALS
    assert table.group_by("family", "domain").len()["len"].unique().to_list() == [N_TRIALS]
    with small.instance() as instance:
        health = table_health(instance, "many", ["larger_traces"])["larger_traces"]
    assert (len(health.versions), health.faults) == (N_FAMILIES * N_DOMAINS, {})


def test_two_processes_and_readers_on_files_and_sqlite(many):
    check_all_there(many, materialise_from_two_processes(many))

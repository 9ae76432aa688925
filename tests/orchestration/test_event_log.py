import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from advcluster_dagster.orchestration.event_log import KeptOpenSqliteEventLogStorage

KEPT_OPEN = """\
event_log_storage:
  module: advcluster_dagster.orchestration.event_log
  class: KeptOpenSqliteEventLogStorage
  config: {{base_dir: "{folder}"}}
telemetry: {{enabled: false}}
"""
OWN = "telemetry: {{enabled: false}}\n"
N_EVENTS = 30
MANY_EVENTS = """
import sys
import dagster as dg

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    print("begun", flush=True)
    sys.stdin.readline()
    for i in range(int(sys.argv[2])):
        instance.report_runless_asset_event(dg.AssetMaterialization("theirs", metadata={"i": i}))
"""


@pytest.fixture
def open_with(tmp_path):
    """Open the same instance with one or the other class of event log."""

    def open_with(settings):
        (tmp_path / "dagster.yaml").write_text(settings.format(folder=tmp_path))
        return dg.DagsterInstance.from_config(str(tmp_path))

    return open_with


@dg.asset
def numbers(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    for i in range(5):
        context.log.info(f"line {i}")
    return dg.MaterializeResult(metadata={"n_rows": 3}, data_version=dg.DataVersion("abc"))


def everything(instance, run_id):
    """The log's records of a run and its asset."""
    materialisation = instance.get_latest_materialization_event(numbers.key)
    return (
        [(entry.user_message, entry.dagster_event_type) for entry in instance.all_logs(run_id)],
        materialisation.asset_materialization.metadata["n_rows"].value,
        materialisation.run_id,
        instance.get_asset_keys(),
    )


@pytest.mark.parametrize(("writes", "reads"), [(OWN, KEPT_OPEN), (KEPT_OPEN, OWN)], ids=["ours reads", "ours writes"])
def test_either_class_reads_what_the_other_wrote(open_with, writes, reads):
    with open_with(writes) as instance:
        run_id = dg.materialize([numbers], instance=instance).run_id
        written = everything(instance, run_id)
    with open_with(reads) as instance:
        assert isinstance(instance.event_log_storage, SqliteEventLogStorage)
        assert isinstance(instance.event_log_storage, KeptOpenSqliteEventLogStorage) == (reads is KEPT_OPEN)
        assert everything(instance, run_id) == written
    assert [message for message, _ in written[0]].count("line 3") == 1


def test_more_runs_than_connections_kept(open_with, monkeypatch):
    monkeypatch.setattr("advcluster_dagster.orchestration.event_log._MOST_OPEN", 2)
    with open_with(KEPT_OPEN) as instance:
        runs = [dg.materialize([numbers], instance=instance).run_id for _ in range(3)]
        logs = [[entry.user_message for entry in instance.all_logs(run_id)] for run_id in runs]
        assert len(instance.event_log_storage.__dict__["_open_engines"]) <= 2
    assert all(log.count("line 4") == 1 for log in logs)
    assert len({len(log) for log in logs}) == 1


def test_two_processes_write_one_log_and_lose_nothing(open_with, tmp_path):
    with open_with(KEPT_OPEN) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("ours", metadata={"i": -1}))
        command = [sys.executable, "-c", MANY_EVENTS, str(tmp_path), str(N_EVENTS)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as other:
            assert other.stdout.readline() == "begun\n"
            other.stdin.write("go\n")
            other.stdin.flush()
            for i in range(N_EVENTS):
                instance.report_runless_asset_event(dg.AssetMaterialization("ours", metadata={"i": i}))
        assert other.returncode == 0
        for name, first in (("ours", -1), ("theirs", 0)):
            records = instance.fetch_materializations(dg.AssetKey(name), limit=1000).records
            numbers_seen = [record.asset_materialization.metadata["i"].value for record in records]
            assert numbers_seen == list(range(N_EVENTS - 1, first - 1, -1))

"""Lineage as OpenLineage events, in a file and over HTTP."""

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from advcluster_dagster.audit.records import AuditError
from advcluster_dagster.contracts.registry import TABLES
from tests.cli.test_cli import run_cli
from tests.studies import USUAL_TABLES

pytest.importorskip("openlineage.client")

KEY = "not-a-real-key"


@dataclass
class Server:
    """A lineage server on loopback."""

    status: int = 201
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    seen = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.paths.append(self.path)
            seen.keys.append(self.headers.get("Authorization"))
            seen.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(seen.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        seen.url = f"http://127.0.0.1:{listening.server_port}"
        thread = Thread(target=listening.serve_forever)
        thread.start()
        yield seen
        listening.shutdown()
        thread.join()


def _emit(small, to):
    from advcluster_dagster.audit.openlineage_events import lineage_events
    from advcluster_dagster.audit.openlineage_out import emit

    with small.instance() as instance:
        return emit(lineage_events(small.home, small.study, instance), to)


@pytest.fixture
def events(made_intact, tmp_path):
    n_events = _emit(made_intact, str(tmp_path / "events.jsonl"))
    lines = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == n_events
    return [json.loads(line) for line in lines]


def test_every_materialisation_is_the_output_of_a_finished_step(events):
    made = Counter(output["name"] for event in events for output in event["outputs"])
    assert made == {f"made.{table}": 1 for table in USUAL_TABLES}  # one family, one domain
    states = Counter((event["run"]["runId"], event["eventType"]) for event in events)
    runs = {run_id for run_id, _ in states}
    assert states == {(run_id, state): 1 for run_id in runs for state in ("START", "COMPLETE")}
    assert all(uuid.UUID(run_id) for run_id in runs)


def test_a_step_tells_its_run_inputs_and_fingerprints(events, made_intact):
    (done,) = (e for e in events if e["job"]["name"] == "made.extracted_advantages" and e["eventType"] == "COMPLETE")
    assert {output["name"].removeprefix("made.") for output in done["outputs"]} == {
        "advantage_corpus",
        "first_errors",
        "extraction_failures",
        "evidence_checks",
    }
    assert {given["name"] for given in done["inputs"]} == {
        f"made.{table}" for table in ("trace_pairs", "benchmark_questions", "larger_traces", "smaller_traces",
                                        "graded_trials")
    }  # fmt: skip
    stamps = {table: made_intact.stamp(table, partition) for table, partition in _places()}
    tags = {tag["key"]: tag["value"] for tag in done["run"]["facets"]["tags"]["tags"]}
    stamp = stamps["advantage_corpus"]
    assert tags == {
        "partition": "orion/math",
        "code": stamp.code,
        "settings": stamp.settings,
        "prompts": stamp.prompts,
    }
    (output,) = (output for output in done["outputs"] if output["name"] == "made.advantage_corpus")
    assert output["facets"]["version"]["datasetVersion"] == stamp.content_hash
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == stamp.n_rows
    assert [column["name"] for column in output["facets"]["schema"]["fields"]] == list(
        TABLES["advantage_corpus"].schema
    )
    parents = {e["run"]["runId"] for e in events if e["job"]["name"] == "made"}
    assert done["run"]["facets"]["parent"]["run"]["runId"] in parents


def _places():
    from advcluster_dagster.study.partition import Partition

    return [("advantage_corpus", Partition("orion", "math"))]


def test_columns_of_sql_models_name_their_sources(events):
    (output,) = (o for e in events for o in e["outputs"] if o["name"] == "made.edi_summary")
    fields = output["facets"]["columnLineage"]["fields"]
    assert set(fields) == set(TABLES["edi_summary"].schema)
    (source,) = fields["mean_edi"]["inputFields"]
    assert (source["namespace"], source["name"], source["field"]) == ("advcluster", "made.error_dispersion", "edi")
    (job,) = {json.dumps(e["job"]["facets"]["sql"]) for e in events if e["job"]["name"] == "made.edi_summary"}
    assert "from graded_trials" in job


def test_events_are_the_same_when_written_again(events, made_intact, tmp_path):
    _emit(made_intact, str(tmp_path / "again.jsonl"))
    assert [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()] == events


def test_events_go_to_a_server_with_the_key_of_the_environment(server, made_intact, events, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", KEY)
    assert _emit(made_intact, server.url) == len(events)
    assert server.events == events
    assert set(server.paths) == {"/api/v1/lineage"}
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_a_path_in_the_address_is_kept_and_no_key_is_no_header(server, made_intact, monkeypatch):
    monkeypatch.delenv("OPENLINEAGE_API_KEY", raising=False)
    _emit(made_intact, f"{server.url}/own/place")
    assert set(server.paths) == {"/own/place"}
    assert set(server.keys) == {None}


def test_a_server_that_refuses_ends_it_in_one_line(server, made_intact, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", KEY)
    server.status = 403
    with pytest.raises(
        AuditError, match=r"^127\.0\.0\.1: event 1 could not be sent \(status 403\); 0 were sent$"
    ) as error:
        _emit(made_intact, server.url)
    assert KEY not in str(error.value)


def test_a_file_that_cannot_be_written_is_one_line(made_intact, tmp_path):
    with pytest.raises(AuditError, match="cannot be written: No such file or directory"):
        _emit(made_intact, str(tmp_path / "nowhere" / "events.jsonl"))


def test_the_command_writes_them(made_intact, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("ADVCLUSTER_HOME", str(made_intact.home.root))
    status, _, said = run_cli(monkeypatch, capfd, "lineage", "made", "--to", str(tmp_path / "e.jsonl"))
    assert status == 0
    assert (said.split()[0], said.split()[2:4]) == ("Wrote", ["events", "to"])


def test_without_the_extra_the_command_says_what_to_install(made_intact, monkeypatch, capfd):
    for name in [name for name in sys.modules if name.startswith("advcluster_dagster.audit.openlineage")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openlineage.client.event_v2", None)
    monkeypatch.setenv("ADVCLUSTER_HOME", str(made_intact.home.root))
    status, _, said = run_cli(monkeypatch, capfd, "lineage", "made", "--to", "e.jsonl")
    assert status == 1
    assert "install the extra: pip install -c constraints.txt -e '.[openlineage]' in " in said

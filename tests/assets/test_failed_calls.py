"""Why model calls failed, where people look: the end of a run, the checks, the table of failures."""

import json

import dagster as dg
import pytest

from advcluster_dagster.cli import run as running
from advcluster_dagster.models import connection
from advcluster_dagster.orchestration.run_study import RunOutcome
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.study.partition import Partition
from tests.providers.small_provider import Answer, SmallProvider, canned
from tests.studies import GIVEN, given_study

SUMS = Partition("f", "sums")
WORDS = "the context of \x1b[31mthis model\n holds 4096 tokens"
LINE = "the context of [31mthis model holds 4096 tokens"


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """A study whose judges are refused some calls, each in another form of error."""

    def respond(path, body, n_before):
        if path.endswith("embeddings"):
            return Answer({"detail": WORDS}, 422) if len(body["input"]) == 1 else Answer({"detail": WORDS}, 500)
        if "7 boxes" in json.dumps(body["messages"]):
            return Answer({"detail": [{"loc": ["body"], "msg": WORDS, "type": "value_error"}]}, 422)
        return canned(path, body, n_before)

    monkeypatch.setenv("SMALL_KEY", "none")
    with SmallProvider(respond) as provider:
        settings = {"base_url": provider.url, "api_key_env": "SMALL_KEY", "max_retries": 0}
        small = given_study(
            tmp_path / "home",
            domains={name: GIVEN["domains"][name] for name in ("sums", "products")},
            providers={"small": settings},
            judges={
                "extractor": {"model": "judge", "provider": "small"},
                "embedder": {"model": "e", "provider": "small"},
            },
            checks={"max_extraction_failure_share": 0.5},
        )
        with monkeypatch.context() as patched:
            patched.setattr(connection, "_FIRST_PAUSE_S", 0.0)
            outcome = small.run(domains=("sums",))
        yield small, outcome


def check_facts(small, table, check):
    with small.instance() as instance:
        key = dg.AssetCheckKey(asset_key(small.name, table), check)
        [record] = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        found = record.event.dagster_event.asset_check_evaluation_data
    return found.passed, {name: value.value for name, value in found.metadata.items()}


def test_the_servers_words_reach_the_run_the_check_and_the_table(refused):
    small, outcome = refused
    detail = f"body: {LINE} (value_error)"
    reasons = f"bad_request (2): {detail}"
    assert outcome.call_failures[0] == f"extracted_advantages f/sums: 2 of 8 calls failed: {reasons}"
    is_passed, facts = check_facts(small, "extraction_failures", "failures_bounded")
    assert is_passed
    assert facts["reasons"] == reasons
    failures = small.table("extraction_failures")
    assert failures.select("reason", "detail", "raw_reply").rows() == [("bad_request", detail, "")] * 2
    assert small.metadata("extraction_failures", SUMS)["call_failures"] == f"2 of 8 calls failed: {reasons}"


def test_a_failed_embedding_is_named_by_its_check(refused):
    small, outcome = refused
    n_texts = small.table("advantage_corpus").height
    assert n_texts == 12  # 6 pairs with two advantages each
    line = outcome.call_failures[1].removeprefix("advantage_embeddings f/sums: ")
    assert line.startswith(f"{n_texts} of {n_texts} calls failed: ")
    assert LINE in line
    is_passed, facts = check_facts(small, "advantage_embeddings", "all_embedded")
    assert not is_passed
    assert facts["call_failures"] == line


def test_the_command_line_shows_it_as_plain_text(capsys):
    line = "cluster_summaries f: 1 of 2 calls failed: bad_request (1): [bold]no[/bold]"
    running._print_outcome(RunOutcome(n_runs=1, n_steps=1, call_failures=[line]), n_asked=2)
    assert f"{line}\n1 steps in 1 runs, 2 model calls." in capsys.readouterr().err


def test_the_command_line_shows_the_traceback_of_a_fault_of_the_program_as_plain_text(capsys):
    line = "trace_pairs: KeyError: 'x' at advcluster_dagster/assets/advantage_extraction.py:9"
    outcome = RunOutcome(n_runs=1, failures={SUMS: line}, tracebacks=["KeyError: 'x'\n  [bold]at\x1b[31m"])
    running._print_outcome(outcome, n_asked=0)
    assert f"KeyError: 'x'\n  [bold]at\\x1b[31m\nfailed f/sums: {line}\n" in capsys.readouterr().err

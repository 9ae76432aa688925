"""`advcluster audit` as a person meets it."""

import json

import pytest

from tests.audit.conftest import HERE, flip
from tests.cli.test_cli import run_cli


@pytest.fixture
def run(made_intact, monkeypatch, capfd):
    monkeypatch.setenv("ADVCLUSTER_HOME", str(made_intact.home.root))
    return lambda *arguments: run_cli(monkeypatch, capfd, "audit", "made", *arguments)


def test_an_intact_study_is_a_line_a_table(run):
    status, out, _ = run()
    assert status == 0
    assert "final_taxonomy" in out
    assert "Intact: " in out


def test_a_chain_is_a_tree(run, made_intact):
    advantage_id = made_intact.table("advantage_corpus")["advantage_id"][0]
    status, out, _ = run("--advantage", f"orion/{advantage_id}")
    assert status == 0
    assert out.startswith(f"advantage orion/{advantage_id}")
    for part in ("larger trace", "smaller trace", "question", "call", "file smaller_traces of orion/math", "run "):
        assert part in out


def test_json_holds_all(run):
    status, out, _ = run("--edi", "orion/math", "--json")
    content = json.loads(out)
    assert status == 0
    assert content["is_intact"]
    assert content["chain"]["kind"] == "mean index"
    assert content["breaks"] == []


def test_differences_are_told(run):
    status, out, _ = run("--diff", "trace_pairs@orion/math")
    assert status == 0
    assert "the first materialisation in the event log" in out
    status, out, _ = run("--diff", "trace_pairs", "--json")
    assert [change["reasons"] for change in json.loads(out)] == [[]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cluster", "orion/0", "--edi", "orion/math"), "--cluster and --edi: give only one of them"),
        (("--cluster", "orion/0", "--page"), "--page shows the whole study; omit the starting point"),
        (("--cluster", "orion"), "--cluster orion: allowed: FAMILY/CLUSTER"),
    ],
)
def test_what_makes_no_sense_is_one_line(run, arguments, said):
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.strip() == f"error {said}"


@pytest.mark.parametrize("form", [(), ("--json",), ("--page",)])
def test_a_changed_byte_fails_and_names_the_file(made, monkeypatch, capfd, form):
    monkeypatch.setenv("ADVCLUSTER_HOME", str(made.home.root))
    path = made.path("smaller_traces", HERE)
    flip(path, path.stat().st_size // 3)
    status, out, err = run_cli(monkeypatch, capfd, "audit", "made", *form)
    assert status == 1
    assert "smaller_traces" in out
    assert err.splitlines()[-1].startswith("error the chain is broken in ")
    if form == ("--json",):
        assert not json.loads(out)["is_intact"]
    else:
        assert "broken: smaller_traces of orion/math" in out

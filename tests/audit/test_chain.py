"""From a result back to traces, prompts and runs."""

import hashlib
import json

import pytest
from rich.console import Console

from advcluster_dagster.audit.chain import Start, chain_of
from advcluster_dagster.audit.evidence import Evidence
from advcluster_dagster.audit.records import AuditError, Node, Text, partition_named
from advcluster_dagster.audit.shown import chain_tree
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.prompts.files import load_prompt
from tests.audit.conftest import audited


def _chain(small, kind, given, limit=None, most=None):
    start = Start.parse(small.study, kind, given)
    found = audited(small, start.roots)
    with Ledger(small.home.ledger_url) as ledger:
        return chain_of(start, Evidence(found, ledger, limit), most)


def _nodes(node, kind):
    own = [node] if node.kind == kind else []
    return own + [found for child in node.children for found in _nodes(child, kind)]


def test_a_cluster_leads_to_everything(made_intact):
    row = made_intact.table("final_taxonomy").row(0, named=True)
    chain = _chain(made_intact, "cluster", f"orion/{row['cluster_id']}")
    assert chain.facts["tag"] == row["tag"]
    advantages = _nodes(chain, "advantage")
    assert len(advantages) == row["size"]
    assert chain.n_left_out == 0
    assert len(_nodes(chain, "naming call")) == 1
    assert len(_nodes(chain, "review call")) == made_intact.study.clustering.n_reviews
    traces = _nodes(chain, "larger trace") + _nodes(chain, "smaller trace")
    assert len(traces) == 2 * len(advantages)
    assert {node.facts["verdict"] for node in _nodes(chain, "larger trace")} == {"correct"}
    assert all(len(_nodes(trace, "call")) == 1 for trace in traces)
    questions = {node.name for node in _nodes(chain, "question")}
    assert questions <= {*made_intact.table("benchmark_questions")["question_id"]}
    assert all(node.facts["source_revision"] for node in _nodes(chain, "question"))


def test_texts_are_whole_and_hashed(made_intact):
    advantage = made_intact.table("advantage_corpus").row(0, named=True)
    chain = _chain(made_intact, "advantage", f"orion/{advantage['advantage_id']}")
    (trace,) = _nodes(chain, "smaller trace")
    pair = made_intact.table("trace_pairs").filter(pair_id=advantage["pair_id"]).row(0, named=True)
    key = {"question_id": pair["question_id"], "trial": pair["smaller_trial"]}
    response = made_intact.table("smaller_traces").filter(**key)["response"][0]
    assert trace.facts["response"] == Text(response, len(response), hashlib.sha256(response.encode()).hexdigest())
    (call,) = (child for child in _nodes(chain, "pair")[0].children if child.kind == "extraction call")
    assert call.facts["prompt_hash"] == load_prompt("extraction").sha256
    assert response in call.facts["user_message"].shown
    assert call.facts["system_message"].shown == load_prompt("extraction").system
    assert json.loads(call.facts["reply"].shown)["advantages"][0]["advantage"] == advantage["advantage"]
    json.dumps(chain.as_dict())


def test_every_file_behind_a_result_tells_its_run_and_code(made_intact):
    chain = _chain(made_intact, "edi", "orion/math", limit=20, most=1)
    assert len(_nodes(chain, "index")) == 1
    assert chain.n_left_out == chain.facts["n_questions"] - 1
    files = {node.name: node.facts for node in _nodes(chain, "file")}
    assert "smaller_traces of orion/math" in files
    for name, facts in files.items():
        table, _, label = name.partition(" of ")
        stamp = made_intact.stamp(table, partition_named(TABLES[table].level, label))
        assert facts["content_hash"] == stamp.content_hash
        assert facts["code"] == stamp.code
        assert facts["run_id"]
        assert facts["made_at"].endswith("+00:00")
    assert files["analysis_question_set of orion/math"]["made_from_settings"] == {"min_gap": 0.6, "trials": 3}


def test_a_cell_counts_its_advantages(made_intact):
    row = made_intact.table("domain_distribution").sort("n_advantages").row(-1, named=True)
    chain = _chain(made_intact, "cell", f"orion/{row['cluster_id']}/math")
    assert len(_nodes(chain, "advantage")) == chain.facts["n_advantages"] == row["n_advantages"]


def test_an_index_of_a_question_leads_to_its_first_errors(made_intact):
    row = made_intact.table("error_dispersion").sort("n_errors").row(-1, named=True)
    chain = _chain(made_intact, "edi", f"orion/math/{row['question_id']}")
    assert len(_nodes(chain, "pair")) == chain.facts["n_errors"] == row["n_errors"]
    assert all(node.facts["first_error"] for node in _nodes(chain, "pair"))


def test_imported_traces_lead_to_their_file(given_once):
    advantage_id = given_once.table("advantage_corpus")["advantage_id"][0]
    chain = _chain(given_once, "advantage", advantage_id)  # the study has one family
    (trace,) = _nodes(chain, "larger trace")
    (source,) = trace.children
    assert source.kind == "import"
    assert source.name.endswith("-traces.jsonl")
    assert len(source.facts["sha256"]) == 64


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("cluster", "orion", "--cluster orion: allowed: FAMILY/CLUSTER"),
        ("cluster", "orion/x", "--cluster orion/x: x is not a cluster number; allowed: FAMILY/CLUSTER"),
        ("cluster", "lyra/0", "--cluster lyra/0: no family lyra; known: orion"),
        ("cluster", "orion/99", "family orion has no cluster 99; known: 0"),
        ("cell", "orion/0/art", "--cell orion/0/art: no domain art; known: math"),
        ("cell", "orion/99/math", "family orion has no cell of cluster 99 and domain math"),
        ("advantage", "orion/x", "family orion has no advantage x; ids are QUESTION_ID:PAIR_INDEX:POSITION"),
        ("edi", "orion/art", "--edi orion/art: no domain art; known: math"),
        ("edi", "orion/math/x", "orion/math has no kept question x"),
    ],
)
def test_what_does_not_exist_is_said_in_one_line(made_intact, kind, given, said):
    with pytest.raises(AuditError) as error:
        _chain(made_intact, kind, given)
    assert str(error.value).startswith(said)


def test_hostile_text_is_shown_as_text():
    hostile = "[red]x[/red]\x1b[31m\u202e:smile:"
    console = Console(width=200, record=True, emoji=False)
    console.print(chain_tree(Node("advantage", hostile, {"evidence": Text.of(hostile), "extractor": hostile})))
    shown = console.export_text()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert shown.count("[red]x[/red][U+001B][31m[U+202E]:smile:") == 3


def test_a_long_text_is_cut_and_says_so():
    text = Text.of("abc" * 100, 10)
    assert text.shown == "abcabcabca"
    assert text.is_cut
    assert text.n_characters == 300
    assert not Text.of("abc", 3).is_cut

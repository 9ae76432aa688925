"""Imported traces through the whole graph: the ordinary case, and corpora that give no taxonomy or hardly one."""

import json

import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import scan_file
from advcluster_dagster.study.partition import Partition, all_partitions
from tests.providers.small_provider import Answer, SmallProvider, chat_completion
from tests.studies import (
    GIVEN,
    IMPORTED,
    USUAL_TABLES,
    SmallHome,
    bring_questions,
    bring_traces,
    given_study,
    ledger_rows,
    made_once,
    write_lines,
    write_study,
)

F, SUMS = Partition("f"), Partition("f", "sums")
UP_TO_CORPUS = tuple(
    name for name in list(TABLES)[: list(TABLES).index("advantage_corpus") + 1] if TABLES[name].level != "family"
)


def _models(family):
    return {role: {"model": f"{family}-{role}", **IMPORTED} for role in ("larger", "smaller")}


def _kept_contracts(small):
    """How many files keep their contract; any other raises."""
    n_files = 0
    for table in map(TABLES.get, USUAL_TABLES):
        for partition in all_partitions(small.study, table.level):
            if (path := small.path(table.name, partition)).exists():
                table.check(scan_file(path))
                n_files += 1
    return n_files


def test_the_ordinary_case(given_once):
    # all tables but the report: those a domain or a family and domain twice, those a family once
    n_partitions = {"domain": 2, "family_domain": 2, "family": 1, "study": 1}
    assert _kept_contracts(given_once) == sum(n_partitions[table.level] for table in map(TABLES.get, USUAL_TABLES))
    graded = given_once.table("graded_trials")
    # 2 domains x 6 questions x 2 models x 2 trials; the smaller model is wrong on 4 questions of each domain
    assert dict(graded["verdict"].value_counts().iter_rows()) == {"correct": 32, "wrong": 16}
    assert given_once.table("trace_pairs").height == 16
    assert given_once.table("first_errors").height == 16
    assert given_once.table("final_taxonomy")["size"].sum() == given_once.table("taxonomy_assignments").height
    facts = given_once.metadata("larger_traces", SUMS)
    assert facts["provenance"][0]["file_name"] == "f-sums-traces.jsonl"
    assert facts["dagster/row_count"] == 12


@pytest.mark.integration
def test_the_same_files_in_another_home_give_the_same_tables(given_once, tmp_path):
    again = given_study(tmp_path / "home")
    assert again.run().failures == {}
    assert again.hashes() == given_once.hashes()


#: Three families: kept questions in one domain only, in none, and a single one in all; by domain.
KEPT = {"partly": (3, 0), "none": (0, 0), "single": (1, 0)}
ODD = GIVEN | {
    "study": "odd",
    "families": {family: _models(family) for family in KEPT},
    "domains": {"sums": ["additions"], "products": ["doublings"]},
    "clustering": {"pca_dims": [4, 2], "n_reviews": 1},
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    def make(root):
        small = write_study(root, ODD)
        for place, domain in enumerate(ODD["domains"]):
            bring_questions(small, domain, n_questions=3)
            for family, n_kept in KEPT.items():
                bring_traces(small, domain, n_kept=n_kept[place], family=family, n_questions=3)
        assert small.run(()).failures == {}

    return SmallHome(Home(made_once(tmp_path_factory, "odd", make)), "odd")


def test_a_domain_without_kept_questions_has_empty_tables_and_the_graph_goes_on(odd):
    of = {name: odd.table(name).filter(family="partly") for name in TABLES if "family" in TABLES[name].schema}
    assert of["analysis_question_set"]["domain"].unique().to_list() == ["sums"]
    for name in ("trace_pairs", "advantage_corpus", "advantage_embeddings", "error_dispersion"):
        assert odd.path(name, Partition("partly", "products")).exists()
        assert of[name].filter(domain="products").is_empty()
    assert of["final_taxonomy"].height >= 2
    assert set(of["domain_distribution"]["domain"]) == {"sums", "products"}
    shares = of["domain_distribution"].filter(domain="products")
    assert shares["n_advantages"].to_list() == [0] * shares.height
    assert shares["column_share"].null_count() == shares.height  # a share of nothing is undefined
    summary = of["edi_summary"].filter(domain="products").row(0, named=True)
    assert (summary["n_questions"], summary["mean_edi"]) == (0, None)


def test_no_kept_question_at_all_gives_an_empty_taxonomy_that_says_why(odd):
    for name in ("candidate_clusterings", "cluster_summaries", "candidate_reviews", "final_taxonomy"):
        assert odd.table(name).filter(family="none").is_empty()
    none = Partition("none")
    reason = odd.stamp("final_taxonomy", none).notes["reason"]
    assert reason == odd.metadata("final_taxonomy", none)["reason"]
    assert reason == "no candidates: 0 rows, clustering needs at least 3"
    page = (odd.home.reports / "odd" / "report.html").read_text(encoding="utf-8")
    assert reason in page


def test_fewer_descriptions_than_clusters(odd):
    # one question, two pairs: fewer rows than the 15 clusters that would be tried
    n_rows = odd.table("deduplicated_advantages").filter(pl.col("is_kept"), family="single").height
    assert 3 <= n_rows < 15
    tried = odd.table("candidate_clusterings").filter(family="single")
    assert tried["n_clusters"].max() <= n_rows - 1
    assert tried["pca_dim"].max() <= n_rows
    assert odd.table("final_taxonomy").filter(family="single")["size"].sum() == n_rows


def test_every_table_of_the_odd_families_keeps_its_contract(odd):
    assert _kept_contracts(odd) > 0
    assert odd.states() == {"fresh"}


def _judged_by(provider, root, monkeypatch, **sections):
    monkeypatch.setenv("SMALL_KEY", "none")
    settings = {"base_url": provider.url, "api_key_env": "SMALL_KEY", "max_in_flight": 4, "max_retries": 0}
    return given_study(
        root,
        domains={name: GIVEN["domains"][name] for name in ("sums", "products")},
        providers={"small": settings},
        judges={"extractor": {"model": "judge", "provider": "small"}},
        **sections,
    )


def _extraction(advantages):
    described = [{"advantage": text, "evidence": "the second line"} for text in advantages]
    return {"failure_stage": "Encoding", "failure_description": "spoils the form", "advantages": described}


@pytest.mark.integration
def test_descriptions_that_are_all_alike_give_no_candidates(tmp_path, monkeypatch):
    alike = _extraction(["Tracks units through every step", "Tracks the units through every step"])
    with SmallProvider(lambda _path, body, _n: Answer(chat_completion(body, json.dumps(alike)))) as provider:
        small = _judged_by(provider, tmp_path / "home", monkeypatch, checks={"max_duplicate_share": 1.0})
        outcome = small.run(domains=("sums",))
    assert outcome.failures == {}
    kept = small.table("deduplicated_advantages").filter("is_kept")
    assert kept.height == 4  # one a question
    assert small.table("candidate_clusterings").is_empty()
    assert small.table("final_taxonomy").is_empty()
    assert small.stamp("final_taxonomy", F).notes["reason"]


@pytest.mark.integration
def test_failed_extractions_are_named_kept_and_asked_again_only_when_told(tmp_path, monkeypatch):
    answers = {"is_mended": False}
    good = _extraction(["Tracks units through every step", "Checks the total against the parts"])

    def respond(_path, body, _n):
        is_first = "7 boxes" in json.dumps(body["messages"])
        is_broken = is_first and not answers["is_mended"]
        return Answer(chat_completion(body, "I would rather not [" if is_broken else json.dumps(good)))

    with SmallProvider(respond) as provider:
        small = _judged_by(provider, tmp_path / "home", monkeypatch)
        line = "extraction_failures: blocking check failures_bounded failed"
        outcome = small.run(UP_TO_CORPUS, domains=("sums",))
        facts = "n_failures 2, n_pairs 8, share 0.25, bound 0.1"
        reasons = outcome.call_failures[0].partition("2 of 8 calls failed: ")[2]
        assert outcome.failures == {SUMS: f"{line} ({facts}, reasons {reasons})"}
        assert outcome.call_failures == [f"extracted_advantages f/sums: 2 of 8 calls failed: {reasons}"]
        assert reasons.startswith("invalid_reply (2): ")
        small.change(checks={"max_extraction_failure_share": 0.5})
        assert small.run(UP_TO_CORPUS, domains=("sums",)).failures == {}

        failures = small.table("extraction_failures")
        assert failures["pair_id"].to_list() == ["sums-0:0", "sums-0:1"]
        assert failures["reason"].to_list() == ["invalid_reply"] * 2
        assert failures["detail"].to_list() == [reasons.removeprefix("invalid_reply (2): ")] * 2
        assert failures["raw_reply"].to_list() == ["I would rather not ["] * 2
        assert set(failures["pair_id"]).isdisjoint(small.table("first_errors")["pair_id"])
        assert small.status()["extracted_advantages", "f/sums"].n_failures == 2
        # 6 pairs at once, 2 pairs three times; and never again
        assert provider.stats.completed == 6 + 2 * 3

        small.path("advantage_corpus", SUMS).unlink()
        assert small.run(UP_TO_CORPUS, domains=("sums",)).failures == {}
        assert provider.stats.completed == 12

        answers["is_mended"] = True
        assert small.run(UP_TO_CORPUS, domains=("sums",)).n_runs == 0
        retrying = Platform(small.home, retry_failed=True)
        assert small.status(retry_failed=True)["extracted_advantages", "f/sums"].texts == (
            "2 failed model calls to repeat",
        )
        assert small.run(UP_TO_CORPUS, retrying, domains=("sums",)).failures == {}
        assert provider.stats.completed == 14
    assert small.table("extraction_failures").is_empty()
    assert small.table("first_errors").height == 8
    retired = [row for row in ledger_rows(small.home) if row[2]]
    assert len(retired) == 6  # the three broken replies of both pairs stay on record


def test_bare_answers_give_no_advantage_and_the_check_says_what_is_needed(tmp_path):
    small = given_study(tmp_path / "home")
    path = small.home.root / "f-sums-traces.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = [row | {"response": row["response"].split("\n")[-1].partition("gives ")[2]} for row in rows]
    assert {row["response"][:7] for row in answers} == {"\\boxed{"}
    write_lines(path, answers)
    import_traces(path, small.study, "f", "sums", "additions", small.home.imports)
    said = small.run(UP_TO_CORPUS, domains=("sums",)).failures[SUMS]
    assert "n_failures 8, n_pairs 8" in said
    assert "the embedded reader sees no contrast in 8 of 8 pairs; use a judge model" in said
    small.change(checks={"max_extraction_failure_share": 1.0})
    assert small.run(UP_TO_CORPUS, domains=("sums",)).failures == {}
    assert small.table("extraction_failures")["reason"].to_list() == ["no_contrast"] * 8
    assert small.table("advantage_corpus").is_empty()
    assert small.table("first_errors").is_empty()

"""The explorer's asset on a finished study: what it reads of the lake, and that nothing of it is lost."""

import pytest

from advcluster_dagster.report.explorer.scripts import REPEATED, UNCLUSTERED
from advcluster_dagster.storage.pages import page_path, read_report_stamp
from advcluster_dagster.study.partition import Partition
from tests.report.explorer.test_scripts import read_files


@pytest.fixture(scope="module")
def made(given_once):
    step = given_once.step("evidence_explorer", Partition())
    made = step.recipe.function(step)
    return made, dict(made.files), step.facts


def test_every_pair_and_advantage_of_the_study_is_there(given_once, made):
    _, files, facts = made
    found = read_files((name.rsplit("/", 1)[1], content) for name, content in files.items())
    index = found["0-index"]
    questions, pairs, advantages = index["questions"], index["pairs"], index["advantages"]
    # products, then sums in the tables; the page keeps the order of the study: sums, products
    assert index["domains"] == ["sums", "products"]
    pair_ids = [f"{questions['id'][q]}:{i}" for q, i in zip(pairs["question"], pairs["index"], strict=True)]
    assert sorted(pair_ids) == sorted(given_once.table("trace_pairs")["pair_id"])
    of_pair = [pair for pair, n in zip(pair_ids, pairs["n_advantages"], strict=True) for _ in range(n)]
    ids = [f"{pair}:{place}" for pair, place in zip(of_pair, advantages["position"], strict=True)]
    corpus = given_once.table("advantage_corpus")
    assert sorted(ids) == sorted(corpus["advantage_id"])
    assert facts == {"n_advantages": len(ids)}
    placed = dict(given_once.table("taxonomy_assignments").select("advantage_id", "cluster_id").iter_rows())
    repeated = given_once.table("deduplicated_advantages").drop_nulls("duplicate_of")["advantage_id"].to_list()
    assert dict(zip(ids, advantages["cluster"], strict=True)) == {
        name: placed.get(name, REPEATED if name in repeated else UNCLUSTERED) for name in ids
    }
    texts = dict(corpus.select("advantage_id", "advantage").iter_rows())
    assert [text for text, _, _ in found["0-texts-0"]] == [texts[name] for name in ids]
    assert len(found["0-0"]) == len(pair_ids)
    assert all(pair["larger"]["response"] and pair["smaller"]["response"] for pair in found["0-0"])


def test_the_files_lie_in_a_folder_of_their_own_that_the_page_names(made):
    page, files, _ = made
    (folder,) = {name.rsplit("/", 1)[0] for name in files}
    assert f'"folder":"{folder}"' in page.page


def test_a_run_writes_it_and_the_next_one_has_nothing_to_do(given):
    assert given.run(("evidence_explorer",)).n_steps == 1
    assert page_path(given.home.reports, "given", "evidence_explorer").is_file()
    assert read_report_stamp(given.home.reports, "given", "evidence_explorer").content_hash
    assert given.run(("evidence_explorer",)).n_steps == 0
    given.change(deduplication={"threshold": 0.5})
    given.run()
    assert given.run(("evidence_explorer",)).n_steps == 1

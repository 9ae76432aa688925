"""The explorer's asset on a finished study: what it reads of the lake, and that nothing of it is lost."""

import pytest

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
    # products, then sums in the tables; the page keeps the order of the study: sums, products
    assert list(dict.fromkeys(index["pairs"]["domain"])) == ["sums", "products"]
    assert sorted(index["pairs"]["id"]) == sorted(given_once.table("trace_pairs")["pair_id"])
    assert sorted(index["advantages"]["id"]) == sorted(given_once.table("advantage_corpus")["advantage_id"])
    assert facts == {"n_advantages": len(index["advantages"]["id"])}
    placed = dict(given_once.table("taxonomy_assignments").select("advantage_id", "cluster_id").iter_rows())
    assert dict(zip(index["advantages"]["id"], index["advantages"]["cluster"], strict=True)) == {
        name: placed.get(name) for name in index["advantages"]["id"]
    }
    assert len(found["0-0"]) == len(index["pairs"]["id"])
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

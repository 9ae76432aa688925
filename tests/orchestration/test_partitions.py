"""Partition keys follow the study file."""

import pytest

from advcluster_dagster.orchestration.partition_definitions import sync_partitions
from tests.studies import GIVEN, IMPORTED, bring_traces

G = {"larger": {"model": "g-large", **IMPORTED}, "smaller": {"model": "g-small", **IMPORTED}}


def _keys(small):
    with small.instance() as instance:
        sync_partitions(instance, small.study)
        return {level: sorted(instance.get_dynamic_partitions(f"given_{level}")) for level in ("family", "domain")}


def _files(small):
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (small.home.root / "lake").rglob("*.parquet")
    }


@pytest.mark.integration
def test_a_family_more(given):
    before = _files(given)
    given.change(families=GIVEN["families"] | {"g": G})
    assert _keys(given) == {"family": ["f", "g"], "domain": ["later", "products", "sums"]}
    assert given.status()["graded_trials", "g/sums"].state == "no sources"
    bring_traces(given, "sums", family="g", n_kept=3)
    outcome = given.run(families=("g",))
    assert outcome.failures == {}
    assert {(label, status.state) for (_, label), status in given.status().items()} == {
        *((label, "fresh") for label in ("sums", "products", "f/sums", "f/products", "g/sums", "f", "g", "all")),
        *((label, "no sources") for label in ("later", "f/later", "g/products", "g/later")),
    }
    after = _files(given)
    assert {path.stem for path in before if after[path] != before[path]} <= {"all"}  # assets that compare all families
    assert given.table("final_taxonomy")["family"].unique().sort().to_list() == ["f", "g"]


def test_a_domain_less_and_back_again(given):
    before, hashes = _files(given), given.hashes()
    given.change(domains={"sums": ["additions"]})
    assert _keys(given) == {"family": ["f"], "domain": ["sums"]}
    assert {label for _, label in given.status()} == {"sums", "f/sums", "f", "all"}
    stale = {key for key, status in given.status().items() if status.state == "stale"}
    assert {label for _, label in stale} == {"f", "all"}  # assets that aggregate domains are stale
    assert given.run(("accuracy_summary",)).failures == {}
    after = _files(given)
    assert {path for path in before if "/f/" in str(path) and after[path] != before[path]} == set()
    assert given.table("advantage_corpus")["domain"].unique().to_list() == ["sums"]
    assert given.table("accuracy_summary")["domain"].unique().sort().to_list() == ["all", "sums"]
    given.change(domains=GIVEN["domains"])
    assert given.run().failures == {}
    assert given.hashes() == hashes
    assert {path for path in before if "/f/" in str(path) and _files(given)[path] != before[path]} == set()


def test_a_family_that_left_disappears_from_the_keys(given):
    given.change(families={"g": G})
    assert _keys(given) == {"family": ["g"], "domain": ["later", "products", "sums"]}
    assert {family for family in (label.split("/")[0] for _, label in given.status()) if family == "f"} == set()
    assert given.table("final_taxonomy").is_empty()

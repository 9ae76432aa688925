"""Shares of clusters over domains: standardisation by hand, the classification rule, simulated nulls."""

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.science.semantic_clustering.domain_shares import (
    ShareSettings,
    SpecialisedRule,
    classify_by_shares,
    domain_shares,
    standard_shares,
)

DOMAINS = ["chem", "math", "phys", "prog"]
FEW = ShareSettings(n_bootstrap=200, n_permutations=200)


def placed(rows):
    """One (domain, key, cluster) per advantage; every key is a separate question."""
    frame = pl.DataFrame(rows, schema=["domain", "source_key", "cluster_id"], orient="row", infer_schema_length=None)
    return frame.with_columns(question_id=pl.col("source_key"), cluster_id=pl.col("cluster_id").cast(pl.Int64))


def measured(rows, n_clusters=2, domains=DOMAINS, settings=FEW, seed=0):
    return domain_shares(placed(rows), domains, n_clusters, settings, np.random.default_rng(seed))


def spread(n_keys, cluster, per_key=1, domains=DOMAINS):
    return [(domain, f"{domain}{i}", cluster) for domain in domains for i in range(n_keys) for _ in range(per_key)]


def test_domains_have_equal_weight():
    # Cluster 0: 10 of 100 in one domain, 10 of 20 in the other: rates .1 and .5, shares 1/6 and 5/6.
    assert standard_shares(np.array([[10, 10], [90, 10]])) == pytest.approx(
        np.array([[1 / 6, 5 / 6], [0.6429, 0.3571]]), abs=1e-4
    )


def test_an_empty_cluster_has_no_share_and_an_empty_domain_share_zero():
    shares = standard_shares(np.array([[3, 0], [0, 0]]))
    assert shares[0].tolist() == [1.0, 0.0]
    assert np.isnan(shares[1]).all()


def kinds(table, **rule):
    return dict(classify_by_shares(table, SpecialisedRule(**rule)).select("cluster_id", "kind").iter_rows())


def test_a_cluster_of_ten_questions_of_one_domain_is_specialised_and_one_of_all_is_common():
    rows = [("math", f"math{i}", 0) for i in range(10)] + spread(10, 1)
    table = measured(rows)
    assert kinds(table) == {0: "specialised", 1: "common"}
    row = table.filter(pl.col("cluster_id") == 0, pl.col("domain") == "math").row(0, named=True)
    assert (row["standard_share"], row["n_questions"], row["n_advantages"]) == (1.0, 10, 10)
    assert row["lift"] == pytest.approx(1 / row["expected_share"])


def test_one_question_with_fifty_advantages_is_not_a_specialised_cluster():
    rows = [("math", "math0", 0)] * 50 + spread(10, 1)
    table = measured(rows)
    assert kinds(table)[0] != "specialised"
    assert table.filter(pl.col("cluster_id") == 0)["standard_low"].null_count() == 4


def test_a_cluster_of_two_domains_of_four_is_neither():
    rows = [(domain, f"{domain}{i}", 0) for domain in ("math", "phys") for i in range(10)] + spread(10, 1)
    assert kinds(measured(rows))[0] == "mixed"


def test_six_of_six_has_the_interval_of_six_questions():
    rows = [("math", f"math{i}", 0) for i in range(6)] + spread(10, 1)
    row = measured(rows).filter(pl.col("cluster_id") == 0, pl.col("domain") == "math").row(0, named=True)
    assert (row["standard_low"], row["standard_high"]) == (pytest.approx(0.67, abs=0.01), 1.0)


def test_one_domain_has_no_test_and_everything_is_common():
    table = measured(spread(10, 0, domains=["math"]) + spread(10, 1, domains=["math"]), domains=["math"])
    assert table["p_value"].null_count() == table.height
    assert set(kinds(table).values()) == {"common"}


def test_without_advantages_there_are_no_rows():
    assert measured([], n_clusters=0).is_empty()


def test_shuffled_domains_give_hardly_any_specialised_cluster():
    """At most 5 % of clusters over seeded runs; the former rule classified far more as specialised."""
    n_specialised = n_clusters = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = []
        for key in range(60):
            domain, own = DOMAINS[rng.integers(4)], rng.dirichlet(np.full(6, 0.3))
            rows += [(domain, f"k{key}", int(cluster)) for cluster in rng.choice(6, size=10, p=own)]
        kind_of_cluster = kinds(measured(rows, 6, seed=seed))
        n_specialised += sum(kind == "specialised" for kind in kind_of_cluster.values())
        n_clusters += len(kind_of_cluster)
    assert n_specialised / n_clusters <= 0.05


def test_a_planted_cluster_is_recognised():
    n_right = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = [("math", f"math{i}", 0) for i in range(10) for _ in range(rng.integers(1, 6))]
        rows += [(d, f"{d}{i}", 1) for d in DOMAINS for i in range(10) for _ in range(rng.integers(1, 6))]
        n_right += kinds(measured(rows, seed=seed))[0] == "specialised"
    assert n_right >= 18

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.science.semantic_clustering.cluster_samples import select_shown


def corpus(domains):
    """Cluster 0 on a line, and one distant row of cluster 1."""
    n_rows = len(domains)
    projection = np.arange(n_rows + 1, dtype=np.float64)[:, np.newaxis]
    labels = np.array([0] * n_rows + [1], dtype=np.int32)
    return projection, labels, [*domains, "math"], [f"id-{row}" for row in range(n_rows + 1)]


def select(domains, n_shown, seed=0, cluster_id=0):
    projection, labels, names, ids = corpus(domains)
    return select_shown(projection, labels, cluster_id, names, ids, n_shown, seed)


def test_small_cluster_is_shown_completely():
    assert select(["math"] * 4, n_shown=4) == [0, 1, 2, 3]
    assert select(["math"] * 4, n_shown=4, cluster_id=1) == [4]


def test_half_is_sampled_and_half_nearest_to_the_centroid():
    # 101 rows 0..100, centroid 50: the five nearest, 48..52, are shown in any case; the sample extends farther.
    shown = select(["math"] * 101, n_shown=10)
    assert len(shown) == 10
    assert {48, 49, 50, 51, 52} <= set(shown)
    assert any(abs(row - 50) > 10 for row in shown)


def test_sample_is_even_over_unequal_domains():
    # Physics is only at the two ends of the line, far from the centroid, so only the sample can include it.
    domains = ["physics"] * 5 + ["math"] * 90 + ["physics"] * 5
    counts = Counter(domains[row] for row in select(domains, n_shown=20))
    # The sample of 10 alternates between the two, 5 each; the 10 nearest are math.
    assert counts == {"math": 15, "physics": 5}


def test_an_exhausted_domain_is_skipped():
    domains = ["physics"] + ["math"] * 99
    counts = Counter(domains[row] for row in select(domains, n_shown=20))
    assert counts == {"math": 19, "physics": 1}


def test_depends_on_seed_and_cluster_only():
    domains = ["math", "physics"] * 50
    assert select(domains, 20, seed=1) == select(domains, 20, seed=1)
    assert select(domains, 20, seed=1) != select(domains, 20, seed=2)


def test_a_new_row_changes_the_sample_little():
    # An additional row moves the centroid by at most half a row and displaces at most one row of the sample.
    before, after = (set(select(["math"] * n_rows, 20)) for n_rows in (200, 201))
    assert len(before - after) <= 3


@given(st.lists(st.sampled_from(["chemistry", "math", "physics"]), min_size=1, max_size=40), st.integers(1, 15))
@settings(deadline=None)
def test_the_requested_number_in_canonical_order(domains, n_shown):
    shown = select(domains, n_shown)
    assert len(shown) == min(n_shown, len(domains))
    assert shown == sorted(set(shown))
    assert all(row < len(domains) for row in shown)
    # Every domain is shown if the sampled half has room for each.
    if (n_shown + 1) // 2 >= 3:
        assert {domains[row] for row in shown} == set(domains)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"n_shown": 0}, "at least one"), ({"cluster_id": 7}, "cluster 7 has no rows"), ({"ids": []}, "lengths differ")],
)
def test_invalid_arguments_are_rejected(change, message):
    projection, labels, domains, ids = corpus(["math"] * 3)
    arguments = {"cluster_id": 0, "domains": domains, "ids": ids, "n_shown": 2, "seed": 0} | change
    with pytest.raises(ValueError, match=message):
        select_shown(projection, labels, **arguments)

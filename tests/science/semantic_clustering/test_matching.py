from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.science.semantic_clustering.matching import ClusterChange, match_clusters


def _said(changes):
    return [(found.change, found.old, found.new) for found in changes]


def _line(*places):
    return np.array([[place, 0.0] for place in places])


def test_a_taxonomy_matches_itself():
    changes = match_clusters(_line(0, 5, 9), _line(0, 5, 9), np.diag([4, 2, 3]))
    assert _said(changes) == [("continued", 0, 0), ("continued", 1, 1), ("continued", 2, 2)]
    assert changes[1] == ClusterChange("continued", 1, 1, 0.0, 2, 1.0, 1.0)


def test_renumbered_clusters_continue():
    assert _said(match_clusters(_line(0, 5), _line(5.1, 0.2), np.array([[0, 4], [3, 0]]))) == [
        ("continued", 0, 1), ("continued", 1, 0),
    ]  # fmt: skip


def test_the_pairing_is_the_best_together_not_one_by_one():
    # Nearest first would pair 1 with 0.9 (0.1) and leave 0 with 2 (2.0): 2.1. Together best: 0-0.9 and 1-2: 1.9.
    changes = match_clusters(_line(0, 1), _line(0.9, 2), np.array([[3, 0], [0, 3]]))
    assert _said(changes) == [("continued", 0, 0), ("continued", 1, 1)]
    assert changes[0].distance + changes[1].distance == pytest.approx(1.9)


def test_split():
    # Of 10 advantages 6 stay, 4 make a cluster of their own: all it knows come from the old one.
    changes = match_clusters(_line(0), _line(-1, 3), np.array([[6, 4]]))
    assert changes == [
        ClusterChange("continued", 0, 0, 1.0, 6, 0.6, 1.0),
        ClusterChange("split", 0, 1, 3.0, 4, 0.4, 1.0),
    ]


def test_merged():
    changes = match_clusters(_line(0, 4), _line(1), np.array([[5], [3]]))
    assert changes == [
        ClusterChange("continued", 0, 0, 1.0, 5, 1.0, 0.625),
        ClusterChange("merged", 1, 0, 3.0, 3, 1.0, 0.375),
    ]


def test_born_of_new_advantages_alone_and_died_with_its_advantages():
    # The second old cluster has none of its advantages left, the second new one none that was known; each is the
    # other's nearest, so it goes on.
    shared = np.array([[5, 0], [0, 0]])
    assert _said(match_clusters(_line(0, 4), _line(0, 4.5), shared)) == [("continued", 0, 0), ("continued", 1, 1)]
    # With a third new one nearer to it, the second is born.
    changes = match_clusters(_line(0, 4), _line(0, 40, 4.5), np.array([[5, 0, 0], [0, 0, 0]]))
    assert _said(changes) == [("continued", 0, 0), ("continued", 1, 2), ("born", None, 1)]
    assert changes[2] == ClusterChange("born", None, 1)


def test_died_where_its_advantages_scattered():
    # A third each went to three new clusters: no heir holds more than half of it.
    shared = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9], [2, 2, 2]])
    changes = match_clusters(_line(0, 10, 20, 11), _line(0, 10, 20), shared)
    assert _said(changes)[3] == ("died", 3, None)


def test_a_pair_that_shares_nothing_with_each_other_is_not_one_cluster():
    # Both have known advantages, but elsewhere: the old one was merged into 0, the new one was split off 0.
    shared = np.array([[5, 4], [3, 0]])
    changes = match_clusters(_line(0, 9), _line(0, 9), shared)
    assert _said(changes) == [("continued", 0, 0), ("merged", 1, 0), ("split", 0, 1)]


def test_exactly_half_is_not_more_than_half():
    changes = match_clusters(_line(0, 9), _line(0, 3, 9), np.array([[6, 2, 0], [0, 2, 6]]))
    assert _said(changes)[2] == ("born", None, 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_renumbering_either_side_renumbers_the_result_and_no_more(seed, n_old, n_new):
    rng = np.random.default_rng(seed)
    old, new = rng.normal(size=(n_old, 4)), rng.normal(size=(n_new, 4))
    shared = rng.integers(0, 8, (n_old, n_new)) * rng.integers(0, 2, (n_old, n_new))
    rows, columns = rng.permutation(n_old), rng.permutation(n_new)
    changes = match_clusters(old, new, shared)
    again = match_clusters(old[rows], new[columns], shared[np.ix_(rows, columns)])

    def numbered_as_before(found):
        before = {"old": found.old is not None and rows[found.old], "new": found.new is not None and columns[found.new]}
        return replace(found, **{side: None if place is False else int(place) for side, place in before.items()})

    def facts(found):
        return {(one.change, one.old, one.new, one.n_shared, one.old_share, one.new_share) for one in found}

    assert facts(map(numbered_as_before, again)) == facts(changes)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_every_cluster_is_accounted_for_once(seed, n_old, n_new):
    rng = np.random.default_rng(seed)
    shared = rng.integers(0, 5, (n_old, n_new))
    changes = match_clusters(rng.normal(size=(n_old, 3)), rng.normal(size=(n_new, 3)), shared)
    of_old = [found.old for found in changes if found.change in ("continued", "merged", "died")]
    of_new = [found.new for found in changes if found.change in ("continued", "split", "born")]
    assert sorted(of_old) == list(range(n_old))
    assert sorted(of_new) == list(range(n_new))

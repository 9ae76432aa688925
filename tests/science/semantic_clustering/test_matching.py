from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.science.semantic_clustering.matching import ClusterChange, match_clusters


def _summary(changes):
    return [(change.change, change.old, change.new) for change in changes]


def _line(*places):
    return np.array([[place, 0.0] for place in places])


def test_a_taxonomy_matches_itself():
    changes = match_clusters(_line(0, 5, 9), _line(0, 5, 9), np.diag([4, 2, 3]))
    assert _summary(changes) == [("continued", 0, 0), ("continued", 1, 1), ("continued", 2, 2)]
    assert changes[1] == ClusterChange("continued", 1, 1, 0.0, 2, 1.0, 1.0)


def test_renumbered_clusters_continue():
    assert _summary(match_clusters(_line(0, 5), _line(5.1, 0.2), np.array([[0, 4], [3, 0]]))) == [
        ("continued", 0, 1), ("continued", 1, 0),
    ]  # fmt: skip


def test_the_pairing_is_optimal_overall_and_not_greedy():
    # A greedy pairing would match 1 with 0.9 (0.1) and 0 with 2 (2.0): 2.1. The optimum is 0-0.9 and 1-2: 1.9.
    changes = match_clusters(_line(0, 1), _line(0.9, 2), np.array([[3, 0], [0, 3]]))
    assert _summary(changes) == [("continued", 0, 0), ("continued", 1, 1)]
    assert changes[0].distance + changes[1].distance == pytest.approx(1.9)


def test_split():
    # Of 10 advantages 6 stay and 4 form a new cluster, whose known advantages all come from the old cluster.
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
    # The second old cluster has no remaining advantages, the second new cluster no known ones; the centres are mutual
    # nearest neighbours, so the cluster continues.
    shared = np.array([[5, 0], [0, 0]])
    assert _summary(match_clusters(_line(0, 4), _line(0, 4.5), shared)) == [("continued", 0, 0), ("continued", 1, 1)]
    # With a third new cluster nearer to the old one, the second is born.
    changes = match_clusters(_line(0, 4), _line(0, 40, 4.5), np.array([[5, 0, 0], [0, 0, 0]]))
    assert _summary(changes) == [("continued", 0, 0), ("continued", 1, 2), ("born", None, 1)]
    assert changes[2] == ClusterChange("born", None, 1)


def test_died_if_its_advantages_scattered():
    # A third each went to three new clusters: none has more than half.
    shared = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9], [2, 2, 2]])
    changes = match_clusters(_line(0, 10, 20, 11), _line(0, 10, 20), shared)
    assert _summary(changes)[3] == ("died", 3, None)


def test_a_pair_without_shared_advantages_is_not_continued():
    # Both have known advantages, but elsewhere: the old cluster was merged into 0, the new cluster split off 0.
    shared = np.array([[5, 4], [3, 0]])
    changes = match_clusters(_line(0, 9), _line(0, 9), shared)
    assert _summary(changes) == [("continued", 0, 0), ("merged", 1, 0), ("split", 0, 1)]


def test_exactly_half_is_not_more_than_half():
    changes = match_clusters(_line(0, 9), _line(0, 3, 9), np.array([[6, 2, 0], [0, 2, 6]]))
    assert _summary(changes)[2] == ("born", None, 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_renumbering_either_side_only_renumbers_the_result(seed, n_old, n_new):
    rng = np.random.default_rng(seed)
    old, new = rng.normal(size=(n_old, 4)), rng.normal(size=(n_new, 4))
    shared = rng.integers(0, 8, (n_old, n_new)) * rng.integers(0, 2, (n_old, n_new))
    rows, columns = rng.permutation(n_old), rng.permutation(n_new)
    changes = match_clusters(old, new, shared)
    renumbered = match_clusters(old[rows], new[columns], shared[np.ix_(rows, columns)])

    def renumbered_back(change):
        old = None if change.old is None else int(rows[change.old])
        return replace(change, old=old, new=None if change.new is None else int(columns[change.new]))

    def facts(changes):
        return {(c.change, c.old, c.new, c.n_shared, c.old_share, c.new_share) for c in changes}

    assert facts(map(renumbered_back, renumbered)) == facts(changes)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_every_cluster_is_accounted_for_once(seed, n_old, n_new):
    rng = np.random.default_rng(seed)
    shared = rng.integers(0, 5, (n_old, n_new))
    changes = match_clusters(rng.normal(size=(n_old, 3)), rng.normal(size=(n_new, 3)), shared)
    of_old = [change.old for change in changes if change.change in ("continued", "merged", "died")]
    of_new = [change.new for change in changes if change.change in ("continued", "split", "born")]
    assert sorted(of_old) == list(range(n_old))
    assert sorted(of_new) == list(range(n_new))

"""The Pareto front."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.compute.pareto import pareto_front


def test_a_front_by_hand():
    front = pareto_front(np.array([1.0, 2, 2, 3]), np.array([0.5, 0.5, 0.7, 0.6]))
    assert front.tolist() == [True, False, True, False]


def test_single_points_equal_points_and_no_points():
    assert pareto_front(np.array([3.0]), np.array([0.0])).tolist() == [True]
    assert pareto_front(np.array([2.0, 2.0]), np.array([0.5, 0.5])).tolist() == [True, True]
    assert pareto_front(np.array([]), np.array([])).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=20))
def test_every_point_is_on_the_front_or_dominated_by_it(points):
    costs, accuracies = np.array(points, dtype=np.float64).T
    front = pareto_front(costs, accuracies)
    on_it = [point for point, is_on in zip(points, front, strict=True) if is_on]
    assert (min(points)[0], max(a for c, a in points if c == min(points)[0])) in on_it
    for (cost, accuracy), is_on in zip(points, front, strict=True):
        beaten = any((c <= cost and a > accuracy) or (c < cost and a >= accuracy) for c, a in on_it)
        assert is_on != beaten

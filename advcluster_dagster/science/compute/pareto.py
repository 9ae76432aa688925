"""Pareto fronts of cost and accuracy."""

import numpy as np
import numpy.typing as npt

from advcluster_dagster.science.statistics.resampling import FloatArray


def pareto_front(costs: FloatArray, accuracies: FloatArray) -> npt.NDArray[np.bool_]:
    """Mark points for which no other point is more accurate at no more cost, or as accurate at lower cost.

    Args:
        costs: Cost of each point, shape (n,).
        accuracies: Accuracy of each point, shape (n,).

    Returns:
        Mask of shape (n,). Equal points are both on the front; the cheapest of the most accurate points always is.

    >>> pareto_front(np.array([1.0, 2, 2, 3]), np.array([0.5, 0.5, 0.7, 0.6])).tolist()
    [True, False, True, False]
    """
    cheaper, as_cheap = costs[:, None] > costs, costs[:, None] >= costs
    better, as_good = accuracies[:, None] < accuracies, accuracies[:, None] <= accuracies
    is_dominated = (as_cheap & better) | (cheaper & as_good)
    return np.asarray(~is_dominated.any(axis=1))

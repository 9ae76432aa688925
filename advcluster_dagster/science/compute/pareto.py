"""Which points cost no more than others for what they give."""

import numpy as np
import numpy.typing as npt

from advcluster_dagster.science.statistics.resampling import FloatArray


def pareto_front(costs: FloatArray, accuracies: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether no other point costs at most as much and is more accurate, or costs less and is as accurate.

    Args:
        costs: of each point, shape (n,).
        accuracies: of each point, shape (n,).

    Returns:
        Shape (n,). Equal points are on the front together; the cheapest of the most accurate points always is.

    >>> pareto_front(np.array([1.0, 2, 2, 3]), np.array([0.5, 0.5, 0.7, 0.6])).tolist()
    [True, False, True, False]
    """
    cheaper, as_cheap = costs[:, None] > costs, costs[:, None] >= costs
    better, as_good = accuracies[:, None] < accuracies, accuracies[:, None] <= accuracies
    is_beaten = (as_cheap & better) | (cheaper & as_good)
    return np.asarray(~is_beaten.any(axis=1))

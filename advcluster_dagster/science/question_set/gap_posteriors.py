"""Posterior of a question's gap on fresh trials, under a joint prior of both pass rates.

Questions are selected for a large observed gap, so the observed gap overestimates the gap on fresh trials. The
posterior corrects for this: the joint distribution of both pass rates is estimated from all complete questions of a
benchmark and used as prior for each question's counts.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from advcluster_dagster.science.statistics.proportions import jeffreys_gap_interval, jeffreys_gap_probability
from advcluster_dagster.science.statistics.resampling import FloatArray, IntArray

#: Number of steps of a pass rate on the prior's grid.
N_STEPS = 20
#: Iterations of EM. Early stopping keeps the prior smooth; with many more iterations, intervals become too narrow.
N_ITERATIONS = 20
#: Minimum number of complete questions to estimate a prior.
MIN_QUESTIONS = 100
_GAPS = np.arange(-N_STEPS, N_STEPS + 1)


@dataclass(frozen=True)
class GapPosteriors:
    """Posteriors of the gap p_L - p_S, one entry per question, float64 of shape (n,).

    Attributes:
        mean: Mean gap, in [-1, 1].
        low, high: Bounds of the equal-tailed interval, in [-1, 1].
        positive: P(gap > 0).
        reached: P(gap >= min_gap).
        half_reached: P(gap >= min_gap / 2).
    """

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    positive: FloatArray
    reached: FloatArray
    half_reached: FloatArray


def fit_joint_prior(counts: IntArray) -> FloatArray:
    """Estimate the weights of the grid {0, .05, …, 1} x {0, .05, …, 1} of (p_L, p_S) by EM from a uniform start.

    Args:
        counts: int64 of shape (n, 4): x_L, n_L, x_S, n_S of complete questions, n >= 1.

    Returns:
        float64 of shape (441,), summing to 1.

    References:
        Laird (1978), Nonparametric maximum likelihood estimation of a mixing distribution.
    """
    cells, n_questions = np.unique(counts, axis=0, return_counts=True)
    likelihood = _likelihood(cells)
    weights = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(N_ITERATIONS):
        responsibilities = likelihood * weights
        responsibilities /= responsibilities.sum(axis=1, keepdims=True)
        weights = n_questions @ responsibilities / n_questions.sum()
    return weights


def joint_posteriors(counts: IntArray, prior: FloatArray, min_gap: float, confidence: float) -> GapPosteriors:
    """Compute posteriors under a joint prior.

    Args:
        counts: int64 of shape (n, 4): x_L, n_L, x_S, n_S.
        prior: Result of :func:`fit_joint_prior`.
        min_gap: Minimum gap of the study, in (0, 1].
        confidence: Confidence level of the interval.
    """
    cells, cell_of_question = np.unique(counts, axis=0, return_inverse=True)
    posterior = _likelihood(cells) * prior
    posterior /= posterior.sum(axis=1, keepdims=True)
    mass = _gap_mass(posterior)
    cumulative = np.cumsum(mass, axis=1)
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    low, high = (_GAPS[(cumulative < tail - 1e-12).sum(axis=1)] / N_STEPS for tail in tails)
    half_step = 1 / (2 * N_STEPS)
    measures = (
        mass @ _GAPS / N_STEPS,
        np.maximum(low - half_step, -1.0),
        np.minimum(high + half_step, 1.0),
        mass[:, _GAPS > 0].sum(axis=1),
        _probability_from(mass, Fraction(str(min_gap))),
        _probability_from(mass, Fraction(str(min_gap)) / 2),
    )
    cell_of_question = cell_of_question.reshape(-1)
    return GapPosteriors(*(measure[cell_of_question] for measure in measures))


def jeffreys_posteriors(counts: IntArray, min_gap: float, confidence: float) -> GapPosteriors:
    """Compute posteriors under independent Jeffreys priors, which ignore other questions and correct little.

    Args: as :func:`joint_posteriors`.
    """
    rows = [tuple(map(int, row)) for row in counts]
    intervals = [jeffreys_gap_interval(*row, confidence) for row in rows]
    return GapPosteriors(
        np.array([(x + 0.5) / (n + 1) - (y + 0.5) / (m + 1) for x, n, y, m in rows]),
        np.array([low for low, _ in intervals]),
        np.array([high for _, high in intervals]),
        *(
            np.array([jeffreys_gap_probability(*row, gap) for row in rows])
            for gap in (0.0, float(Fraction(str(min_gap))), float(Fraction(str(min_gap)) / 2))
        ),
    )


def _likelihood(cells: IntArray) -> FloatArray:
    """P(cell | p_L, p_S) of shape (cells, 441), p_S varying fastest."""
    from scipy.stats import binom

    rates = np.arange(N_STEPS + 1) / N_STEPS
    larger = binom.pmf(cells[:, 0, None], cells[:, 1, None], rates)
    smaller = binom.pmf(cells[:, 2, None], cells[:, 3, None], rates)
    product: FloatArray = (larger[:, :, None] * smaller[:, None, :]).reshape(len(cells), -1)
    return product


def _gap_mass(posterior: FloatArray) -> FloatArray:
    """Probability of each gap -20/20 … 20/20, shape (cells, 41)."""
    steps = np.arange(N_STEPS + 1)
    # Gaps are compared as integer steps, since differences of rounded rates would miss ties.
    gap = (steps[:, None] - steps[None, :]).ravel() + N_STEPS
    mass = np.zeros((len(posterior), len(_GAPS)))
    for step in range(len(_GAPS)):
        mass[:, step] = posterior[:, gap == step].sum(axis=1)
    return mass


def _probability_from(mass: FloatArray, threshold: Fraction) -> FloatArray:
    """P(gap >= threshold); mass exactly at the threshold counts half, since a grid point has a whole step's mass."""
    beyond = np.array([Fraction(int(gap), N_STEPS) > threshold for gap in _GAPS])
    exactly = np.array([Fraction(int(gap), N_STEPS) == threshold for gap in _GAPS])
    share: FloatArray = mass[:, beyond].sum(axis=1) + mass[:, exactly].sum(axis=1) / 2
    return share

"""Test whether the first errors of a question concentrate more than expected by chance, and at which stages.

The paper calls a mean Error Dispersion Index below 0.4 concentrated. With few errors per question the index is low by
construction: a random choice between two stages gives .40 at 8 to 10 errors. It is therefore compared with that of
permuted stages.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from advcluster_dagster.contracts.error_dispersion import DISPERSION_TESTS, STAGE_SHARES
from advcluster_dagster.contracts.vocabularies import N_DEPTHS, STAGE_DEPTHS, WRONG_VERDICTS
from advcluster_dagster.science.error_dispersion.dispersion import max_entropy
from advcluster_dagster.science.statistics.proportions import jeffreys_interval
from advcluster_dagster.science.statistics.resampling import (
    MIN_KEYS,
    FloatArray,
    IntArray,
    bootstrap_weights,
    codes_of,
    percentile_interval,
    permutation_p,
)

DEEP = "depth_3_4"
INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class ResamplingSettings:
    """Confidence level of intervals in (0, 1), number of bootstrap replicates, number of permutations."""

    confidence: float = 0.95
    n_bootstrap: int = 2000
    n_permutations: int = 2000


@dataclass(frozen=True)
class _Errors:
    """First errors of questions with at least two: counts by depth, int64 of shape (Q, 5), domain and key."""

    counts: IntArray
    domains: IntArray
    keys: IntArray

    @property
    def totals(self) -> IntArray:
        totals: IntArray = self.counts.sum(axis=1)
        return totals

    @property
    def strata(self) -> IntArray:
        """Domain of each key."""
        strata: IntArray = self.domains[np.unique(self.keys, return_index=True)[1]]
        return strata


def mean_dispersion(counts: IntArray) -> FloatArray:
    """Mean Error Dispersion Index over questions.

    Args:
        counts: int64 of shape (..., Q, 5), first errors by question and depth, at least two per question.

    Returns:
        float64 of shape (...).
    """
    means: FloatArray = _indices(counts).mean(axis=-1)
    return means


def _indices(counts: IntArray) -> FloatArray:
    totals = counts.sum(axis=-1, keepdims=True)
    shares = counts / totals
    terms = np.where(counts > 0, -shares * np.log2(np.where(counts > 0, shares, 1.0)), 0.0)
    largest = int(totals.max())
    highest = np.array([max_entropy(n) for n in range(largest + 1)])
    indices: FloatArray = terms.sum(axis=-1) / highest[totals[..., 0]]
    return indices


def agreements(counts: IntArray, weights: IntArray | None = None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Agreement of first errors on a stage, within (w) and between (b) questions, and kappa = (w - b) / (1 - b).

    Within is the mean concentration of the questions, weighted by their pairs of errors; it is unbiased for any number
    of errors. Pairs of a question that a bootstrap samples twice do not count as pairs between questions.

    Args:
        counts: int64 of shape (Q, 5).
        weights: int64 of shape (B, Q), number of times each question is sampled; None for once each.

    Returns:
        Three float64 arrays of shape (B,), NaN where undefined.
    """
    multiplicities = np.ones((1, len(counts)), dtype=np.int64) if weights is None else weights
    totals = counts.sum(axis=1)
    same, pairs = (counts * (counts - 1)).sum(axis=1), totals * (totals - 1)
    stage_sums = multiplicities @ counts
    n_same = (stage_sums.astype(np.float64) ** 2).sum(axis=1) - multiplicities**2 @ (counts**2).sum(axis=1)
    n_pairs = (multiplicities @ totals).astype(np.float64) ** 2 - multiplicities**2 @ totals**2
    with np.errstate(invalid="ignore", divide="ignore"):
        within = (multiplicities @ same) / (multiplicities @ pairs)
        between = n_same / n_pairs
        kappa = np.where(between < 1, (within - between) / (1 - between), np.nan)
    return within, between, kappa


def stage_information(counts: IntArray) -> FloatArray:
    """Mutual information of question and stage in bits: H(stage) - sum of N_q / N * H(stage | q).

    Args:
        counts: int64 of shape (..., Q, 5).
    """
    totals = counts.sum(axis=-1)
    n_errors = totals.sum(axis=-1)
    within = (_entropies(counts) * totals).sum(axis=-1) / n_errors
    information: FloatArray = _entropies(counts.sum(axis=-2)) - within
    return information


def _entropies(counts: IntArray) -> FloatArray:
    shares = counts / counts.sum(axis=-1, keepdims=True)
    entropies: FloatArray = np.where(counts > 0, -shares * np.log2(np.where(counts > 0, shares, 1.0)), 0.0).sum(axis=-1)
    return entropies


def permuted_counts(counts: IntArray, domains: IntArray, n_permutations: int, rng: np.random.Generator) -> IntArray:
    """Permute the stages over all first errors of each domain; every question keeps its number of errors.

    Args:
        counts: int64 of shape (Q, 5).
        domains: Domain of each question as an integer, shape (Q,).
        n_permutations: Number of permutations B.
        rng: Random generator.

    Returns:
        int64 of shape (B, Q, 5).
    """
    n_questions = len(counts)
    permuted = np.zeros((n_permutations, n_questions * N_DEPTHS), dtype=np.int64)
    offsets = np.arange(n_permutations)[:, None] * (n_questions * N_DEPTHS)
    for domain in np.unique(domains):
        members = np.flatnonzero(domains == domain)
        question_of_error = np.repeat(members, counts[members].sum(axis=1))
        stages = np.repeat(np.tile(np.arange(N_DEPTHS), len(members)), counts[members].ravel())
        shuffled = rng.permuted(np.tile(stages, (n_permutations, 1)), axis=1)
        cells = (offsets + question_of_error * N_DEPTHS + shuffled).ravel()
        permuted += np.bincount(cells, minlength=permuted.size).reshape(permuted.shape)
    return permuted.reshape(n_permutations, n_questions, N_DEPTHS)


def dispersion_tests(
    dispersion: pl.DataFrame, source_keys: pl.DataFrame, settings: ResamplingSettings, rng: np.random.Generator
) -> pl.DataFrame:
    """Compare the mean index of each domain, and of the family, with that of permuted stages.

    Args:
        dispersion: Rows of ``error_dispersion`` of one family.
        source_keys: Columns domain, question_id, source_key.
        settings: Settings of intervals and permutations.
        rng: Random generator.

    Returns:
        Rows of ``dispersion_tests``, domains in order, then ``all``; questions with fewer than two first errors are
        counted and excluded; statistics are null if no question remains.
    """
    columns = [f"n_depth_{depth}" for depth in range(1, N_DEPTHS + 1)]
    keyed = dispersion.join(source_keys, on=["domain", "question_id"], how="left", maintain_order="left")
    parts = [(str(domain), part) for (domain,), part in keyed.group_by("domain", maintain_order=True)]
    rows = []
    for domain, part in [*parts, *([("all", keyed)] if parts else [])]:
        usable = part.filter(pl.col("n_errors") >= 2)
        errors = _Errors(
            usable.select(columns).to_numpy().astype(np.int64).reshape(-1, N_DEPTHS),
            codes_of(usable["domain"].to_list()),
            codes_of(list(usable.select("domain", "source_key").iter_rows())),
        )
        rows.append((domain, usable.height, part.height - usable.height, *_row(errors, settings, rng)))
    return pl.DataFrame(rows, schema=DISPERSION_TESTS.own_schema, orient="row")


def _row(errors: _Errors, settings: ResamplingSettings, rng: np.random.Generator) -> tuple[float | int | None, ...]:
    """Compute the statistics of a row of ``dispersion_tests``, without key and numbers of questions."""
    if not len(errors.counts):
        return (None,) * 18
    totals, confidence = errors.totals, settings.confidence
    permuted = permuted_counts(errors.counts, errors.domains, settings.n_permutations, rng)
    observed, null = float(mean_dispersion(errors.counts)), mean_dispersion(permuted)
    within, between, kappa = (_defined(values[0]) for values in agreements(errors.counts))
    information = float(stage_information(errors.counts))
    index_low, index_high, kappa_low, kappa_high = None, None, None, None
    if errors.keys.max() + 1 >= MIN_KEYS:
        weights = bootstrap_weights(errors.strata, settings.n_bootstrap, rng)[:, errors.keys]
        index_low, index_high = percentile_interval(
            (weights @ _indices(errors.counts)) / weights.sum(axis=1), confidence
        )
        kappa_low, kappa_high = percentile_interval(agreements(errors.counts, weights)[2], confidence)
    null_low, null_high = percentile_interval(null, confidence)
    return (
        int(totals.min()),
        int(totals.max()),
        observed,
        index_low,
        index_high,
        float(null.mean()),
        null_low,
        null_high,
        permutation_p(observed, null, is_upper=False),
        observed / float(null.mean()) if null.mean() > 0 else None,
        within,
        between,
        kappa,
        kappa_low,
        kappa_high,
        information,
        permutation_p(information, stage_information(permuted)),
        int(totals.sum()),
    )


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def incomplete_trials(questions: pl.DataFrame, graded: pl.DataFrame) -> pl.DataFrame:
    """Count wrong trials of the smaller model on selected questions, and those without an answer or truncated.

    Args:
        questions: Rows of ``analysis_question_set``.
        graded: Rows of ``graded_trials``.

    Returns:
        Columns domain, question_id, n_pairs, n_incomplete.
    """
    wrong = graded.filter((pl.col("role") == "smaller") & pl.col("verdict").is_in(list(WRONG_VERDICTS)))
    keys = ["domain", "question_id"]
    return (
        wrong.join(questions.select(keys), on=keys, how="semi")
        .group_by(keys, maintain_order=True)
        .agg(
            n_pairs=pl.len().cast(pl.Int64),
            n_incomplete=(pl.col("verdict") != "wrong").sum().cast(pl.Int64),
        )
    )


def stage_shares(
    dispersion: pl.DataFrame,
    incomplete: pl.DataFrame,
    source_keys: pl.DataFrame,
    settings: ResamplingSettings,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Compute the share of each stage among first errors, by domain and over the family, weighting questions equally.

    Args:
        dispersion: Rows of ``error_dispersion`` of one family.
        incomplete: Result of :func:`incomplete_trials`.
        source_keys: Columns domain, question_id, source_key.
        settings: Settings of intervals.
        rng: Random generator.

    Returns:
        Rows of ``stage_shares``: the five stages, depths 3 and 4 together (paper section 5.3), and pairs without an
        answer, whose share is of all pairs. ``lead`` is set for the most frequent stage: its share minus that of the
        second most frequent stage.
    """
    keys = ["domain", "question_id"]
    joined = dispersion.join(source_keys, on=keys, how="left", maintain_order="left")
    joined = joined.join(incomplete, on=keys, how="left", maintain_order="left")
    parts = [(str(domain), part) for (domain,), part in joined.group_by("domain", maintain_order=True)]
    rows = [
        (domain, *row)
        for domain, part in [*parts, *([("all", joined)] if parts else [])]
        for row in _shares_of(part, settings, rng)
    ]
    return pl.DataFrame(rows, schema=STAGE_SHARES.own_schema, orient="row")


def _shares_of(
    part: pl.DataFrame, settings: ResamplingSettings, rng: np.random.Generator
) -> list[tuple[str | float | int | None, ...]]:
    columns = [f"n_depth_{depth}" for depth in range(1, N_DEPTHS + 1)]
    with_errors = part.filter(pl.col("n_errors") > 0)
    counts = with_errors.select(columns).to_numpy().astype(np.float64).reshape(-1, N_DEPTHS)
    shares = counts / counts.sum(axis=1, keepdims=True)
    deep = counts[:, 2] + counts[:, 3]
    replicates = _replicates(with_errors, shares, settings, rng)
    means = shares.mean(axis=0) if len(shares) else np.zeros(N_DEPTHS)
    first, second = (int(index) for index in np.argsort(-means, kind="stable")[:2])
    rows: list[tuple[str | float | int | None, ...]] = []
    for index, stage in enumerate(STAGE_DEPTHS):
        lead: tuple[float | None, ...] = (None, None, None)
        if index == first and len(shares):
            ends = (
                (None, None)
                if replicates is None
                else percentile_interval(replicates[:, first] - replicates[:, second], settings.confidence)
            )
            lead = (float(means[first] - means[second]), *ends)
        spread = None if replicates is None else replicates[:, index]
        rows.append((stage, *_share(counts[:, index], counts, shares[:, index], spread, settings.confidence), *lead))
    deep_shares = shares[:, 2] + shares[:, 3]
    spread = None if replicates is None else replicates[:, 2] + replicates[:, 3]
    rows.append((DEEP, *_share(deep, counts, deep_shares, spread, settings.confidence), None, None, None))
    return [*rows, (INCOMPLETE, *_incomplete(part, settings, rng), None, None, None)]


def _share(
    errors: FloatArray, counts: FloatArray, shares: FloatArray, replicates: FloatArray | None, confidence: float
) -> tuple[float | int | None, ...]:
    """(n_errors, n_questions, pair_share, question_share, low, high)."""
    if not len(shares):
        return 0, 0, None, None, None, None
    mean = float(shares.mean())
    pair_share = float(errors.sum() / counts.sum())
    return int(errors.sum()), len(shares), pair_share, mean, *_interval(mean, len(shares), replicates, confidence)


def _interval(
    mean: float, n_questions: int, replicates: FloatArray | None, confidence: float
) -> tuple[float | None, float | None]:
    """Bootstrap interval; for means of 0 or 1, which resampling cannot vary, the Jeffreys interval over questions."""
    if replicates is None:
        return None, None
    if mean <= 0 or mean >= 1:
        low, high = jeffreys_interval(round(mean) * n_questions, n_questions, confidence)
        return float(low), float(high)
    return percentile_interval(replicates, confidence)


def _replicates(
    rows: pl.DataFrame, shares: FloatArray, settings: ResamplingSettings, rng: np.random.Generator
) -> FloatArray | None:
    """Bootstrap means of the columns of shares, shape (B, columns); None with too few keys."""
    keys = codes_of(list(rows.select("domain", "source_key").iter_rows()))
    if not len(keys) or keys.max() + 1 < MIN_KEYS:
        return None
    strata = rows["domain"].to_numpy()[np.unique(keys, return_index=True)[1]]
    weights = bootstrap_weights(strata, settings.n_bootstrap, rng)[:, keys]
    replicates: FloatArray = (weights @ shares) / weights.sum(axis=1, keepdims=True)
    return replicates


def _incomplete(
    part: pl.DataFrame, settings: ResamplingSettings, rng: np.random.Generator
) -> tuple[float | int | None, ...]:
    with_pairs = part.filter(pl.col("n_pairs") > 0)
    if with_pairs.is_empty():
        return 0, 0, None, None, None, None
    n_incomplete = with_pairs["n_incomplete"].to_numpy().astype(np.float64)
    n_pairs = with_pairs["n_pairs"].to_numpy().astype(np.float64)
    shares = n_incomplete / n_pairs
    replicates = _replicates(with_pairs, shares[:, None], settings, rng)
    mean = float(shares.mean())
    spread = None if replicates is None else replicates[:, 0]
    ends = _interval(mean, len(shares), spread, settings.confidence)
    return int(n_incomplete.sum()), len(shares), float(n_incomplete.sum() / n_pairs.sum()), mean, *ends

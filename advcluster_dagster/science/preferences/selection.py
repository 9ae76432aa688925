"""Select preference pairs by quality delta, by cluster, or at random as a control; and compare their lengths.

References:
    Section 4.3 of the paper on preference deltas: the k pairs of largest delta.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from advcluster_dagster.contracts.preferences import DELTA_DIMENSIONS, PREFERENCE_SELECTIONS
from advcluster_dagster.science.preferences.drawing import keep_matched, leave_out
from advcluster_dagster.science.statistics.resampling import (
    MIN_KEYS,
    bootstrap_weights,
    codes_of,
    percentile_interval,
)

#: A control has the same number of pairs per stratum as the selection.
_STRATUM = ("domain", "scheme", "combination")


@dataclass(frozen=True)
class PreferenceSelection:
    """A selection of pairs.

    Attributes:
        rows: Rows of ``preference_selections``, sorted by rank.
        candidates: Columns preference_id, domain, scheme, combination of the pairs eligible for selection.
        left_out: Number of ineligible pairs by reason: ``not_exported``, ``not_rated`` in the dimension,
            ``not_extracted`` (the pair's advantages are unknown).
        n_missing: Number of requested pairs in excess of the available ones.
    """

    rows: pl.DataFrame
    candidates: pl.DataFrame
    left_out: Mapping[str, int]
    n_missing: int = 0


def select_all(preferences: pl.DataFrame) -> PreferenceSelection:
    """Select all exported pairs, ordered by the sha256 of their ids, so that the first n are a random sample.

    Args:
        preferences: Rows of ``preference_pairs`` of all domains of a family, with domain.
    """
    candidates, left_out = _candidates(preferences)
    return _selection("all", candidates.sort(_hash_order()), candidates, left_out)


def select_top_delta(preferences: pl.DataFrame, dimension: str, k: int) -> PreferenceSelection:
    """Select the k exported pairs with the largest delta; ties are broken by the sha256 of the preference id.

    Args:
        preferences: As in :func:`select_all`.
        dimension: One of ``DELTA_DIMENSIONS``.
        k: Number of pairs, >= 0; all rated pairs if there are fewer.

    Raises:
        ValueError: The dimension is unknown, or k is negative.
    """
    if dimension not in DELTA_DIMENSIONS or k < 0:
        raise ValueError(f"top_delta: {dimension!r}, k = {k}; allowed: {', '.join(DELTA_DIMENSIONS)}, and k >= 0")
    delta = f"delta_{dimension}"
    candidates, left_out = _candidates(preferences, delta, "not_rated")
    rows = candidates.sort(pl.col(delta), _hash_order(), descending=[True, False]).head(k)
    return _selection("top_delta", rows, candidates, left_out, k - rows.height)


def select_by_cluster(preferences: pl.DataFrame, clusters: Collection[int]) -> PreferenceSelection:
    """Select the exported pairs with an advantage in one of the given clusters, ordered by the sha256 of their ids.

    Args:
        preferences: As in :func:`select_all`.
        clusters: Cluster ids.
    """
    candidates, left_out = _candidates(preferences, "clusters", "not_extracted")
    meets = pl.col("clusters").list.set_intersection(pl.lit(sorted(set(clusters)), dtype=pl.List(pl.Int64)))
    rows = candidates.filter(meets.list.len() > 0).sort(_hash_order())
    return _selection("cluster", rows, candidates, left_out)


def select_control(controlled: PreferenceSelection, seed: int) -> PreferenceSelection:
    """Select a random control with as many pairs of each domain, scheme and combination as the controlled selection.

    It is sampled from the candidates of the controlled selection, including the selected pairs, so that both differ
    only in the rule. If a selection takes every candidate, the control is identical.

    Args:
        controlled: The controlled selection.
        seed: Seed of the study.
    """
    chosen = controlled.candidates.join(controlled.rows.select("preference_id"), on="preference_id")
    sizes = chosen.group_by(_STRATUM).agg(n_chosen=pl.len())
    ordered = controlled.candidates.sort(_hash_order(f"{seed}\x1fcontrol\x1f"))
    placed = ordered.with_columns(place=pl.int_range(pl.len()).over(_STRATUM))
    joined = placed.join(sizes, on=_STRATUM, how="left", maintain_order="left")
    rows = joined.filter(pl.col("place") < pl.col("n_chosen"))
    return _selection("random", rows, controlled.candidates, controlled.left_out)


def _candidates(
    preferences: pl.DataFrame, column: str | None = None, reason: str = ""
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Exported pairs with a value in the required column, and the number of other pairs by reason."""
    exported = preferences.filter("is_exported")
    candidates = exported if column is None else exported.drop_nulls(column)
    left_out = {"not_exported": preferences.height - exported.height}
    return candidates, left_out if column is None else {**left_out, reason: exported.height - candidates.height}


def _selection(
    name: str, rows: pl.DataFrame, candidates: pl.DataFrame, left_out: Mapping[str, int], n_missing: int = 0
) -> PreferenceSelection:
    ranked = rows.with_columns(selection=pl.lit(name), rank=pl.int_range(1, pl.len() + 1))
    table = ranked.select(pl.col(column).cast(dtype) for column, dtype in PREFERENCE_SELECTIONS.own_schema.items())
    return PreferenceSelection(table, candidates.select("preference_id", *_STRATUM), left_out, n_missing)


def _hash_order(salt: str = "") -> pl.Expr:
    """The sha256 of each preference id, as sort key."""
    return pl.col("preference_id").map_elements(
        lambda name: hashlib.sha256(f"{salt}{name}".encode()).hexdigest(), return_dtype=pl.String
    )


def limit_length_ratio(preferences: pl.DataFrame, max_length_ratio: float, is_matched: bool = False) -> pl.DataFrame:
    """Leave out pairs in which one trace is more than ``max_length_ratio`` times as long as the other, in tokens.

    Preference training easily learns length, so pairs of very unequal lengths teach length. Pairs of unknown lengths
    are left out as ``missing_tokens``; a trace of no tokens is infinitely shorter.

    Args:
        preferences: Rows of ``preference_pairs``.
        max_length_ratio: Maximum ratio, >= 1.
        is_matched: Whether every question must keep equal numbers of pairs of each scheme and combination.

    Raises:
        ValueError: The ratio is below 1.
    """
    if not max_length_ratio >= 1:
        raise ValueError(f"max_length_ratio {max_length_ratio} is below 1")
    tokens = (pl.col("chosen_tokens"), pl.col("rejected_tokens"))
    is_unknown = pl.any_horizontal(side.is_null() for side in tokens)
    is_unequal = pl.max_horizontal(*tokens) > max_length_ratio * pl.min_horizontal(*tokens)
    limited = leave_out(leave_out(preferences, is_unknown, "missing_tokens"), is_unequal, "length_ratio")
    return keep_matched(limited) if is_matched else limited


@dataclass(frozen=True)
class LengthRatios:
    """Token length of chosen relative to rejected traces, for one scheme and combination.

    Attributes:
        n_pairs: Number of exported pairs with a ratio.
        n_keys: Number of their source keys.
        n_undefined: Number of exported pairs without a ratio, because a length is unknown or 0.
        mean: Geometric mean of chosen / rejected, which is 1 if neither side is longer (unlike the arithmetic mean of 2
            and 1/2); None without pairs.
        low: Lower bound of its interval over source keys; None for fewer than five keys.
        high: Upper bound.
        median: Median of the ratios; None without pairs.
        longer_share: Share of pairs whose chosen trace is longer; None without pairs.
    """

    scheme: str
    combination: str
    n_pairs: int
    n_keys: int
    n_undefined: int
    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    longer_share: float | None


def length_ratios(
    preferences: pl.DataFrame, confidence: float, n_bootstrap: int, rng: np.random.Generator
) -> Sequence[LengthRatios]:
    """Compute length ratios of the exported pairs, by scheme and combination in alphabetical order.

    Args:
        preferences: Rows of ``preference_pairs`` of all domains of a family, with domain.
        confidence: Confidence level of the intervals.
        n_bootstrap: Number of replicates, resampling source keys within domains.
        rng: Random generator.
    """
    exported = preferences.filter("is_exported").sort("scheme", "combination", "preference_id")
    parts = exported.partition_by("scheme", "combination", as_dict=True, maintain_order=True)
    return [
        _length_ratios(str(scheme), str(combination), part, confidence, n_bootstrap, rng)
        for (scheme, combination), part in parts.items()
    ]


def _length_ratios(
    scheme: str, combination: str, pairs: pl.DataFrame, confidence: float, n_bootstrap: int, rng: np.random.Generator
) -> LengthRatios:
    defined = pairs.filter(pl.col("chosen_tokens") > 0, pl.col("rejected_tokens") > 0)
    n_undefined = pairs.height - defined.height
    if defined.is_empty():
        return LengthRatios(scheme, combination, 0, 0, n_undefined, None, None, None, None, None)
    ratios = (defined["chosen_tokens"] / defined["rejected_tokens"]).to_numpy()
    keys = codes_of(defined.select("domain", "source_key").rows())
    domains = defined.select("domain", "source_key").unique(maintain_order=True)["domain"].to_numpy()
    low, high = (None, None)
    if len(domains) >= MIN_KEYS:
        weights = bootstrap_weights(domains, n_bootstrap, rng)
        means = (weights @ np.bincount(keys, np.log(ratios))) / (weights @ np.bincount(keys))
        low, high = percentile_interval(np.exp(means), confidence)
    longer = float((ratios > 1).mean())
    return LengthRatios(
        scheme, combination, len(ratios), len(domains), n_undefined, float(np.exp(np.log(ratios).mean())), low, high,
        float(np.median(ratios)), longer,
    )  # fmt: skip

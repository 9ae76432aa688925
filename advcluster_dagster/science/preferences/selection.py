"""Choose among preference pairs: by quality delta, by cluster, at random as the control; and their lengths.

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

#: Pairs of one stratum are alike in what a control must share with the selection beside its size.
_STRATUM = ("domain", "scheme", "combination")


@dataclass(frozen=True)
class PreferenceSelection:
    """Pairs of one selection.

    Attributes:
        rows: rows of ``preference_selections``, by rank.
        candidates: preference_id, domain, scheme, combination of the pairs that could have been chosen.
        left_out: number of the other pairs by why they could not: ``not_exported``, ``not_rated`` in the dimension,
            ``not_extracted`` (no advantages of the pair are known).
        n_missing: pairs asked for beyond those that there are.
    """

    rows: pl.DataFrame
    candidates: pl.DataFrame
    left_out: Mapping[str, int]
    n_missing: int = 0


def select_all(preferences: pl.DataFrame) -> PreferenceSelection:
    """All exported pairs, in the order of the sha256 of their ids, so that the first n are a random draw.

    Args:
        preferences: rows of ``preference_pairs`` of all domains of a family, with domain.
    """
    candidates, left_out = _candidates(preferences)
    return _selection("all", candidates.sort(_hash_order()), candidates, left_out)


def select_top_delta(preferences: pl.DataFrame, dimension: str, k: int) -> PreferenceSelection:
    """The k exported pairs with the largest delta; ties are broken by the sha256 of the preference id.

    Args:
        preferences: as in :func:`select_all`.
        dimension: of ``DELTA_DIMENSIONS``.
        k: number of pairs, at least 0; all rated ones where there are fewer.

    Raises:
        ValueError: the dimension is unknown, or k is negative.
    """
    if dimension not in DELTA_DIMENSIONS or k < 0:
        raise ValueError(f"top_delta of {dimension!r}, {k} pairs; allowed: {', '.join(DELTA_DIMENSIONS)}, 0 or more")
    delta = f"delta_{dimension}"
    candidates, left_out = _candidates(preferences, delta, "not_rated")
    rows = candidates.sort(pl.col(delta), _hash_order(), descending=[True, False]).head(k)
    return _selection("top_delta", rows, candidates, left_out, k - rows.height)


def select_by_cluster(preferences: pl.DataFrame, clusters: Collection[int]) -> PreferenceSelection:
    """The exported pairs with an advantage in one of the named clusters, in the order of the sha256 of their ids.

    Args:
        preferences: as in :func:`select_all`.
        clusters: numbers of clusters.
    """
    candidates, left_out = _candidates(preferences, "clusters", "not_extracted")
    meets = pl.col("clusters").list.set_intersection(pl.lit(sorted(set(clusters)), dtype=pl.List(pl.Int64)))
    rows = candidates.filter(meets.list.len() > 0).sort(_hash_order())
    return _selection("cluster", rows, candidates, left_out)


def select_control(controlled: PreferenceSelection, seed: int) -> PreferenceSelection:
    """A random draw with as many pairs of each domain, scheme and combination as the selection that it controls.

    It is drawn from the pairs that the controlled selection was chosen from, those chosen included, so that both
    differ in the rule alone. Where a selection takes every candidate the control is the same.

    Args:
        controlled: the selection.
        seed: the study's seed.
    """
    chosen = controlled.candidates.join(controlled.rows.select("preference_id"), on="preference_id")
    wanted = chosen.group_by(_STRATUM).agg(n_wanted=pl.len())
    ordered = controlled.candidates.sort(_hash_order(f"{seed}\x1fcontrol\x1f"))
    placed = ordered.with_columns(place=pl.int_range(pl.len()).over(_STRATUM))
    joined = placed.join(wanted, on=_STRATUM, how="left", maintain_order="left")
    rows = joined.filter(pl.col("place") < pl.col("n_wanted"))
    return _selection("random", rows, controlled.candidates, controlled.left_out)


def _candidates(
    preferences: pl.DataFrame, needed: str | None = None, reason: str = ""
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Exported pairs with a value in the column that is needed, and the number of the others by reason."""
    exported = preferences.filter("is_exported")
    candidates = exported if needed is None else exported.drop_nulls(needed)
    left_out = {"not_exported": preferences.height - exported.height}
    return candidates, left_out if needed is None else {**left_out, reason: exported.height - candidates.height}


def _selection(
    name: str, rows: pl.DataFrame, candidates: pl.DataFrame, left_out: Mapping[str, int], n_missing: int = 0
) -> PreferenceSelection:
    ranked = rows.with_columns(selection=pl.lit(name), rank=pl.int_range(1, pl.len() + 1))
    table = ranked.select(pl.col(column).cast(dtype) for column, dtype in PREFERENCE_SELECTIONS.own_schema.items())
    return PreferenceSelection(table, candidates.select("preference_id", *_STRATUM), left_out, n_missing)


def _hash_order(salt: str = "") -> pl.Expr:
    """The sha256 of each preference id, to order by."""
    return pl.col("preference_id").map_elements(
        lambda name: hashlib.sha256(f"{salt}{name}".encode()).hexdigest(), return_dtype=pl.String
    )


def limit_length_ratio(preferences: pl.DataFrame, max_length_ratio: float, is_matched: bool = False) -> pl.DataFrame:
    """Leave out pairs of which a trace is more than ``max_length_ratio`` times as long as the other, in tokens.

    Length is what preference training picks up first, so very unequal pairs teach length. Pairs whose lengths are
    unknown are left out as ``missing_tokens``; a trace of no tokens is infinitely shorter.

    Args:
        preferences: rows of ``preference_pairs``.
        max_length_ratio: at least 1.
        is_matched: whether every question must keep equally many pairs of each scheme and combination.

    Raises:
        ValueError: the ratio is below 1.
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
    """How long the chosen traces of a scheme and combination are beside the rejected ones, in tokens.

    Attributes:
        n_pairs: exported pairs with a ratio.
        n_keys: source keys among them.
        n_undefined: exported pairs without: a length is unknown or 0.
        mean: geometric mean of chosen / rejected, which is 1 where neither side is the longer one (the arithmetic mean
            of 2 and 1/2 is not); None without any.
        low: lower end of its interval over source keys; None below five keys.
        high: upper end.
        median: of the ratios; None without any.
        longer_share: share of pairs whose chosen trace is the longer one; None without any.
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
    """Length ratios of the exported pairs, by scheme and combination in alphabetical order.

    Args:
        preferences: rows of ``preference_pairs`` of all domains of a family, with domain.
        confidence: of the intervals.
        n_bootstrap: replicates, drawn over source keys within domains.
        rng: source of random numbers.
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

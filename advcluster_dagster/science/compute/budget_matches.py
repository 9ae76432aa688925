"""How many samples of the smaller model come up to one trial of the larger, and what they cost beside it."""

from typing import Any

import polars as pl

from advcluster_dagster.contracts.compute import BUDGET_MATCHES

#: Accuracies closer than this are equal: they were summed in another order.
_SAME = 1e-9


def budget_matches(curves: pl.DataFrame) -> pl.DataFrame:
    """Smallest k with which the smaller model's accuracy is at least the lower end of the larger one's interval.

    k = 1 is one trial. pass@k needs a perfect checker, so its k is a lower bound for any way to choose among samples.
    The interval is that of the larger model alone: reaching it does not show that the two are equal.

    Args:
        curves: rows of ``budget_curves`` of one family.

    Returns:
        Rows of ``budget_matches``, a majority and a pass_at_k row for each domain in which both models have a
        ``single`` row. Ratios are null where a cost is not known or the larger model's is 0.
    """
    rows = []
    for (domain,), part in curves.group_by("domain", maintain_order=True):
        larger = part.filter(pl.col("role") == "larger", pl.col("strategy") == "single")
        smaller = part.filter(pl.col("role") == "smaller")
        if larger.is_empty() or smaller.filter(pl.col("strategy") == "single").is_empty():
            continue
        for strategy in ("majority", "pass_at_k"):
            tried = smaller.filter(pl.col("strategy").is_in(["single", strategy])).sort("k")
            rows.append({"domain": domain, "strategy": strategy, **_match(larger.row(0, named=True), tried)})
    return pl.DataFrame(rows, schema=BUDGET_MATCHES.own_schema)


def _match(larger: dict[str, Any], tried: pl.DataFrame) -> dict[str, object]:
    """The columns behind the key; ``tried`` are the smaller model's rows by k."""
    columns = {
        "outcome": "no_interval" if larger["low"] is None else "not_reached",
        "largest_k": tried["k"].max(),
        "larger_accuracy": larger["accuracy"],
        "larger_low": larger["low"],
        "larger_high": larger["high"],
    }
    reaching = tried.filter(pl.col("accuracy") >= pl.lit(larger["low"], dtype=pl.Float64) - _SAME)
    if reaching.is_empty():
        return columns
    first = reaching.row(0, named=True)
    ratios = {f"{name}_ratio": _ratio(first[name], larger[name]) for name in ("flops", "tokens", "cost")}
    return columns | {"outcome": "reached", "k": first["k"], "smaller_accuracy": first["accuracy"], **ratios}


def _ratio(of: float | None, to: float | None) -> float | None:
    return None if of is None or not to else of / to

"""Number of samples with which the smaller model matches one trial of the larger model, and their relative cost."""

from typing import Any

import polars as pl

from advcluster_dagster.contracts.compute import BUDGET_MATCHES

#: Accuracies closer than this are equal, since they may differ by summation order.
_TOLERANCE = 1e-9


def budget_matches(curves: pl.DataFrame) -> pl.DataFrame:
    """Find the smallest k with which the smaller model reaches the lower bound of the larger model's interval.

    k = 1 is one trial. pass@k needs a perfect checker, so its k is a lower bound for any method of choosing among
    samples. The interval covers the larger model's accuracy only, so reaching it does not show equality.

    Args:
        curves: Rows of ``budget_curves`` of one family.

    Returns:
        Rows of ``budget_matches``, a majority and a pass_at_k row for each domain in which both models have a
        ``single`` row. Ratios are null if a cost is unknown or the larger model's cost is 0.
    """
    rows = []
    for (domain,), part in curves.group_by("domain", maintain_order=True):
        larger = part.filter(pl.col("role") == "larger", pl.col("strategy") == "single")
        smaller = part.filter(pl.col("role") == "smaller")
        if larger.is_empty() or smaller.filter(pl.col("strategy") == "single").is_empty():
            continue
        for strategy in ("majority", "pass_at_k"):
            options = smaller.filter(pl.col("strategy").is_in(["single", strategy])).sort("k")
            rows.append({"domain": domain, "strategy": strategy, **_match(larger.row(0, named=True), options)})
    return pl.DataFrame(rows, schema=BUDGET_MATCHES.own_schema)


def _match(larger: dict[str, Any], options: pl.DataFrame) -> dict[str, object]:
    """Compute the non-key columns; ``options`` are the smaller model's rows, sorted by k."""
    columns = {
        "outcome": "no_interval" if larger["low"] is None else "not_reached",
        "largest_k": options["k"].max(),
        "larger_accuracy": larger["accuracy"],
        "larger_low": larger["low"],
        "larger_high": larger["high"],
    }
    reaching = options.filter(pl.col("accuracy") >= pl.lit(larger["low"], dtype=pl.Float64) - _TOLERANCE)
    if reaching.is_empty():
        return columns
    first = reaching.row(0, named=True)
    ratios = {f"{name}_ratio": _ratio(first[name], larger[name]) for name in ("flops", "tokens", "cost")}
    return columns | {"outcome": "reached", "k": first["k"], "smaller_accuracy": first["accuracy"], **ratios}


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or not denominator else numerator / denominator

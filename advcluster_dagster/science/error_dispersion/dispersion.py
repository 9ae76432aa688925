"""The Error Dispersion Index (paper appendix A.5, equations 1 and 2)."""

from collections.abc import Sequence
from math import log2

import polars as pl

from advcluster_dagster.contracts.error_dispersion import ERROR_DISPERSION
from advcluster_dagster.contracts.vocabularies import N_DEPTHS


def entropy(counts: Sequence[int]) -> float:
    """Empirical Shannon entropy of counts, H = -sum p_i log2 p_i over p_i > 0, in bits.

    0 when all errors share one depth; log2(5) at most. Raises nothing for counts that sum to zero: H is 0 then, but
    no index follows from it.

    References:
        Paper equation 1.

    >>> round(entropy([7, 3, 0, 0, 0]), 6)
    0.881291
    """
    total = sum(counts)
    # Summed in one order: evenly spread counts then give H = H_max to the last bit, wherever the odd ones stand.
    terms = (count / total * log2(total / count) for count in sorted(counts) if count)
    return sum(terms, 0.0)


def max_entropy(n_errors: int, n_depths: int = N_DEPTHS) -> float:
    """H_max(N, D): entropy of N errors spread as evenly as possible over D depths, in bits; 0 for N <= 1.

    N mod D depths hold one error more than the others.

    References:
        Paper appendix A.5.

    >>> round(max_entropy(7), 6)
    2.235926
    """
    quotient, remainder = divmod(n_errors, n_depths)
    return entropy([quotient + 1] * remainder + [quotient] * (n_depths - remainder))


def error_dispersion_index(counts: Sequence[int]) -> float | None:
    """EDI = H / H_max(N, 5), in [0, 1]: 0 the same depth every time, 1 as scattered as N errors can be.

    None for N <= 1, where H_max is 0 and the index undefined.

    References:
        Paper equation 2.

    >>> round(error_dispersion_index([3, 2, 1, 1, 0]), 6)
    0.823986
    """
    highest = max_entropy(sum(counts), len(counts))
    return entropy(counts) / highest if highest > 0 else None


def concentration(counts: Sequence[int]) -> float | None:
    """Chance that two first errors of a question share a depth, sum of c (c - 1) / (N (N - 1)), in [0, 1].

    Unbiased at any N, so that questions with different numbers of errors can be compared; None for N <= 1.

    References:
        Simpson (1949), Measurement of diversity.

    >>> round(concentration([7, 3, 0, 0, 0]), 4)
    0.5333
    """
    total = sum(counts)
    return sum(count * (count - 1) for count in counts) / (total * (total - 1)) if total > 1 else None


def measure_error_dispersion(questions: pl.DataFrame, first_errors: pl.DataFrame) -> pl.DataFrame:
    """One row a kept question: first errors by depth, entropy, index, mean depth.

    A question without first errors (every extraction of it failed) has n_errors 0 and null for the rest.

    Args:
        questions: rows of ``analysis_question_set``.
        first_errors: rows of ``first_errors``.

    Returns:
        Rows of ``error_dispersion`` in the order of ``questions``.
    """
    columns = [f"n_depth_{depth}" for depth in range(1, N_DEPTHS + 1)]
    counted = first_errors.group_by("question_id").agg(
        (pl.col("depth") == depth).sum().cast(pl.Int64).alias(f"n_depth_{depth}") for depth in range(1, N_DEPTHS + 1)
    )
    joined = questions.select("question_id").join(counted, on="question_id", how="left", maintain_order="left")
    rows = [
        (question_id, *_measures([count or 0 for count in counts]))
        for question_id, *counts in joined.select("question_id", *columns).iter_rows()
    ]
    return pl.DataFrame(rows, schema=ERROR_DISPERSION.own_schema, orient="row")


def _measures(counts: list[int]) -> tuple[int | float | None, ...]:
    n_errors = sum(counts)
    if not n_errors:
        return (0, *counts, None, None, None, None, 0, None)
    mean_depth = sum(depth * count for depth, count in enumerate(counts, start=1)) / n_errors
    index, n_same = error_dispersion_index(counts), sum(count * (count - 1) for count in counts)
    return (
        n_errors,
        *counts,
        entropy(counts),
        max_entropy(n_errors),
        index,
        mean_depth,
        n_same,
        concentration(counts),
    )

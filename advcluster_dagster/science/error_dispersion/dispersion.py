"""The Error Dispersion Index (paper appendix A.5, equations 1 and 2)."""

from collections.abc import Sequence
from math import log2

import polars as pl

from advcluster_dagster.contracts.error_dispersion import ERROR_DISPERSION
from advcluster_dagster.contracts.vocabularies import N_DEPTHS


def entropy(counts: Sequence[int]) -> float:
    """Empirical Shannon entropy of counts, H = -sum p_i log2 p_i over p_i > 0, in bits.

    0 if all errors share one depth, at most log2(5) for five depths; 0 if the counts sum to zero.

    References:
        Paper equation 1.

    >>> round(entropy([7, 3, 0, 0, 0]), 6)
    0.881291
    """
    total = sum(counts)
    # Summed in sorted order, so that evenly spread counts give exactly H = H_max in any permutation.
    terms = (count / total * log2(total / count) for count in sorted(counts) if count)
    return sum(terms, 0.0)


def max_entropy(n_errors: int, n_depths: int = N_DEPTHS) -> float:
    """H_max(N, D): maximum entropy, of N errors spread as evenly as possible over D depths, in bits; 0 for N <= 1.

    N mod D depths have one error more than the others.

    References:
        Paper appendix A.5.

    >>> round(max_entropy(7), 6)
    2.235926
    """
    quotient, remainder = divmod(n_errors, n_depths)
    return entropy([quotient + 1] * remainder + [quotient] * (n_depths - remainder))


def error_dispersion_index(counts: Sequence[int]) -> float | None:
    """EDI = H / H_max(N, 5), in [0, 1]: 0 if all errors share a depth, 1 for maximum dispersion of N errors.

    None for N <= 1, since H_max is 0 and the index undefined.

    References:
        Paper equation 2.

    >>> round(error_dispersion_index([3, 2, 1, 1, 0]), 6)
    0.823986
    """
    highest = max_entropy(sum(counts), len(counts))
    return entropy(counts) / highest if highest > 0 else None


def concentration(counts: Sequence[int]) -> float | None:
    """Probability that two first errors of a question share a depth, sum of c (c - 1) / (N (N - 1)), in [0, 1].

    Unbiased for any N, so comparable between questions with different numbers of errors; None for N <= 1.

    References:
        Simpson (1949), Measurement of diversity.

    >>> round(concentration([7, 3, 0, 0, 0]), 4)
    0.5333
    """
    total = sum(counts)
    return sum(count * (count - 1) for count in counts) / (total * (total - 1)) if total > 1 else None


def measure_error_dispersion(questions: pl.DataFrame, first_errors: pl.DataFrame) -> pl.DataFrame:
    """Measure the error dispersion of each selected question: first errors by depth, entropy, index, mean depth.

    A question without first errors (all its extractions failed) has n_errors 0 and null measures.

    Args:
        questions: Rows of ``analysis_question_set``.
        first_errors: Rows of ``first_errors``.

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

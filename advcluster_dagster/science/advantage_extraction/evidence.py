"""Do the passages that the extractor quotes stand in the traces? A quote that does not is no evidence."""

import polars as pl

from advcluster_dagster.contracts.advantage_extraction import EVIDENCE_CHECKS
from advcluster_dagster.science.quotes import find_passage


def check_evidence(corpus: pl.DataFrame, errors: pl.DataFrame, traces: pl.DataFrame) -> pl.DataFrame:
    """Look up the quotes of every advantage, and the place of its pair's first error.

    Args:
        corpus: rows of ``advantage_corpus``.
        errors: rows of ``first_errors``.
        traces: pair_id, larger_response, smaller_response.

    Returns:
        Rows of ``evidence_checks``. A quote is verbatim but for spacing; an empty one counts as none.
    """
    responses = {pair_id: (larger, smaller) for pair_id, larger, smaller in traces.iter_rows()}
    positions = {
        pair_id: relative_position(quote, responses[pair_id][1])
        for pair_id, quote in errors.select("pair_id", "quote").iter_rows()
    }
    rows = []
    for advantage_id, pair_id, larger_quote, smaller_quote in corpus.select(
        "advantage_id", "pair_id", "larger_quote", "smaller_quote"
    ).iter_rows():
        found = [
            _stands_in(quote, response)
            for quote, response in zip((larger_quote, smaller_quote), responses[pair_id], strict=True)
        ]
        given = [outcome for outcome in found if outcome is not None]
        rows.append((advantage_id, len(given), *found, bool(given) and all(given), positions.get(pair_id)))
    return pl.DataFrame(rows, schema=EVIDENCE_CHECKS.own_schema, orient="row")


def _stands_in(quote: str | None, response: str | None) -> bool | None:
    """Whether a quote stands in a trace; None for no quote."""
    if not quote or not quote.strip():
        return None
    return bool(find_passage(quote.strip(), response or "").spans)


def relative_position(quote: str | None, response: str | None) -> float | None:
    """Where a passage begins, as a share of the trace's length in [0, 1]; None where it does not stand there.

    >>> relative_position("c", "abc d"), relative_position("x", "abc")
    (None, None)
    >>> relative_position("second step", "first step, second step")
    0.5217391304347826
    """
    if not quote or not quote.strip() or not response:
        return None
    spans = find_passage(quote.strip(), response).spans
    return spans[0][0] / len(response) if spans else None

"""Check that the passages quoted by the extractor occur in the traces; a quote that does not is not evidence."""

import polars as pl

from advcluster_dagster.contracts.advantage_extraction import EVIDENCE_CHECKS
from advcluster_dagster.science.quotes import find_passage


def check_evidence(corpus: pl.DataFrame, errors: pl.DataFrame, traces: pl.DataFrame) -> pl.DataFrame:
    """Look up the quotes of every advantage, and the position of its pair's first error.

    Args:
        corpus: Rows of ``advantage_corpus``.
        errors: Rows of ``first_errors``.
        traces: Columns pair_id, larger_response, smaller_response.

    Returns:
        Rows of ``evidence_checks``. Quotes must match verbatim except for white space; an empty quote counts as none.
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
        matches = [
            _occurs_in(quote, response)
            for quote, response in zip((larger_quote, smaller_quote), responses[pair_id], strict=True)
        ]
        checked = [match for match in matches if match is not None]
        rows.append((advantage_id, len(checked), *matches, bool(checked) and all(checked), positions.get(pair_id)))
    return pl.DataFrame(rows, schema=EVIDENCE_CHECKS.own_schema, orient="row")


def _occurs_in(quote: str | None, response: str | None) -> bool | None:
    """Whether a quote occurs in a trace; None without a quote."""
    if not quote or not quote.strip():
        return None
    return bool(find_passage(quote.strip(), response or "").spans)


def relative_position(quote: str | None, response: str | None) -> float | None:
    """Start of a passage as a share of the trace's length, in [0, 1); None if it does not occur.

    >>> relative_position("c", "abc d"), relative_position("x", "abc")
    (None, None)
    >>> relative_position("second step", "first step, second step")
    0.5217391304347826
    """
    if not quote or not quote.strip() or not response:
        return None
    spans = find_passage(quote.strip(), response).spans
    return spans[0][0] / len(response) if spans else None

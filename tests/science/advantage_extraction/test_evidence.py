"""Lookup of the extractor's quotes in the traces."""

import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.science.advantage_extraction.evidence import check_evidence, relative_position

LARGER, SMALLER = "First, F = m * a.\nThen a = 3.", "First, F = m / a. Then a = 12."


def checked(larger_quote, smaller_quote, failure_quote="F = m / a"):
    corpus = pl.DataFrame(
        [("q:0:0", "q:0", larger_quote, smaller_quote)],
        schema=["advantage_id", "pair_id", "larger_quote", "smaller_quote"], orient="row",
    )  # fmt: skip
    errors = pl.DataFrame({"pair_id": ["q:0"], "quote": [failure_quote]})
    traces = pl.DataFrame({"pair_id": ["q:0"], "larger_response": [LARGER], "smaller_response": [SMALLER]})
    table = check_evidence(corpus, errors, traces)
    TABLES["evidence_checks"].check(TABLES["evidence_checks"].conform(table.lazy(), {"family": "f", "domain": "d"}))
    return table.row(0, named=True)


@pytest.mark.parametrize(
    ("larger", "smaller", "n", "in_larger", "in_smaller", "supported"),
    [
        ("F = m * a", "F = m / a", 2, True, True, True),
        ("a.   Then a = 3", "", 1, True, None, True),  # white space may differ
        ("F = m / a", "F = m / a", 2, False, True, False),  # quoted from the other trace
        ("", "", 0, None, None, False),
        (" \n", "a = 13", 1, None, False, False),
    ],
)
def test_quotes_must_occur_in_their_own_trace(larger, smaller, n, in_larger, in_smaller, supported):
    row = checked(larger, smaller)
    assert (row["n_quotes"], row["is_in_larger"], row["is_in_smaller"]) == (n, in_larger, in_smaller)
    assert row["is_supported"] is supported


def test_position_of_the_first_error():
    assert checked("", "")["failure_position"] == SMALLER.index("F = m / a") / len(SMALLER)
    assert checked("", "", "not there")["failure_position"] is None
    assert relative_position("x", None) is None


def test_no_advantages():
    empty = pl.DataFrame(schema={"advantage_id": pl.String, "pair_id": pl.String, "larger_quote": pl.String,
                                 "smaller_quote": pl.String})  # fmt: skip
    errors = pl.DataFrame(schema={"pair_id": pl.String, "quote": pl.String})
    traces = pl.DataFrame(schema={"pair_id": pl.String, "larger_response": pl.String, "smaller_response": pl.String})
    assert check_evidence(empty, errors, traces).is_empty()

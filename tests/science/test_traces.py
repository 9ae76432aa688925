"""Traces of both models in one frame."""

import polars as pl

from advcluster_dagster.science.traces import stack_traces

LARGER = pl.LazyFrame({"question_id": ["b", "a"], "trial": [0, 1], "response": ["x", None]})
EMPTY = LARGER.head(0)


def test_rows_of_the_larger_model_come_first_in_their_order():
    smaller = pl.LazyFrame({"question_id": ["a"], "trial": [0], "response": ["y"]})
    stacked = stack_traces(LARGER, smaller, ("question_id", "response")).collect()
    assert stacked.rows() == [("b", "x", "larger"), ("a", None, "larger"), ("a", "y", "smaller")]
    assert stacked.columns == ["question_id", "response", "role"]


def test_a_model_without_traces_has_no_rows():
    assert stack_traces(LARGER, EMPTY, ("trial",)).collect().rows() == [(0, "larger"), (1, "larger")]
    assert stack_traces(EMPTY, EMPTY, ("trial",)).collect().schema == {"trial": pl.Int64, "role": pl.String}

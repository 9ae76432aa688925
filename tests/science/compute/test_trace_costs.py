"""Costs of single traces, by hand; unknown costs are null."""

import polars as pl
import pytest

from advcluster_dagster.contracts.compute import TRACE_COSTS
from advcluster_dagster.science.compute.model_shapes import ModelShape
from advcluster_dagster.science.compute.trace_costs import trace_costs

SHAPE = ModelShape(vocabulary=10, width=4, feed_forward=8, heads=2, layers=1)
SCHEMA = {
    "question_id": pl.String,
    "benchmark": pl.String,
    "role": pl.String,
    "trial": pl.Int64,
    "verdict": pl.String,
    "is_correct": pl.Boolean,
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
}


def trials(*rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def costs(frame, shapes, prices):
    table = trace_costs(frame, shapes, prices)
    TRACE_COSTS.check(TRACE_COSTS.conform(table.lazy(), {"family": "f", "domain": "d"}))
    return table


def test_one_trace_by_hand():
    row = ("q", "b", "smaller", 0, "correct", True, 3, 2)
    table = costs(trials(row), {"smaller": SHAPE}, {"smaller": (2.0, 10.0)})
    # Published: 2,316. By layers: W = 4*16 + 3*32 = 160; 5 tokens * 320 + 3 * 80 (logits) + (4*4 + 3*2) * 15 = 2,170.
    assert table.select("flops_published", "flops").row(0) == (2316, 2170)
    # 3 tokens at 2 dollars and 2 at 10 dollars a million: 26 millionths.
    assert table["cost"][0] == pytest.approx(26e-6)
    assert table.select("is_truncated", "is_correct").row(0) == (False, True)


def test_unknown_costs_are_null():
    rows = [
        ("q1", "b", "larger", 0, "correct", True, 3, 2),
        ("q1", "b", "smaller", 0, "wrong", False, None, 2),
        ("q1", "b", "smaller", 1, "missing_response", None, None, None),
        ("q1", "b", "smaller", 2, "truncated", False, 3, 2),
    ]
    table = costs(trials(*rows), {"larger": None, "smaller": SHAPE}, {"smaller": (0.0, 10.0)})
    assert table["flops"].to_list() == [None, None, None, 2170]
    assert table["flops_published"].to_list() == [None, None, None, 2316]
    # Prompt tokens are free, so their unknown number does not affect the money.
    assert table["cost"].to_list() == [None, pytest.approx(20e-6), None, pytest.approx(20e-6)]
    assert table["is_truncated"].to_list() == [False, False, False, True]


def test_free_models_cost_zero_and_unpriced_models_null():
    rows = trials(("q", "b", "larger", 0, "wrong", False, None, None), ("q", "b", "smaller", 0, "wrong", False, 1, 1))
    assert costs(rows, {}, {"larger": (0.0, 0.0), "smaller": None})["cost"].to_list() == [0.0, None]


def test_rows_are_sorted_and_no_trials_give_no_rows():
    rows = [(q, "b", role, t, "correct", True, 3, 2) for q in "ba" for role in ("smaller", "larger") for t in (1, 0)]
    shapes = {"larger": SHAPE, "smaller": SHAPE}
    table = costs(trials(*rows), shapes, {})
    assert table.equals(costs(trials(*rows[::-1]), shapes, {}))
    assert table.select("question_id", "role", "trial").row(0) == ("a", "larger", 0)
    assert costs(trials(), shapes, {}).is_empty()

"""Length effects by hand, and intervals of their mean."""

import math

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.science.compute.length_effects import mean_intervals, question_length_effects

SCHEMA = {
    "question_id": pl.String,
    "role": pl.String,
    "completion_tokens": pl.Int64,
    "is_correct": pl.Boolean,
    "is_truncated": pl.Boolean,
}


def effects(*rows):
    return question_length_effects(pl.DataFrame(rows, schema=SCHEMA, orient="row"))


def test_a_question_by_hand():
    # Right: 64 and 256, mean log2 7; wrong: 512 and, truncated, 2,048, mean log2 10, without it 9.
    table = effects(
        ("q", "larger", 64, True, False),
        ("q", "larger", 256, True, False),
        ("q", "larger", 512, False, False),
        ("q", "larger", 2048, False, True),
    )
    assert table.row(0) == ("q", "larger", 3.0, 2.0)


def test_questions_with_one_outcome_have_no_effect():
    table = effects(
        ("a", "larger", 64, True, False),
        ("b", "larger", 64, False, False),
        ("c", "larger", 64, True, False),
        ("c", "larger", 128, False, True),
    )
    assert table["length_effect"].to_list() == [None, None, 1.0]
    assert table["length_effect_finished"].to_list() == [None, None, None]


def test_trials_without_a_length_or_a_score_are_ignored():
    table = effects(
        ("q", "larger", 8, True, False),
        ("q", "larger", 32, False, False),
        ("q", "larger", None, False, False),
        ("q", "larger", 0, False, False),
        ("q", "larger", 10_000, None, False),
    )
    assert table["length_effect"].to_list() == [2.0]
    assert effects().is_empty()
    assert effects(("q", "larger", None, None, False)).is_empty()


def test_intervals_need_five_keys_and_have_zero_width_for_equal_values():
    keys = np.array([0, 1, 2, 3, 4, 4])
    same, few = np.full(6, 0.7), np.array([1.0, 2, 3, 4, math.nan, math.nan])
    rng = np.random.default_rng(0)
    assert mean_intervals([same, few], keys, ["d"] * 5, 0.95, 300, rng) == [pytest.approx((0.7, 0.7)), (None, None)]
    assert mean_intervals([few], keys, ["d"] * 5, 0.95, 300, rng) == [(None, None)]
    assert mean_intervals([], keys, ["d"] * 5, 0.95, 300, rng) == []


def test_the_interval_of_the_mean_is_clustered_by_key():
    values = np.random.default_rng(1).normal(size=400)
    keys = np.repeat(np.arange(200), 2)
    ((low, high),) = mean_intervals([values], keys, np.zeros(200), 0.95, 2000, np.random.default_rng(2))
    sums = values.reshape(200, 2).sum(axis=1)
    reach = 1.96 * np.sqrt(200) * sums.std() / 400
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.012)

"""Calibration checks of the rater, by hand."""

from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.ratings import DIMENSIONS, LOGIC_DIMENSIONS, RATING_CALIBRATIONS
from advcluster_dagster.science.ratings.calibration import Bootstrap, discrimination, fault_changes, rating_calibrations
from advcluster_dagster.science.ratings.reliability import trace_sums

TRACE = {"question_id": pl.String, "role": pl.String, "trial": pl.Int64}
RATING = {**TRACE, "dimension": pl.String, "generation": pl.Int64, "score": pl.Int64}


def bootstrap():
    return Bootstrap(0.95, 400, np.random.default_rng(0))


def study(items, dimensions=DIMENSIONS):
    """Ratings and traces from (question, role, trial, is_correct, scores of the generations)."""
    rated = [
        (question, role, trial, dimension, generation, score)
        for question, role, trial, _, scores in items
        for dimension in dimensions
        for generation, score in enumerate(scores)
    ]
    traces = [("d", question, question, role, trial, is_correct) for question, role, trial, is_correct, _ in items]
    schema = {"domain": pl.String, "source_key": pl.String, **TRACE, "is_correct": pl.Boolean}
    return pl.DataFrame(rated, schema=RATING, orient="row"), pl.DataFrame(traces, schema=schema, orient="row")


def faults(*rows):
    """(question, fault, dimension, scores) of the larger model's trial 0."""
    rows = [(question, "larger", 0, fault, dimension, generation, score)
            for question, fault, dimension, scores in rows for generation, score in enumerate(scores)]  # fmt: skip
    schema = {**TRACE, "fault": pl.String, "dimension": pl.String, "generation": pl.Int64, "score": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def checked(table):
    RATING_CALIBRATIONS.check(RATING_CALIBRATIONS.conform(table.lazy(), {"family": "f"}))
    return table


def areas(items):
    rated, traces = study(items, ("strategy",))
    rows = discrimination(trace_sums(rated).join(traces, on=list(TRACE)))
    return dict(rows.select("question_id", "area").iter_rows())


def test_area_of_one_question():
    # Right 4.5 and 3, wrong 3 and 2: the couples (4.5,3) (4.5,2) (3,2) are ordered and (3,3) is tied: 3.5 / 4.
    items = [("q", "larger", 0, True, (4, 5)), ("q", "larger", 1, True, (3,)), ("q", "larger", 2, False, (3,)),
             ("q", "larger", 3, False, (2,))]  # fmt: skip
    assert areas(items) == {"q": 0.875}


def test_roles_of_a_question_are_compared_separately_and_averaged():
    # The smaller model's right trace scores below the larger model's wrong trace; within each role the right trace
    # scores above the wrong trace or equally: (1 + 1/2) / 2. Question r has no wrong trace, s no verdict for one.
    items = [("q", "larger", 0, True, (5,)), ("q", "larger", 1, False, (4,)), ("q", "smaller", 0, True, (2,)),
             ("q", "smaller", 1, False, (2,)), ("r", "larger", 0, True, (5,)), ("r", "smaller", 0, False, (1,)),
             ("s", "larger", 0, True, (5,)), ("s", "larger", 1, None, (1,))]  # fmt: skip
    assert areas(items) == {"q": 0.75}


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), min_size=1, max_size=8))
def test_area_counts_couples(traces):
    items = [("q", "larger", i, is_correct, (score,)) for i, (is_correct, score) in enumerate(traces)]
    right, wrong = ([score for is_correct, score in traces if is_correct is side] for side in (True, False))
    couples = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(right, wrong)]
    assert areas(items) == ({"q": pytest.approx(np.mean(couples))} if couples else {})


def right_and_wrong(n, right=(5, 5), wrong=(2, 2)):
    return [
        (f"q{i}", "larger", trial, trial == 0, scores) for i in range(n) for trial, scores in enumerate((right, wrong))
    ]


def rows_of(table, check):
    return {row["dimension"]: row for row in table.filter(check=check).to_dicts()}


def test_a_consistent_and_discriminating_rater():
    each = [("changed_number", "computational_precision", (3, 3)), ("changed_number", "factuality", (5, 4)),
            ("added_filler", "signal_to_noise", (1, 2)), ("added_filler", "strategy", (4, 4))]  # fmt: skip
    seen = [(f"q{i}", *fault) for i in range(6) for fault in each]
    table = checked(rating_calibrations(*study(right_and_wrong(6)), faults(*seen), bootstrap()))
    assert table.height == 5 + 4 + 5 + 5
    repeat = rows_of(table, "repeatability")["strategy"]
    assert (repeat["estimate"], repeat["low"], repeat["high"], repeat["n"], repeat["n_keys"]) == (1, 1, 1, 12, 6)
    area = rows_of(table, "discrimination")
    assert tuple(area) == LOGIC_DIMENSIONS
    assert (area["strategy"]["estimate"], area["strategy"]["low"], area["strategy"]["n"]) == (1, 1, 6)
    number = rows_of(table, "changed_number")
    assert (number["computational_precision"]["estimate"], number["computational_precision"]["high"]) == (-2, -2)
    assert (number["factuality"]["estimate"], number["strategy"]["estimate"]) == (-0.5, None)
    filler = rows_of(table, "added_filler")
    assert (filler["signal_to_noise"]["estimate"], filler["strategy"]["estimate"]) == (-3.5, -1)
    passed = {check: {name: row["is_passed"] for name, row in rows_of(table, check).items()}
              for check in table["check"].unique()}  # fmt: skip
    assert set(passed["repeatability"].values()) == set(passed["discrimination"].values()) == {True}
    assert (number["computational_precision"]["is_passed"], number["factuality"]["is_passed"]) == (True, True)
    assert (number["strategy"]["is_passed"], filler["strategy"]["is_passed"]) == (None, False)


def test_a_guessing_rater():
    rated = study(right_and_wrong(6, right=(5, 1), wrong=(4, 3)))
    blind = [(f"q{i}", "changed_number", "computational_precision", (3, 3)) for i in range(6)]
    table = checked(rating_calibrations(*rated, faults(*blind), bootstrap()))
    # Means 3 and 3.5: MSB = 12 * 2 * .25^2 / 11 = 1.5 / 11; MSW = 6 * (8 + .5) / 12 = 4.25.
    repeat = rows_of(table, "repeatability")["strategy"]
    assert (repeat["estimate"], repeat["is_passed"]) == (pytest.approx(1 - 4.25 * 11 / 1.5), False)
    assert rows_of(table, "discrimination")["strategy"]["is_passed"] is False
    assert rows_of(table, "changed_number")["computational_precision"]["is_passed"] is False


def test_few_keys_give_values_without_interval_or_verdict():
    seen = faults(("q0", "changed_number", "computational_precision", (1,)))
    table = checked(rating_calibrations(*study(right_and_wrong(2)), seen, bootstrap()))
    assert (table["low"].null_count(), table["high"].null_count()) == (table.height, table.height)
    assert rows_of(table, "repeatability")["strategy"]["estimate"] == 1
    number = rows_of(table, "changed_number")["computational_precision"]
    assert (number["estimate"], number["n"], number["is_passed"]) == (-4, 1, None)


@pytest.mark.parametrize("items", [[], right_and_wrong(6, (None,), (None,)), right_and_wrong(6, (3, 3), (3, 3))])
def test_without_ratings_or_with_equal_scores(items):
    table = checked(rating_calibrations(*study(items), faults(), bootstrap()))
    assert table.height == 19
    repeat = rows_of(table, "repeatability")["factuality"]
    assert (repeat["estimate"], repeat["low"], repeat["is_passed"]) == (None, None, None)
    assert rows_of(table, "added_filler")["signal_to_noise"]["n"] == 0
    equal = bool(items) and items[0][-1] == (3, 3)
    area = rows_of(table, "discrimination")["strategy"]
    assert (area["estimate"], area["is_passed"]) == ((0.5, False) if equal else (None, None))


def test_changes_are_relative_to_the_same_trace():
    rated, traces = study([("q", "larger", 0, True, (4, 5)), ("q", "larger", 1, True, (1, 1))], ("strategy",))
    changed = faults(("q", "changed_number", "strategy", (3, 3, 4)), ("q", "changed_number", "factuality", (3,)))
    changes = fault_changes(trace_sums(rated), trace_sums(changed, "fault").join(traces, on=list(TRACE)))
    # 10/3 - 9/2; factuality was not rated before.
    assert changes["change"].to_list() == pytest.approx([10 / 3 - 4.5])


def test_the_result_is_independent_of_row_order():
    rng = np.random.default_rng(1)
    items = [(f"q{i}", role, trial, bool(rng.integers(2)), tuple(rng.integers(1, 6, 3).tolist()))
             for i in range(8) for role in ("larger", "smaller") for trial in range(3)]  # fmt: skip
    seen = faults(*((f"q{i}", "added_filler", name, tuple(rng.integers(1, 6, 3).tolist()))
                    for i in range(8) for name in DIMENSIONS))  # fmt: skip
    rated, traces = study(items)
    table = checked(rating_calibrations(rated, traces, seen, bootstrap()))
    shuffled = [frame.sample(fraction=1, shuffle=True, seed=3) for frame in (rated, traces, seen)]
    assert rating_calibrations(*shuffled, bootstrap()).equals(table)
    inner = table.drop_nulls("low")
    assert inner.height >= 14
    assert (inner["low"] <= inner["high"]).all()

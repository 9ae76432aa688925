from fractions import Fraction

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advcluster_dagster.science.question_set.selection import count_incomplete_questions, select_analysis_questions

COUNTS = ["larger_n_scored", "larger_n_correct", "smaller_n_scored", "smaller_n_correct"]


def pass_rates(*counts):
    """Rows of ``pass_rate_table`` from larger scored, larger correct, smaller scored, smaller correct."""
    frame = pl.DataFrame(counts, schema=dict.fromkeys(COUNTS, pl.Int64), orient="row")
    larger, smaller = (pl.col(f"{r}_n_correct") / pl.col(f"{r}_n_scored") for r in ("larger", "smaller"))
    return frame.with_row_index("question_id").with_columns(
        pl.format("q{}", "question_id").alias("question_id"),
        pl.lit("b").alias("benchmark"),
        larger.alias("larger_pass_rate"),
        smaller.alias("smaller_pass_rate"),
        (larger - smaller).alias("pass_rate_gap"),
    )


def selected(frame, trials, min_gap=0.6):
    return select_analysis_questions(frame, min_gap, trials)["question_id"].to_list()


def test_the_threshold_is_inclusive():
    # T = 10: gaps (9-3)/10 = 0.6, (9-4)/10 = 0.5, (10-0)/10 = 1, (3-9)/10 = -0.6.
    frame = pass_rates((10, 9, 10, 3), (10, 9, 10, 4), (10, 10, 10, 0), (10, 3, 10, 9))
    assert selected(frame, 10) == ["q0", "q2"]


def test_columns_of_the_selection():
    selected_rows = select_analysis_questions(pass_rates((4, 4, 4, 1)), 0.6, 4)
    assert selected_rows.to_dicts() == [
        {
            "question_id": "q0",
            "benchmark": "b",
            "larger_pass_rate": 1,
            "smaller_pass_rate": 0.25,
            "pass_rate_gap": 0.75,
            "n_more_correct": 3,
        }
    ]


def test_a_gap_at_the_threshold_is_selected_despite_float_error():
    # 9/10 - 8/10 = 1/10, but as floats 0.9 - 0.8 = 0.09999999999999998, below the threshold.
    assert 9 / 10 - 8 / 10 < 0.1
    assert selected(pass_rates((10, 9, 10, 8)), 10, min_gap=0.1) == ["q0"]


@pytest.mark.parametrize("trials", [1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 33, 50])
def test_all_counts_at_six_tenths(trials):
    pairs = [(n, m) for n in range(trials + 1) for m in range(trials + 1)]
    selected_rows = selected(pass_rates(*((trials, n, trials, m) for n, m in pairs)), trials)
    assert selected_rows == [f"q{i}" for i, (n, m) in enumerate(pairs) if 5 * (n - m) >= 3 * trials]


@settings(deadline=None)
@given(
    trials=st.integers(1, 1000),
    counts=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5),
    min_gap=st.one_of(
        st.decimals(0, 1, places=4).filter(lambda gap: gap > 0).map(float), st.floats(1e-9, 1), st.just(0.6)
    ),
)
@example(trials=999, counts=[(1.0, 0.0)], min_gap=1 / 15)
@example(trials=15, counts=[(1.0, 0.4)], min_gap=0.6)
def test_the_comparison_is_exact(trials, counts, min_gap):
    pairs = [(round(larger * trials), round(smaller * trials)) for larger, smaller in counts]
    threshold = Fraction(str(min_gap))
    expected = [f"q{i}" for i, (n, m) in enumerate(pairs) if Fraction(n - m, trials) >= threshold]
    frame = pass_rates(*((trials, n, trials, m) for n, m in pairs))
    assert selected(frame, trials, min_gap) == expected


@pytest.mark.parametrize(
    ("counts", "is_incomplete"),
    [
        ((10, 10, 10, 0), False),
        ((9, 9, 10, 0), True),  # a trial of the larger model is missing or not graded
        ((10, 10, 9, 0), True),
        ((0, 0, 0, 0), True),
        ((11, 11, 10, 0), True),  # more trials than requested are not a complete set either
    ],
)
def test_incomplete_questions_are_counted_and_not_selected(counts, is_incomplete):
    frame = pass_rates(counts)
    assert count_incomplete_questions(frame, 10) == is_incomplete
    assert selected(frame, 10) == ([] if is_incomplete else ["q0"])


def test_row_order_is_preserved():
    frame = pass_rates(*[(2, 2, 2, 0)] * 5)[[3, 0, 4, 1, 2]]
    assert selected(frame, 2) == ["q3", "q0", "q4", "q1", "q2"]


def test_no_questions():
    frame = pass_rates()
    assert select_analysis_questions(frame, 0.6, 10).is_empty()
    assert count_incomplete_questions(frame, 10) == 0


def test_equal_models_select_nothing():
    assert selected(pass_rates(*[(10, n, 10, n) for n in range(11)]), 10) == []

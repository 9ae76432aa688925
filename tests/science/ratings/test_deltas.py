"""Mean scores, their differences and summaries, by hand."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pointbiserialr, spearmanr

from advcluster_dagster.contracts.ratings import DELTA_SUMMARIES, DIMENSIONS, QUALITY_DELTAS, TRACE_QUALITIES
from advcluster_dagster.science.ratings.deltas import (
    RatedFamily,
    correlation,
    delta_summaries,
    quality_deltas,
    rank_correlation,
    trace_qualities,
)

PLACE = {"family": "f", "domain": "d"}
RATING = {"question_id": pl.String, "role": pl.String, "trial": pl.Int64, "dimension": pl.String,
          "generation": pl.Int64, "score": pl.Int64}  # fmt: skip


def ratings(*traces):
    """Traces as (question, role, trial, dimension, scores of the generations)."""
    rows = [(*trace, generation, score) for *trace, scores in traces for generation, score in enumerate(scores)]
    return pl.DataFrame(rows, schema=RATING, orient="row")


def pairs(*rows):
    schema = {"pair_id": pl.String, "question_id": pl.String, "source_key": pl.String, "larger_trial": pl.Int64,
              "smaller_trial": pl.Int64}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_five_generations_and_their_delta():
    # (5 + 5 + 4 + 5 + 4) / 5 = 4.6, squares around it 3 * .16 + 2 * .36 = 1.2, / 4 = .3; (3+3+3+4+3) / 5 = 3.2.
    table = trace_qualities(
        ratings(("q", "larger", 1, "strategy", (5, 5, 4, 5, 4)), ("q", "smaller", 0, "strategy", (3, 3, 3, 4, 3)))
    )
    TRACE_QUALITIES.check(TRACE_QUALITIES.conform(table.lazy(), PLACE))
    assert table.row(0) == ("q", "larger", 1, "strategy", 4.6, pytest.approx(0.3**0.5), 5)
    deltas = quality_deltas(pairs(("q:0", "q", "s", 1, 0)), table)
    QUALITY_DELTAS.check(QUALITY_DELTAS.conform(deltas.lazy(), PLACE))
    assert deltas["dimension"].to_list() == list(DIMENSIONS)
    assert deltas.row(1) == ("q:0", "strategy", "q", "s", 4.6, 3.2, 1.4)
    assert deltas.row(0) == ("q:0", "factuality", "q", "s", None, None, None)


def test_equal_differences_are_exactly_equal():
    table = trace_qualities(
        ratings(
            ("q", "larger", 0, "strategy", (5, 5, 4, 5, 4)), ("q", "smaller", 0, "strategy", (3, 3, 3, 4, 3)),
            ("r", "larger", 0, "strategy", (3, 4, 3, 4, 3)), ("r", "smaller", 0, "strategy", (2, 2, 2, 2, 2)),
        )
    )  # fmt: skip
    deltas = quality_deltas(pairs(("q:0", "q", "s", 0, 0), ("r:0", "r", "s", 0, 0)), table).drop_nulls("delta")
    assert 4.6 - 3.2 != 3.4 - 2.0
    assert deltas["delta"].to_list() == [1.4, 1.4]


def test_missing_scores_stay_null():
    table = trace_qualities(
        ratings(("q", "larger", 0, "strategy", (4, None)), ("q", "larger", 0, "factuality", (None, None)),
                ("q", "smaller", 0, "factuality", (2, 4)))
    )  # fmt: skip
    assert table.select("dimension", "mean_score", "sd", "n_generations").rows() == [
        ("factuality", None, None, 0), ("strategy", 4.0, None, 1), ("factuality", 3.0, pytest.approx(2**0.5), 2)
    ]  # fmt: skip
    deltas = quality_deltas(pairs(("q:0", "q", "s", 0, 0)), table)
    assert deltas.select("larger_score", "smaller_score", "delta").rows()[:2] == [(None, 3.0, None), (4.0, None, None)]


def test_without_ratings():
    assert trace_qualities(ratings()).schema == TRACE_QUALITIES.own_schema
    assert quality_deltas(pairs(), trace_qualities(ratings())).is_empty()
    assert quality_deltas(pairs(("q:0", "q", "s", 0, 0)), trace_qualities(ratings()))["delta"].null_count() == 5


def family(items, dimension="strategy", is_mixed=True):
    """Items (domain, source_key, question, scores of larger, of smaller, lengths, gap), one pair each by position."""
    rated, pair_rows, traces, lengths, gaps = [], [], [], [], {}
    for i, (domain, source, question, larger, smaller, long, short, gap) in enumerate(items):
        pair_rows.append((f"{question}:{i}", question, source, i, i, domain))
        lengths.append((f"{question}:{i}", long, short))
        gaps[question] = gap
        for role, scores in (("larger", larger), ("smaller", smaller)):
            rated.append((question, role, i, dimension, scores))
            traces.append((domain, source, question, role, i, role == "larger", is_mixed))
    table = ratings(*rated)
    pair_frame = pl.DataFrame(pair_rows, schema={**pairs().schema, "domain": pl.String}, orient="row")
    deltas = quality_deltas(pair_frame.drop("domain"), trace_qualities(table)).join(
        pair_frame.select("pair_id", "domain"), on="pair_id"
    )
    return RatedFamily(
        deltas, table,
        pl.DataFrame(traces, schema={"domain": pl.String, "source_key": pl.String, "question_id": pl.String,
                                     "role": pl.String, "trial": pl.Int64, "is_correct": pl.Boolean,
                                     "is_mixed": pl.Boolean}, orient="row"),
        pl.DataFrame(lengths, schema={"pair_id": pl.String, "larger_length": pl.UInt32, "smaller_length": pl.UInt32},
                     orient="row"),
        pl.DataFrame(list(gaps.items()), schema={"question_id": pl.String, "gap_mean": pl.Float64}, orient="row"),
    )  # fmt: skip


def summaries(rated, seed=0):
    table = delta_summaries(rated, 0.95, 400, np.random.default_rng(seed))
    DELTA_SUMMARIES.check(DELTA_SUMMARIES.conform(table.lazy(), {"family": "f"}))
    return table


ITEMS = [
    # domain, source, question, larger, smaller, lengths, gap: deltas 2, 1, 0, -1 | 3, 1, null
    ("a", "s1", "q1", (5, 5), (3, 3), 10, 20, 0.6),
    ("a", "s1", "q1", (4, 4), (3, 3), 10, 30, 0.6),
    ("a", "s2", "q2", (3, 3), (3, 3), 10, 50, 0.4),
    ("a", "s3", "q3", (2, 2), (3, 3), 40, 10, 0.1),
    ("b", "s1", "q4", (5, 4), (1, 2), 10, 10, 0.9),
    ("b", "s2", "q5", (3, 3), (2, 2), 10, None, None),
    ("b", "s3", "q6", (3, 3), (None, None), 10, 10, 0.5),
]


def test_summaries_of_two_domains():
    table = summaries(family(ITEMS))
    assert table["domain"].unique(maintain_order=True).to_list() == ["a", "b", "all"]
    assert table["dimension"].to_list() == list(DIMENSIONS) * 3
    rows = {row["domain"]: row for row in table.filter(dimension="strategy").to_dicts()}
    a, b, both = rows["a"], rows["b"], rows["all"]
    assert (a["n_pairs"], a["n_unrated"], a["n_questions"], a["n_keys"]) == (4, 0, 3, 3)
    assert (b["n_pairs"], b["n_unrated"], both["n_pairs"], both["n_unrated"]) == (2, 1, 6, 1)
    # Equal key names in two domains are different keys.
    assert both["n_keys"] == 5
    assert (a["mean_delta"], b["mean_delta"], both["mean_delta"]) == (0.5, 2, 1)
    assert (a["share_positive"], both["share_positive"]) == (0.5, pytest.approx(4 / 6))
    assert (a["low"], b["low"]) == (None, None)  # fewer than five keys
    assert both["low"] < 1 < both["high"]
    # Questions' mean deltas 1.5, 0, -1 increase with .6, .4, .1; in b only one question has both.
    assert (a["gap_correlation"], b["gap_correlation"]) == (pytest.approx(1), None)
    # Differences of length -10, -20, -40, 30 against deltas 2, 1, 0, -1.
    assert a["length_correlation"] == pytest.approx(spearmanr([2, 1, 0, -1], [-10, -20, -40, 30]).statistic)
    # Larger 5, 4, 3, 2 and right, smaller 3 four times and wrong.
    expected = pointbiserialr([1] * 4 + [0] * 4, [5, 4, 3, 2, 3, 3, 3, 3]).statistic
    assert (a["verdict_correlation"], a["n_mixed"]) == (pytest.approx(expected), 8)
    assert a["reliability"] == 1


def test_dimensions_that_are_not_rated_are_null():
    table = summaries(family(ITEMS)).filter(dimension="factuality", domain="all")
    assert table.row(0)[2:] == (0, 7, 0, 0, None, None, None, None, None, None, None, 0, None)


def test_equal_deltas_give_zero_width_and_no_correlation():
    items = [("a", f"s{i}", f"q{i}", (4, 4), (3, 3), 10 + i, 10, 0.1 * i) for i in range(6)]
    row = summaries(family(items, is_mixed=False)).filter(dimension="strategy", domain="a").to_dicts()[0]
    assert (row["mean_delta"], row["low"], row["high"], row["share_positive"]) == (1, 1, 1, 1)
    assert (row["gap_correlation"], row["length_correlation"]) == (None, None)
    assert (row["verdict_correlation"], row["n_mixed"]) == (None, 0)


def test_a_domain_and_a_family_in_which_no_pair_is_rated():
    unrated = [(*item[:4], (None,), *item[5:]) for item in ITEMS[4:]]
    table = summaries(family([*ITEMS[:4], *unrated])).filter(dimension="strategy")
    assert table["n_pairs"].to_list() == [4, 0, 4]
    assert table["mean_delta"].to_list() == [0.5, None, 0.5]
    assert summaries(family(unrated))["mean_delta"].null_count() == 10


def test_a_single_pair_and_none():
    row = summaries(family(ITEMS[:1])).filter(dimension="strategy", domain="all").to_dicts()[0]
    assert (row["n_pairs"], row["mean_delta"], row["low"], row["gap_correlation"]) == (1, 2, None, None)
    assert summaries(family([])).is_empty()


def test_pairs_of_an_item_are_resampled_together():
    # Six items of five pairs each versus thirty items of one pair: equal deltas, but less information.
    few = [("a", f"s{i}", f"q{i}", (1 + i % 5,), (3,), 1, 1, 0.5) for i in range(6) for _ in range(5)]
    many = [("a", f"s{n}", f"q{n}", *item[3:]) for n, item in enumerate(few)]
    widths = []
    for items in (few, many):
        row = summaries(family(items)).filter(dimension="strategy", domain="a").to_dicts()[0]
        widths.append(row["high"] - row["low"])
    # The standard errors differ by a factor of sqrt(5).
    assert widths[0] / widths[1] == pytest.approx(5**0.5, rel=0.2)


@settings(max_examples=25, deadline=None)
@given(st.randoms(), st.integers(0, 5))
def test_summaries_in_any_order_of_rows(random, seed):
    rated = family(ITEMS)

    def shuffled(frame):
        return frame[random.sample(range(frame.height), frame.height)]

    other = RatedFamily(*(shuffled(frame) for frame in vars(rated).values()))
    assert summaries(other, seed).equals(summaries(rated, seed))


def test_a_rating_of_an_unknown_trace_is_an_error():
    rated = family(ITEMS)
    broken = RatedFamily(rated.deltas, rated.ratings, rated.traces.head(3), rated.lengths, rated.gaps)
    with pytest.raises(ValueError, match="rated traces are unknown"):
        summaries(broken)


numbers = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), max_size=12)


@given(numbers)
def test_correlations_equal_scipy(points):
    a, b = ([p[i] for p in points] for i in (0, 1))
    if len(points) < 3 or len(set(a)) == 1 or len(set(b)) == 1:
        assert (correlation(a, b), rank_correlation(a, b)) == (None, None)
    else:
        assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
        assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])

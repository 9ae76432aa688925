"""Labels of preference pairs, selections, controls and length ratios."""

import hashlib
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.contracts.preferences import DELTA_DIMENSIONS, PREFERENCE_PAIRS, PREFERENCE_SELECTIONS
from advcluster_dagster.science.preferences.labels import with_deltas, with_pair_labels
from advcluster_dagster.science.preferences.selection import (
    length_ratios,
    limit_length_ratio,
    select_all,
    select_by_cluster,
    select_control,
    select_top_delta,
)


def pairs(*rows):
    """Exported pairs p0, p1, ... of question q0, q1, ...; each row gives the columns that differ."""
    schema = {**PREFERENCE_PAIRS.own_schema, "domain": pl.String}
    base = dict.fromkeys(schema) | {
        "benchmark": "b", "scheme": "generator", "combination": "c_i", "chosen_role": "larger", "chosen_trial": 0,
        "rejected_role": "smaller", "rejected_trial": 0, "chosen_tokens": 100, "rejected_tokens": 100,
        "is_exported": True, "domain": "math",
    }  # fmt: skip
    numbered = (
        base | {"preference_id": f"p{place}", "question_id": f"q{place}", "source_key": f"q{place}"} | row
        for place, row in enumerate(rows)
    )
    return pl.DataFrame(list(numbered), schema=schema)


def by_hash(*names):
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def ids(selection):
    return selection.rows["preference_id"].to_list()


def test_deltas_by_hand():
    table = pairs({}, {"rejected_trial": 1}, {}).drop("domain")
    scores = [
        ("q0", "larger", 0, "strategy", 4.6), ("q0", "smaller", 0, "strategy", 3.2),
        ("q0", "larger", 0, "factuality", 5.0), ("q0", "smaller", 0, "factuality", None),
        ("q1", "larger", 0, "strategy", 2.0), ("q1", "smaller", 0, "strategy", 1.0),  # trial 1 was not rated
    ]  # fmt: skip
    qualities = pl.DataFrame(scores, schema=["question_id", "role", "trial", "dimension", "mean_score"], orient="row")
    labelled = with_deltas(table, qualities, "strategy")
    assert labelled["delta_strategy"].to_list() == [pytest.approx(1.4), None, None]
    assert labelled["delta"].equals(labelled["delta_strategy"].rename("delta"))
    assert labelled["delta_factuality"].to_list() == [None, None, None]
    assert set(PREFERENCE_PAIRS.own_schema) - set(labelled.columns) <= {"domain"}
    assert all(PREFERENCE_PAIRS.own_schema[name] == dtype for name, dtype in labelled.schema.items())
    assert labelled.drop("delta", "delta_strategy").equals(table.drop("delta", "delta_strategy"))
    with pytest.raises(ValueError, match="unknown dimension 'speed'"):
        with_deltas(table, qualities, "speed")


def test_clusters_and_stages_come_from_the_trace_pair():
    table = pairs({"pair_id": "q0:0"}, {"pair_id": "q1:0"}, {"pair_id": "q2:0"}, {}).drop("domain")
    advantages = pl.DataFrame(
        {"pair_id": ["q0:0", "q0:0", "q0:0", "q1:0"], "cluster_id": [4, 2, 4, None]},
        schema={"pair_id": pl.String, "cluster_id": pl.Int64},
    )
    errors = pl.DataFrame({"pair_id": ["q0:0"], "stage": ["Encoding"]})
    labelled = with_pair_labels(table, advantages, errors)
    # q1's only advantage was not kept, q2 was not extracted, the last pair is not a trace pair.
    assert labelled["clusters"].to_list() == [[2, 4], [], None, None]
    assert labelled["first_error_stage"].to_list() == ["Encoding", None, None, None]
    assert set(PREFERENCE_PAIRS.own_schema) - set(labelled.columns) <= {"domain"}
    assert all(PREFERENCE_PAIRS.own_schema[name] == dtype for name, dtype in labelled.schema.items())


def test_the_largest_deltas_with_ties_by_hand():
    deltas = (1.0, 2.0, 1.0, None, 1.0, 3.0)
    table = pairs(*({"delta_strategy": delta} for delta in deltas), {"delta_strategy": 4.0, "is_exported": False})
    top = select_top_delta(table, "strategy", 4)
    assert ids(top) == ["p5", "p1", *by_hash("p0", "p2", "p4")[:2]]
    assert top.rows["rank"].to_list() == [1, 2, 3, 4]
    assert (top.candidates.height, top.left_out, top.n_missing) == (5, {"not_exported": 1, "not_rated": 1}, 0)
    assert ids(select_top_delta(table.reverse(), "strategy", 4)) == ids(top)
    assert select_top_delta(table, "strategy", 9).n_missing == 4
    assert ids(select_top_delta(table, "strategy", 0)) == []
    assert set(top.rows["selection"]) == {"top_delta"}
    for dimension, k in (("speed", 1), ("strategy", -1)):
        with pytest.raises(ValueError, match="allowed"):
            select_top_delta(table, dimension, k)


def test_all_and_clusters():
    table = pairs({"clusters": [1, 2]}, {"clusters": []}, {"clusters": None}, {"clusters": [3]}, {"is_exported": False})
    assert ids(select_all(table)) == by_hash("p0", "p1", "p2", "p3")
    chosen = select_by_cluster(table, [3, 2, 9])
    assert ids(chosen) == by_hash("p0", "p3")
    assert (chosen.candidates.height, chosen.left_out) == (3, {"not_exported": 1, "not_extracted": 1})
    assert ids(select_by_cluster(table, [])) == []


DOMAINS = st.sampled_from(["math", "physics", "chemistry"])
CELLS = st.sampled_from(["c_i", "c_c"])


@given(st.lists(st.tuples(DOMAINS, CELLS, st.integers(0, 3)), max_size=40), st.integers(0, 20), st.integers(0, 99))
def test_a_control_has_the_size_and_mix_of_its_selection(rows, k, seed):
    table = pairs(*({"domain": d, "combination": c, "delta_factuality": float(x)} for d, c, x in rows))
    top = select_top_delta(table, "factuality", k)
    control = select_control(top, seed)
    assert control.rows.height == top.rows.height == min(k, len(rows))

    def mix(selection):
        joined = selection.rows.join(table.select("preference_id", "combination"), on="preference_id")
        return Counter(joined.select("domain", "combination").iter_rows())

    assert mix(control) == mix(top)
    assert control.rows["preference_id"].is_unique().all()
    assert control.rows["rank"].to_list() == list(range(1, control.rows.height + 1))
    assert ids(select_control(select_top_delta(table.reverse(), "factuality", k), seed)) == ids(control)
    assert control.rows.schema == PREFERENCE_SELECTIONS.own_schema


def test_a_control_is_sampled_from_the_candidates_of_the_selection():
    table = pairs(*({"delta_strategy": float(i) if i % 2 else None} for i in range(200)))
    top = select_top_delta(table, "strategy", 20)
    samples = [set(ids(select_control(top, seed))) for seed in range(5)]
    assert all(int(name[1:]) % 2 for sample in samples for name in sample)  # only rated pairs
    assert len(set(map(frozenset, samples))) == 5
    # A random 20 of 100 share 4 with the top 20 on average.
    assert 1 <= np.mean([len(sample & set(ids(top))) for sample in samples]) <= 8


def test_without_pairs_selections_are_empty():
    table = pairs()
    for selection in (
        select_all(table), select_top_delta(table, DELTA_DIMENSIONS[0], 3), select_by_cluster(table, [1]),
        select_control(select_all(table), 0),
    ):  # fmt: skip
        assert selection.rows.schema == PREFERENCE_SELECTIONS.own_schema
        assert selection.rows.is_empty()
    assert list(length_ratios(table, 0.95, 100, np.random.default_rng(0))) == []
    assert limit_length_ratio(table, 2).is_empty()


def test_length_ratios_by_hand():
    lengths = [(100, 50), (100, 100), (50, 100), (None, 100), (100, 0), (200, 100)]
    table = pairs(*({"chosen_tokens": c, "rejected_tokens": r} for c, r in lengths), {"is_exported": False})
    (ratios,) = length_ratios(table, 0.95, 100, np.random.default_rng(0))
    # 2, 1, .5 and 2 of four keys: geometric mean (2 * 1 * .5 * 2)^(1/4), median 1.5; two of four are longer.
    assert (ratios.scheme, ratios.combination, ratios.n_pairs, ratios.n_keys, ratios.n_undefined) == (
        "generator", "c_i", 4, 4, 2,
    )  # fmt: skip
    assert (ratios.mean, ratios.median, ratios.longer_share) == (pytest.approx(2**0.25), 1.5, 0.5)
    assert (ratios.low, ratios.high) == (None, None)  # fewer than five keys
    (missing,) = length_ratios(pairs({"chosen_tokens": None}), 0.95, 100, np.random.default_rng(0))
    assert (missing.n_pairs, missing.n_undefined, missing.mean, missing.median) == (0, 1, None, None)


def test_length_ratios_have_intervals_over_source_keys():
    rows = [{"chosen_tokens": 100 + 100 * (i % 3), "source_key": f"k{i // 2}"} for i in range(60)]
    (ratios,) = length_ratios(pairs(*rows), 0.95, 400, np.random.default_rng(0))
    assert (ratios.n_pairs, ratios.n_keys) == (60, 30)
    assert ratios.mean == pytest.approx(6 ** (1 / 3))  # 1, 2 and 3, equally often
    assert 1.5 < ratios.low < 6 ** (1 / 3) < ratios.high < 2.2
    (equal,) = length_ratios(pairs(*({} for _ in range(6))), 0.95, 100, np.random.default_rng(0))
    assert (equal.low, equal.mean, equal.high, equal.longer_share) == (1.0, 1.0, 1.0, 0.0)


def test_length_limits_by_hand():
    lengths = [(200, 100), (201, 100), (100, 200), (100, 201), (None, 100), (0, 0), (10, 0)]
    table = pairs(
        *({"chosen_tokens": c, "rejected_tokens": r} for c, r in lengths),
        {"chosen_tokens": 900, "is_exported": False, "reason_left_out": "held_out"},
    )
    limited = limit_length_ratio(table, 2.0)
    assert limited["reason_left_out"].to_list() == [
        None, "length_ratio", None, "length_ratio", "missing_tokens", None, "length_ratio", "held_out",
    ]  # fmt: skip
    assert limited["is_exported"].equals(limited["reason_left_out"].is_null().rename("is_exported"))
    assert limit_length_ratio(limited, 2.0).equals(limited)
    with pytest.raises(ValueError, match="below 1"):
        limit_length_ratio(table, 0.9)


def test_limited_pairs_can_stay_matched():
    cells = [("q0", "c_i", 100), ("q0", "c_c", 500), ("q1", "c_i", 100), ("q1", "c_c", 100)]
    table = pairs(
        *(
            {"question_id": q, "combination": c, "chosen_tokens": n, "preference_id": f"generator:{c}:{q}:0"}
            for q, c, n in cells
        )
    )
    assert limit_length_ratio(table, 2.0)["reason_left_out"].to_list() == [None, "length_ratio", None, None]
    matched = limit_length_ratio(table, 2.0, is_matched=True)
    assert matched["reason_left_out"].to_list() == ["unmatched", "length_ratio", None, None]

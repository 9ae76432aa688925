"""Preference pairs: verdicts, reuse of trace pairs, reasons, matching, and independence of irrelevant input."""

import time
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.advantage_extraction import TRACE_PAIRS
from advcluster_dagster.contracts.preferences import (
    COMBINATIONS,
    HELD_OUT_MATCHES,
    PREFERENCE_PAIRS,
    REASONS_LEFT_OUT,
    SCHEMES,
)
from advcluster_dagster.science.preferences.drawing import (
    REASONS_WITHOUT_PAIR,
    DrawSettings,
    draw_preferences,
    keep_matched,
)

ALL = DrawSettings(schemes=SCHEMES, combinations=COMBINATIONS, n_per_question=2)
NO_MATCHES = pl.DataFrame(schema=HELD_OUT_MATCHES.own_schema)
NO_PAIRS = pl.DataFrame(schema=TRACE_PAIRS.own_schema)
TRIALS = {
    "question_id": pl.String, "role": pl.String, "trial": pl.Int64, "is_correct": pl.Boolean, "response": pl.String,
    "finish_reason": pl.String, "prompt_tokens": pl.Int64, "completion_tokens": pl.Int64,
}  # fmt: skip


def questions_of(*names, key=None, benchmark="b"):
    schema = {"question_id": pl.String, "source_key": pl.String, "benchmark": pl.String}
    return pl.DataFrame([(name, key or name, benchmark) for name in names], schema=schema, orient="row")


def trials_of(verdicts, **changed):
    """Trials of questions, from {question: (verdicts of the larger, of the smaller model)}: c, i, or ? (not scored).

    ``changed`` holds columns of single trials: q_smaller_0={"finish_reason": "length"}.
    """
    rows = []
    for question, both in verdicts.items():
        for role, of_role in zip(("larger", "smaller"), both, strict=True):
            for trial, verdict in enumerate(of_role):
                row = {
                    "question_id": question, "role": role, "trial": trial,
                    "is_correct": {"c": True, "i": False, "?": None}[verdict],
                    "response": f"{question} {role} {trial}", "finish_reason": "stop", "prompt_tokens": 10,
                    "completion_tokens": 100 + trial,
                }  # fmt: skip
                rows.append(row | changed.get(f"{question}_{role}_{trial}", {}))
    return pl.DataFrame(rows, schema=TRIALS)


def pairs_of(*rows):
    return pl.DataFrame(
        [(f"{q}:{i}", q, i, larger, smaller, "wrong") for q, i, larger, smaller in rows],
        schema=TRACE_PAIRS.own_schema, orient="row",
    )  # fmt: skip


def draw(questions, trials, settings, n_trials, pairs=NO_PAIRS, held_out=NO_MATCHES, allowed=("b",), seed=1):
    return draw_preferences(questions, trials, pairs, held_out, allowed, settings, n_trials, "f", seed)


def reasons(drawn):
    return drawn.preferences["reason_left_out"].to_list()


def test_pairs_have_the_verdicts_of_their_combination():
    trials = trials_of({"q": ("cic", "iic"), "r": ("cii", "cci")})
    drawn = draw(questions_of("q", "r"), trials, ALL, 3)
    verdicts = {
        (question, role, trial): is_correct
        for question, role, trial, is_correct in trials.select("question_id", "role", "trial", "is_correct").iter_rows()
    }
    assert set(drawn.preferences.select("scheme", "combination").iter_rows()) == {
        (scheme, combination) for scheme in SCHEMES for combination in COMBINATIONS
    }
    for row in drawn.preferences.iter_rows(named=True):
        sides = [(row["question_id"], row[f"{side}_role"], row[f"{side}_trial"]) for side in ("chosen", "rejected")]
        assert "_".join("c" if verdicts[side] else "i" for side in sides) == row["combination"]
        roles = ("larger", "smaller") if row["scheme"] == "generator" else ("smaller", "smaller")
        assert (row["chosen_role"], row["rejected_role"]) == roles
        assert sides[0] != sides[1]
    assert drawn.preferences["is_exported"].all()
    lazy = PREFERENCE_PAIRS.conform(drawn.preferences.lazy(), {"family": "f", "domain": "d"})
    assert PREFERENCE_PAIRS.faults(lazy) == []


def test_numbers_of_pairs_by_hand():
    # The larger model is right twice and wrong once, the smaller one right once and wrong twice.
    drawn = draw(questions_of("q"), trials_of({"q": ("cic", "iic")}), ALL, 3)
    counted = dict(
        drawn.preferences.select(pl.concat_str("scheme", pl.lit(" "), "combination")).to_series().value_counts().rows()
    )
    assert counted == {
        "generator c_i": 2, "generator c_c": 1, "generator i_i": 1, "generator i_c": 1,
        "same_model c_i": 1, "same_model i_i": 1, "same_model i_c": 1,
    }  # fmt: skip
    # A single correct trial has no partner.
    assert drawn.without_pair == {("same_model", "c_c", "no_rejected_trial"): 1}
    assert drawn.preferences.filter(scheme="generator", combination="c_c")["preference_id"].to_list() == [
        "generator:c_c:q:0"
    ]
    row = drawn.preferences.filter(scheme="generator", combination="i_c").row(0, named=True)
    assert (row["chosen_trial"], row["rejected_trial"], row["chosen_tokens"], row["rejected_tokens"]) == (
        1,
        2,
        101,
        102,
    )


def test_trace_pairs_are_used_first_and_only_for_their_combination():
    trials = trials_of({"q": ("ccccc", "iiiii")})
    pairs = pairs_of(("q", 1, 4, 0), ("q", 0, 2, 3))
    for seed in range(10):
        settings = replace(ALL, combinations=("c_i",), n_per_question=4, schemes=("generator",))
        table = draw(questions_of("q"), trials, settings, 5, pairs, seed=seed).preferences
        assert table.select("chosen_trial", "rejected_trial", "pair_id").rows()[:2] == [(2, 3, "q:0"), (4, 0, "q:1")]
        assert table["pair_id"].to_list()[2:] == [None, None]
        for side in ("chosen_trial", "rejected_trial"):
            assert table[side].n_unique() == 4
    other = draw(questions_of("q"), trials, replace(ALL, schemes=("same_model",)), 5, pairs).preferences
    assert other["pair_id"].null_count() == other.height > 0


def test_a_trace_pair_that_cannot_be_exported_is_not_used_first():
    trials = trials_of({"q": ("cc", "ii")}, q_smaller_0={"finish_reason": "length"})
    table = draw(questions_of("q"), trials, DrawSettings(), 2, pairs_of(("q", 0, 0, 0))).preferences
    assert table.select("rejected_trial", "is_exported", "pair_id").rows() == [(1, True, None)]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("finish_reason", "length", "not_finished"),
        ("finish_reason", None, "finish_unknown"),
        ("response", " \n", "no_text"),
        ("response", None, "no_text"),
        ("completion_tokens", None, "missing_tokens"),
        ("prompt_tokens", None, "missing_tokens"),
        ("completion_tokens", 8183, "too_long"),
        ("completion_tokens", 8182, None),  # 10 + 8182 = 8192
    ],
)
@pytest.mark.parametrize("side", ["larger", "smaller"])
def test_traces_that_cannot_be_exported(column, value, reason, side):
    trials = trials_of({"q": ("c", "i")}, **{f"q_{side}_0": {column: value}})
    drawn = draw(questions_of("q"), trials, DrawSettings(), 1)
    assert reasons(drawn) == [reason]
    assert drawn.preferences["is_exported"].to_list() == [reason is None]


def test_unknown_values_can_be_accepted():
    unknown = {"finish_reason": None, "prompt_tokens": None, "completion_tokens": None}
    trials = trials_of({"q": ("c", "i")}, q_larger_0=unknown)
    accepting = DrawSettings(max_tokens=None, accepts_unknown_finish=True)
    assert reasons(draw(questions_of("q"), trials, accepting, 1)) == [None]
    cut_off = trials_of({"q": ("c", "i")}, q_larger_0={"finish_reason": "length"})
    assert reasons(draw(questions_of("q"), cut_off, accepting, 1)) == ["not_finished"]


def test_equal_texts_are_paired_only_as_a_last_resort():
    same = {"response": "same"}
    trials = trials_of({"q": ("ci", "ii")}, q_larger_1=same, q_smaller_0={"response": "same \n"})
    for seed in range(10):
        settings = DrawSettings(combinations=("i_i",))
        table = draw(questions_of("q"), trials, settings, 2, seed=seed).preferences
        assert table.select("chosen_trial", "rejected_trial", "is_exported").rows() == [(1, 1, True)]
    alone = trials_of({"q": ("i", "i")}, q_larger_0=same, q_smaller_0=same)
    assert reasons(draw(questions_of("q"), alone, DrawSettings(combinations=("i_i",)), 1)) == ["identical_text"]


def test_held_out_questions_and_those_of_the_same_source_are_left_out():
    trials = trials_of(dict.fromkeys("abcdef", ("c", "i")), c_larger_0={"finish_reason": "length"})
    questions = pl.concat([
        questions_of("a", "b", key="program"), questions_of("c", "d", "e"), questions_of("f", benchmark="refused")
    ])  # fmt: skip
    held_out = pl.DataFrame(
        [("a", "a", "duplicate", "ids"), ("c", "h", "duplicate", "lexical"), ("d", "h", "sibling", "normalised"),
         ("f", "h", "duplicate", "ids")],
        schema=HELD_OUT_MATCHES.own_schema, orient="row",
    )  # fmt: skip
    drawn = draw(questions, trials, DrawSettings(), 1, held_out=held_out)
    assert reasons(drawn) == ["held_out", "held_out", "near_duplicate", None, None, "training_refused"]
    assert drawn.preferences["question_id"].to_list() == list("abcdef")
    assert set(reasons(draw(questions, trials, DrawSettings(), 1, allowed=()))) == {"training_refused"}


def test_questions_without_a_pair_are_counted_by_reason():
    trials = trials_of({"a": ("cc", "ii"), "b": ("c?", "ii"), "c": ("ii", "ii"), "d": ("cc", "cc"), "e": ("c", "i")})
    drawn = draw(questions_of(*"abcdef"), trials, DrawSettings(), 2)
    assert drawn.preferences["question_id"].to_list() == ["a"]
    assert drawn.without_pair == {
        ("generator", "c_i", "incomplete"): 3,  # b: one trial unscored; e: one trial of two; f: no trials
        ("generator", "c_i", "no_chosen_trial"): 1,
        ("generator", "c_i", "no_rejected_trial"): 1,
    }


def test_matched_pairs_are_of_the_same_questions():
    four = DrawSettings(combinations=COMBINATIONS, is_matched=True, n_per_question=3)
    trials = trials_of(
        {"a": ("ccii", "ccii"), "b": ("cccc", "ccii"), "c": ("ccii", "ccii"), "d": ("ccii", "ccii")},
        **{f"c_smaller_{trial}": {"finish_reason": "length"} for trial in (2, 3)},  # its incorrect ones
        d_larger_0={"finish_reason": "length"},  # one of its correct ones
    )
    drawn = draw(questions_of(*"abcd"), trials, four, 4)
    exported = drawn.preferences.filter("is_exported").group_by("question_id", "combination").len()
    # a has two of each; d has one usable correct trial of the larger model, so one of each; c has none of c_i and i_i.
    assert sorted(exported.rows()) == [("a", name, 2) for name in sorted(COMBINATIONS)] + [
        ("d", name, 1) for name in sorted(COMBINATIONS)
    ]
    assert drawn.without_pair == {
        ("generator", "c_i", "unmatched"): 1, ("generator", "c_c", "unmatched"): 1,
        ("generator", "i_i", "no_chosen_trial"): 1, ("generator", "i_c", "no_chosen_trial"): 1,
    }  # fmt: skip
    of_c = drawn.preferences.filter(question_id="c")
    assert set(of_c.select("combination", "reason_left_out").rows()) == {
        ("c_i", "not_finished"), ("i_i", "not_finished"), ("c_c", "unmatched"), ("i_c", "unmatched"),
    }  # fmt: skip
    assert keep_matched(drawn.preferences).equals(drawn.preferences)


VERDICTS = st.text("ci?", min_size=3, max_size=3)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(VERDICTS, VERDICTS)),
    st.booleans(),
    st.integers(1, 3),
    st.data(),
)
@settings(max_examples=60)
def test_counts_add_up_and_row_order_is_irrelevant(verdicts, is_matched, n_per_question, data):
    what = replace(ALL, is_matched=is_matched, n_per_question=n_per_question)
    trials, questions = trials_of(verdicts), questions_of(*"abcdef")
    drawn = draw(questions, trials, what, 3)
    for cell in what.cells:
        given_pairs = drawn.preferences.filter(scheme=cell[0], combination=cell[1])
        n_without = sum(n for (*of, _), n in drawn.without_pair.items() if tuple(of) == cell)
        assert given_pairs["question_id"].n_unique() + n_without == 6
        most = given_pairs.group_by("question_id").len()["len"].max() or 0
        assert most <= n_per_question
    assert {reason for *_, reason in drawn.without_pair} <= set(REASONS_WITHOUT_PAIR)
    assert set(reasons(drawn)) <= {None, *REASONS_LEFT_OUT}
    assert drawn.preferences["is_exported"].equals(drawn.preferences["reason_left_out"].is_null())
    assert drawn.preferences["preference_id"].is_unique().all()
    order = data.draw(st.permutations(range(trials.height)))
    shuffled = draw(questions.reverse(), trials[order], what, 3)
    assert shuffled.preferences.equals(drawn.preferences)
    assert shuffled.without_pair == drawn.without_pair


def test_a_questions_pairs_are_independent_of_other_questions():
    trials = trials_of(dict.fromkeys("abcdefgh", ("cccccc", "iiiiii")))
    table = draw(questions_of(*"abcdefgh"), trials, DrawSettings(), 6).preferences
    alone = draw(questions_of("c"), trials, ALL, 6).preferences.filter(preference_id="generator:c_i:c:0")
    assert table.filter(question_id="c").equals(alone)
    other = draw(questions_of(*"abcdefgh"), trials, DrawSettings(), 6, seed=2).preferences
    assert not other.equals(table)
    assert table["chosen_trial"].n_unique() > 1


@pytest.mark.parametrize("verdicts", [{}, {"q": ("??", "??")}])
def test_without_trials_tables_are_empty(verdicts):
    names = list(verdicts)
    drawn = draw(questions_of(*names), trials_of(verdicts), replace(ALL, is_matched=True), 2)
    assert drawn.preferences.is_empty()
    known = {name: dtype for name, dtype in PREFERENCE_PAIRS.own_schema.items() if name != "domain"}
    assert dict(drawn.preferences.schema) == known
    assert sum(drawn.without_pair.values()) == len(names) * 8


@pytest.mark.parametrize(
    "wrong", [{"schemes": ("x",)}, {"combinations": ("c_x",)}, {"n_per_question": 0}, {"max_tokens": 0}]
)
def test_invalid_settings_are_an_error(wrong):
    with pytest.raises(ValueError, match=r"allowed|at least 1"):
        DrawSettings(**wrong)


def test_a_hundred_thousand_traces_are_processed_quickly():
    trials = trials_of({"q": ("ccciii" + "c" * 4, "ccciiiiiii")})
    many = pl.concat([trials.with_columns(question_id=pl.lit(f"q{i}")) for i in range(5000)])
    start = time.perf_counter()
    drawn = draw(questions_of(*(f"q{i}" for i in range(5000))), many, ALL, 10)
    assert time.perf_counter() - start < 20
    assert drawn.preferences.height == 5000 * (4 * 2 + 2 + 1 + 2 + 2)

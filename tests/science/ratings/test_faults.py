"""Faults injected into right traces."""

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.ratings.faults import N_FILLER_WORDS, append_filler, change_number, faulted_traces

SEEDS = range(40)


def outcomes(text):
    return {change_number(text, seed) for seed in SEEDS}


def test_a_result_is_changed_by_its_leading_digit():
    assert outcomes("Step 1: 12 + 30 = 42, so 9.") == {f"Step 1: 12 + 30 = {digit}2, so 9." for digit in "12356789"}


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("x = 0.050 m", r"x = 0\.0[1-46-9]0 m"),
        ("x = 1,234 m", r"x = [2-9],234 m"),
        ("x = -7", r"x = -[1-68-9]"),
        ("price = $30", r"price = \$[1-24-9]0"),
        ("count = 0", r"count = [1-9]"),
        ("if n == 3: n <= 4 and total=5", r"if n == 3: n <= 4 and total=[1-46-9]"),
        ("2. There are 3 apples in x1 and H2O.", r"2\. There are [1-24-9] apples in x1 and H2O\."),
        (r"\frac{3}{4}", r"\\frac\{(?:3|[1-24-9])\}\{(?:4|[1-35-9])\}"),
    ],
)
def test_which_numbers_are_changed(text, pattern):
    changed = outcomes(text)
    assert len(changed) >= 5
    assert [other for other in changed if not re.fullmatch(pattern, other) or other == text] == []


@pytest.mark.parametrize("text", ["", "No number here.", "x1 and H2O", "Step 3. Done\n4) Done", "00 apples"])
def test_without_a_number_nothing_is_changed(text):
    assert change_number(text, 0) is None


@given(st.text(alphabet="0123456789 =.,$-+xS\n", max_size=60), st.integers(0, 3))
def test_exactly_one_character_is_changed(text, seed):
    changed = change_number(text, seed)
    assert change_number(text, seed) == changed
    if changed is not None:
        assert len(changed) == len(text)
        ((before, after),) = [(a, b) for a, b in zip(text, changed, strict=True) if a != b]
        assert before.isdigit()
        assert after in "123456789"


@given(st.text(max_size=100), st.integers())
def test_filler_is_two_hundred_words_after_the_text(text, seed):
    filled = append_filler(text, seed)
    assert filled.startswith(text.rstrip())
    filler = filled[len(text.rstrip()) :]
    assert len(filler.split()) == N_FILLER_WORDS
    assert not re.search(r"\d", filler)
    sentences = re.split(r"(?<=[.?]) ", filler.strip())
    assert len(set(sentences)) == len(sentences) == 20
    assert append_filler(text, seed) == filled


def traces(*rows):
    schema = {"question_id": pl.String, "role": pl.String, "trial": pl.Int64, "is_correct": pl.Boolean,
              "response": pl.String}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_only_right_traces_are_used_one_per_question():
    table = traces(
        ("q", "larger", 0, True, "2+2=4"),
        ("q", "larger", 1, True, "2+2=4"),
        ("r", "smaller", 0, False, "1=2"),
        ("s", "larger", 0, True, "none"),
        ("t", "larger", 0, None, "3=3"),
        ("u", "smaller", 2, True, "3=3"),
    )
    faulted, n_without = faulted_traces(table, "f", 0)
    assert n_without == 1
    assert sorted(faulted["question_id"].to_list()) == ["q", "q", "u", "u"]
    assert faulted["fault"].to_list() == ["changed_number", "added_filler"] * 2
    row = faulted.filter(question_id="u", fault="changed_number").row(0)
    assert row[:3] == ("u", "smaller", 2)
    assert re.fullmatch("3=[12456789]", row[4])


def test_smaller_samples_are_subsets_of_larger_ones_in_any_order():
    table = traces(*((str(i), "larger", j, True, f"{i} = {i + 1}") for i in range(30) for j in range(2)))
    small, large = (faulted_traces(table, "f", 1, n)[0] for n in (5, 12))
    assert (small.height, large.height) == (10, 24)
    assert large.head(10).equals(small)
    assert faulted_traces(table.reverse(), "f", 1, 5)[0].equals(small)
    assert not faulted_traces(table, "f", 2, 5)[0].equals(small)
    assert faulted_traces(table.clear(), "f", 1)[0].is_empty()

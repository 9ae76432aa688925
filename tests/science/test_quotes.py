import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.quotes import (
    MAX_OCCURRENCES,
    SHORT_PASSAGE,
    Occurrences,
    find_passage,
    quoted_passages,
)


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ('Model_A has "x = 14" where Model_B has "x = 41".', ("x = 14", "x = 41")),
        ("It writes “first one” and „second one“ and «third one».", ("first one", "second one", "third one")),
        ("It runs `f(x) + 1` and ```g(x)```.", ("f(x) + 1", "g(x)")),
        ("It doesn't say 'all of it', it's what Model_B's lacks", ("all of it",)),
        ("\u2018inside\u2019 isn\u2019t the same", ("inside",)),
        (
            '"the start … the end" and "left ... right" and "the [...] rest"',
            ("the start", "the end", "left", "right", "the", "rest"),
        ),
        ('"twice" and "twice"', ("twice",)),
        ('It has "D" and "", "  "', ("D",)),
        ("Nothing is quoted here.", ("Nothing is quoted here.",)),
        ('An "unclosed mark', ('An "unclosed mark',)),
        ("", ()),
        ("  ", ()),
    ],
)
def test_passages_are_the_texts_between_quotation_marks(text, passages):
    assert quoted_passages(text) == passages


@pytest.mark.parametrize(
    ("passage", "text", "spans", "is_exact"),
    [
        ("a + b", "so a + b, and a + b", ((3, 8), (14, 19)), True),
        ("a + b", "so a\n+  b", ((3, 9),), False),  # "a\n+  b" is 6 characters long
        ("a + b", "a + b and a +\tb", ((0, 5),), True),  # with an exact occurrence, other spacings are ignored
        ("a + b", "a+b", (), True),  # spaces are not optional
        ("(.*)", "x (.*) y", ((2, 6),), True),  # not a regular expression
        ("aba", "ababaaba", ((0, 3), (5, 8)), True),  # occurrences do not overlap
        ("one", "", (), True),
        ("D", "(D) and D, not ADD", ((1, 2), (8, 9)), True),  # short passages match as separate words only
        ("7", "77 and 1.7", ((9, 10),), True),
    ],
)
def test_a_passage_is_found_exactly_or_with_other_spacing(passage, text, spans, is_exact):
    assert find_passage(passage, text) == Occurrences(spans, is_exact)


def test_occurrences_are_bounded():
    assert len(find_passage("one", "one " * 500).spans) == MAX_OCCURRENCES
    assert len(find_passage("one one", "one\none\n" * 500).spans) == MAX_OCCURRENCES


@given(st.text(), st.text(min_size=SHORT_PASSAGE + 1), st.text())
def test_a_contained_passage_is_found(before, passage, after):
    text = before + passage + after
    occurrences = find_passage(passage, text)
    assert occurrences.is_exact
    assert {text[start:end] for start, end in occurrences.spans} == {passage}


@given(st.text(st.sampled_from("ab \n\"'`.…")))
def test_quoted_passages_occur_in_their_text(text):
    assert all(find_passage(passage, text).spans for passage in quoted_passages(text))

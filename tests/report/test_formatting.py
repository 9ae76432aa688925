import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.report.formatting import (
    MISSING,
    counted,
    decimal,
    difference,
    foreign_text,
    integer,
    is_long_worded,
    mean_std,
    percent,
    quoted,
    ratio,
    signed,
    word_list,
)


@pytest.mark.parametrize(
    ("value", "places", "shown"),
    [
        (59.345, 1, "59.3"),
        (-0.001, 2, "0.00"),  # rounds to zero, which has no sign
        (-1.5, 1, "\N{MINUS SIGN}1.5"),
        (1234.5, 1, "1,234.5"),
        (None, 2, MISSING),
        (math.nan, 2, MISSING),
    ],
)
def test_decimal(value: float | None, places: int, shown: str) -> None:
    assert decimal(value, places) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(6.43, "+6.43"), (-6.43, "\N{MINUS SIGN}6.43"), (0.001, "0.00"), (-0.001, "0.00"), (None, MISSING)],
)
def test_a_difference_bears_its_sign(value: float | None, shown: str) -> None:
    assert signed(value) == shown


def test_missing_is_never_zero() -> None:
    assert [integer(None), percent(None), ratio(0, 0), mean_std(None, 1.0), signed(difference(None, 0.0))] == [
        MISSING
    ] * 5
    assert mean_std(50.0, None) == f"50.00 ± {MISSING}"
    assert [integer(0), percent(0.0), ratio(0, 4)] == ["0", "0.0", "0.0"]


def test_shares() -> None:
    # 103 of 1927 = 5.345...%
    assert ratio(103, 1927, 2) == "5.35"
    assert percent(0.125) == "12.5"


def test_words() -> None:
    assert [word_list(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert [counted(1, "question"), counted(1200, "question"), counted(2, "is", "are")] == [
        "1 question",
        "1,200 questions",
        "2 are",
    ]


def test_foreign_text_shows_what_would_hide() -> None:
    assert foreign_text("a\u202eb\u200bc\x00\nd") == "a[U+202E]b[U+200B]c[U+0000] d"
    assert foreign_text("x" * 12, limit=10) == "x" * 10 + " … (2 more characters)"
    assert foreign_text(None) == MISSING


def test_isolated_text_cannot_turn_the_sentence() -> None:
    assert quoted("אב\u2069") == "“\u2068אב[U+2069]\u2069”"


def test_long_words() -> None:
    assert is_long_worded("short " + "x" * 40)
    assert not is_long_worded("many short words in a row that go on for long")


@given(st.text())
def test_foreign_text_keeps_no_control_character(text: str) -> None:
    assert not set(foreign_text(text)) & {"\u202e", "\u2066", "\u200b", "\u200d", "\x00", "\x1b", "\n"}

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.json_strings import decode_string


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        (r"a\nb\tc\"d\\e\/f", 'a\nb\tc"d\\e/f'),
        (r"\u00e9\ud83d\ude00", "é😀"),
        (r"\ud83d", "\ud83d"),
        (r"\ud83d\n\ude00", "\ud83d\n\ude00"),
        # Escapes unknown to JSON, and \u without four digits.
        (r"\alpha\(\)\sqrt{2}\,\%\d\x41", r"\alpha\(\)\sqrt{2}\,\%\d\x41"),
        (r"\underline{x}\upsilon\u12", r"\underline{x}\upsilon\u12"),
        (r"it\'s", "it's"),
        # \b and \f before a letter.
        (r"\frac\beta\bar\forall", r"\frac\beta\bar\forall"),
        (r"\b \f1", "\b \f1"),
        # \n, \t, \r before the letters of a command.
        (
            r"\nabla\neq\times\theta\text{a}\rho\right)\rightarrow",
            r"\nabla\neq\times\theta\text{a}\rho\right)\rightarrow",
        ),
        (r"\nablas\textra\rhos", "\nablas\textra\rhos"),
        (r"a\nb\nNext\tx\r\ny", "a\nb\nNext\tx\r\ny"),
        (r"\nu", r"\nu"),
        (r"h\nu = 3", r"h\nu = 3"),
        (r"one\ntwo\nu", "one\ntwo\nu"),
        (r"one\ntwo $h\nu$", "one\ntwo $h\\nu$"),
        (r"$5 \nu", r"$5 \nu"),
        (r"one\ntwo $h$\nu", "one\ntwo $h$\nu"),
        (r"one\ntwo \alpha\nu", "one\ntwo \\alpha\\nu"),
        (r"\\alpha\nu", "\\alpha\nu"),
        (r"\ni", "\ni"),
        (r"\alpha \ni x", r"\alpha \ni x"),
        (r"$\ni$", r"$\ni$"),
        (r"\nless", "\nless"),
        (r"\tan", r"\tan"),
        (r"a\tb\tan", "a\tb\tan"),
    ],
)
def test_decoded_strings(raw, text):
    assert decode_string(raw) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.booleans())
def test_strict_json_strings_are_decoded_exactly(text, is_ascii):
    assert decode_string(json.dumps(text, ensure_ascii=is_ascii)[1:-1]) == text


@given(st.text("abc \\nutrbfx\"'$u0123", max_size=60))
def test_escaped_backslashes_are_always_single_backslashes(text):
    assert decode_string(json.dumps(text)[1:-1]) == text


@pytest.mark.parametrize("raw", [r"\nu", r"\n", r"\\", r"$\nu", r"\u", "\\ud83d"])
def test_long_strings_are_decoded_in_linear_time(raw):
    assert decode_string(raw * 30_000)

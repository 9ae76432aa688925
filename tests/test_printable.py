import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.printable import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [("", ""), ("  a\n\tb  ", "a b"), ("\x1b[31mred\x07", "[31mred"), ("a\u202eb", "a b"), ("ü 界", "ü 界")],
)
def test_examples(text, line):
    assert one_line(text) == line


def test_a_long_line_is_cut_off():
    assert one_line("abc def", 5) == "abc d"


@given(st.text())
def test_the_result_is_printable_and_stays_as_it_is(text):
    line = one_line(text)
    assert line.isprintable()
    assert one_line(line) == line

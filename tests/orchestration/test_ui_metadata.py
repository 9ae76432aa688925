import polars as pl

from advcluster_dagster.orchestration.ui_metadata import preview


def _cells(*values):
    return preview(pl.DataFrame({"text": list(values)})).splitlines()[2:]


def test_markup_of_a_cell_is_shown_and_not_obeyed():
    (cell,) = _cells("<script>alert(1)</script> | `code` **bold** _it_ [a](http://x) ![i](http://x) \\|")
    inner = cell.removeprefix("| ").removesuffix(" |")
    assert not set("<>|`*_[]!\\") & set(inner)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &#124;" in inner


def test_a_cell_stays_on_its_line_and_is_short():
    (cell,) = _cells("first\nsecond\r\n\tthird " + "x" * 500)
    assert cell.startswith("| first second third xxx")
    assert cell.endswith("x… |")
    assert len(cell) == 90 + len("|  |")


def test_quotes_cannot_leave_an_attribute():
    (cell,) = _cells("\" onload='x' &amp;")
    assert cell == "| &quot; onload=&#x27;x&#x27; &amp;amp; |"


def test_a_table_without_rows_says_so():
    assert preview(pl.DataFrame({"text": []})) == "no rows"

"""Rows as a table on a terminal."""

import polars as pl
import pytest

from advcluster_dagster.cli.rows import write_rows


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_long_name_is_folded_and_not_cut(capsys):
    name = "meta-llama-3.1-70b-vs-meta-llama-3.1-8b-general-questions-of-november"
    write_rows(pl.DataFrame({"study": [name], "trials": [10]}))
    lines = [line.strip("│ ").split("│")[0].strip() for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert "".join(lines) == name


def test_more_columns_than_fit_are_shown_a_block_a_row(capsys):
    rows = pl.DataFrame({f"column_{n}": [f"value {n}", None] for n in range(12)})
    write_rows(rows)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert [line.split("│")[1].strip() for line in out.splitlines() if "│" in line] == 2 * rows.columns
    assert "│ column_7  │ value 7  │" in out
    assert "2 rows" in out


def test_no_rows_and_hostile_cells(capsys):
    write_rows(pl.DataFrame({"a": []}, schema={"a": pl.String}))
    assert "0 rows" in capsys.readouterr().out
    write_rows(pl.DataFrame({"[bold]a": ["[red]\x1b[31mx"]}))
    out = capsys.readouterr().out
    assert "[bold]a" in out
    assert "[red]\\x1b[31mx" in out

"""The page of an audit: what it says, and that text stays text."""

import re

import polars as pl

from advcluster_dagster.audit.page import render_page, write_page
from tests.audit.conftest import HERE, audited, change_rows


def test_the_page_shows_every_advantage_and_every_file(made_intact):
    found = audited(made_intact)
    page = render_page(found)
    assert "Every link holds." in page
    for advantage_id in made_intact.table("taxonomy_assignments")["advantage_id"]:
        assert f"<bdi>{advantage_id}</bdi>" in page
    calls = found.calls["advantage_corpus", HERE]
    shown = made_intact.table("taxonomy_assignments").join(made_intact.table("advantage_corpus"), on="advantage_id")
    for pair_id in shown["pair_id"]:
        assert calls[pair_id,][:12] in page
    assert page.count("<td><bdi>sound</bdi></td>") == sum(len(files) for files in found.files.values())


def test_the_page_is_written_beside_the_report(made):
    path = write_page(made.home, audited(made))
    assert path == made.home.reports / "made" / "audit.html"
    assert list(path.parent.iterdir()) == [path]


def test_breaks_are_named_and_hostile_text_is_escaped(made):
    hostile = "<script>alert(1)</script>\u202e"
    change_rows(made.path("advantage_corpus", HERE), lambda rows: rows.with_columns(pl.lit(hostile).alias("advantage")))
    page = render_page(audited(made))
    assert re.search(r"The chain is broken in \d+ places\.", page)
    assert "advantage_corpus of orion/math: content hash mismatch: " in page
    assert "<script" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;[U+202E]" in page


def test_the_page_asks_nothing_of_a_network(given_once):
    page = render_page(audited(given_once))
    for tag in ("<script", "<link ", "@import", "src=", "url("):
        assert tag not in page
    assert "default-src 'none'" in page

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.formatting import MISSING
from advcluster_dagster.report.page import render_report
from advcluster_dagster.report.sections.taxonomy_coverage import changes_table, coverage_table
from tests.report.test_page import HOSTILE, Page, with_table

COVERAGE = [
    # 40 + 60 known advantages; 8 + 2 new ones, of which 1 + 0 outside: 1 of 10 in all.
    {"cluster_id": 0, "tag": "Checks units", "n_training": 40, "n_new": 8, "n_outside": 1, "outside_share": 0.125},
    {"cluster_id": 1, "tag": None, "n_training": 60, "n_new": 2, "n_outside": 0, "outside_share": 0.0},
]
CHANGES = [
    {"change": "continued", "old_cluster_id": 0, "old_tag": "Checks units", "new_cluster_id": 2,
     "new_tag": "Tracks units", "centre_distance": 0.25, "n_shared": 30, "old_share": 0.75, "new_share": 1.0},
    {"change": "born", "new_cluster_id": 1, "new_tag": "Bounds it"},
]  # fmt: skip


def _table(name, family, rows):
    rows = [{"family": family, **extra, **row} for extra, row in zip(_extra(name), rows, strict=False)]
    return pl.DataFrame(rows, schema=TABLES[name].schema)


def _extra(name):
    is_coverage = name == "taxonomy_coverage"
    return [{"taxonomy": "june", "reach": 1.5} if is_coverage else {"change_index": n} for n in range(9)]


def test_before_anything_is_frozen_nothing_is_said(data):
    family = next(iter(data.study.families))
    assert coverage_table(data, family) is None
    assert changes_table(data, family) is None
    assert "Since the taxonomy was frozen" not in render_report(data)


def test_coverage_in_numbers(data):
    family = next(iter(data.study.families))
    table = coverage_table(with_table(data, taxonomy_coverage=_table("taxonomy_coverage", family, COVERAGE)), family)
    assert table.caption == "10 new advantages placed in the frozen taxonomy 'june'."
    assert [row.cells[2:] for row in table.rows] == [
        ("40", "8", "1", "12.5"), ("60", "2", "0", "0.0"), ("100", "10", "1", "10.0"),
    ]  # fmt: skip
    quiet = [{**row, "n_new": 0, "n_outside": 0, "outside_share": None} for row in COVERAGE]
    nothing_new = with_table(data, taxonomy_coverage=_table("taxonomy_coverage", family, quiet))
    assert coverage_table(nothing_new, family) is None


def test_changes_in_words(data):
    family = next(iter(data.study.families))
    table = changes_table(with_table(data, taxonomy_changes=_table("taxonomy_changes", family, CHANGES)), family)
    assert [row.cells[:4] for row in table.rows] == [
        ("continued", "#0 Checks units", "#2 Tracks units", "30"),
        ("born", "", "#1 Bounds it", MISSING),
    ]
    assert table.rows[0].cells[4:] == ("75.0", "100.0", "0.250")


def test_both_stand_on_the_page_and_hostile_tags_stay_text(data):
    family = next(iter(data.study.families))
    tables = {
        name: _table(name, family, rows).with_columns(pl.lit(HOSTILE).alias(tag))
        for name, rows, tag in (("taxonomy_coverage", COVERAGE, "tag"), ("taxonomy_changes", CHANGES, "new_tag"))
    }
    html = render_report(with_table(data, **tables))
    assert html.count("Since the taxonomy was frozen") == 1
    assert "<script" not in html
    Page(html)

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from advcluster_dagster.contracts.grading import GRADING_PANEL
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.sections.accuracy import panel_table
from advcluster_dagster.study.study import Study

ROWS = [
    # domain, prediction, verdict of the rules, majority
    ("math", "1", "grader_error", True),
    ("math", "2", "grader_timeout", False),
    ("math", "3", "grader_error", None),
    ("math", "4", "correct", True),
    ("math", "5", "wrong", True),
    ("physics", "6", "correct", True),
]


def _panel(family: str, rows: list[tuple[str, str, str, bool | None]]) -> pl.DataFrame:
    made = [
        {
            "family": family, "domain": domain, "question_id": "q", "prediction": prediction, "answer": "a",
            "symbolic_verdict": verdict, "n_votes": 3, "n_same": 2, "is_same": is_same,
        }
        for domain, prediction, verdict, is_same in rows
    ]  # fmt: skip
    return pl.DataFrame(made, schema=GRADING_PANEL.schema)


def _cells(data: ReportData, rows: list[tuple[str, str, str, bool | None]]) -> list[tuple[str, ...]]:
    family = next(iter(data.study.families))
    shown = replace(data, tables={**data.tables, "grading_panel": _panel(family, rows)})
    return [row.cells for row in panel_table(shown, family).rows]


def test_decisions_and_agreement_of_the_panel(data: ReportData) -> None:
    # Mathematics: of two compared one agrees, which chance alone gives too. All: two of three, by chance 2/3 * 3/3.
    assert _cells(data, ROWS) == [
        ("math", "3", "1", "1", "2", "50.0", "0.00"),
        ("physics", "0", "0", "0", "1", "100.0", "—"),
        ("all domains", "3", "1", "1", "3", "66.7", "0.00"),
    ]


def test_one_domain_needs_no_sum_and_none_no_row(data: ReportData) -> None:
    assert _cells(data, ROWS[2:3]) == [("math", "1", "0", "0", "0", "—", "—")]
    assert _cells(data, []) == []


def test_members_of_the_panel_are_counted(make_data: Callable[..., ReportData]) -> None:
    data = make_data()
    members = [{"model": name, "provider": "openai"} for name in ("a", "b", "c")]
    study = Study.model_validate({**data.study.model_dump(mode="json"), "grading": {"panel": members}})
    assert "Judge panel of 3 models" in panel_table(replace(data, study=study), next(iter(study.families))).caption

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from advcluster_dagster.contracts.grading import GRADING_PANEL
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.published_results import published_families
from advcluster_dagster.report.sections.accuracy import accuracy_table, panel_table
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
    records = [
        {
            "family": family, "domain": domain, "question_id": "q", "prediction": prediction, "answer": "a",
            "symbolic_verdict": verdict, "n_votes": 3, "n_same": 2, "is_same": is_same,
        }
        for domain, prediction, verdict, is_same in rows
    ]  # fmt: skip
    return pl.DataFrame(records, schema=GRADING_PANEL.schema)


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


def _accuracies(data: ReportData, rows: list[tuple[str, str, str, int, float]]) -> ReportData:
    """Data with only these accuracies: domain, benchmark, role, questions, deviation."""
    family = next(iter(data.study.families))
    frame = pl.DataFrame(
        [
            {"family": family, "domain": domain, "benchmark": name, "role": role, "n_questions": n, "n_trials": 10,
             "mean_accuracy": 50.0, "std_accuracy": std}
            for domain, name, role, n, std in rows
        ]
    )  # fmt: skip
    schema = data.tables["benchmark_accuracy"].schema
    frame = frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in schema.items()
    )
    domains = {domain: [name for of, name, *_ in rows if of == domain] for domain, *_ in rows}
    study = data.study.model_copy(update={"domains": {name: list(dict.fromkeys(of)) for name, of in domains.items()}})
    return replace(data, study=study, tables={**data.tables, "benchmark_accuracy": frame})


def test_a_deviation_that_trials_cannot_explain_is_named(data: ReportData) -> None:
    family = next(iter(data.study.families))
    # 3 * 50 / sqrt(100) = 15.
    rows = [("math", "omnimath", "larger", 100, 15.1), ("math", "omnimath", "smaller", 100, 14.9)]
    notes = accuracy_table(_accuracies(data, rows), family, None).notes
    wide = "Deviations too large for single trials on that many questions (over 3 · 50 / √n)"
    assert notes == (f"{wide}: math omnimath, larger model: 15.10.",)
    assert accuracy_table(_accuracies(data, rows[1:]), family, None).notes == ()


def test_the_papers_own_deviation_is_found_and_its_other_measure_is_named(data: ReportData) -> None:
    published = published_families(data.study.model_copy(update={"published_results": "paper"}))
    (family, qwen3) = next(item for item in published.items() if item[0] == "qwen3")
    rows = [
        *(("physics", "olympiadbench", role, 236, 1.0) for role in ("larger", "smaller")),
        *(("programming", "cruxeval-i", role, 800, 1.0) for role in ("larger", "smaller")),
    ]
    notes = accuracy_table(_accuracies(data, rows), family, qwen3).notes
    # 3 * 50 / sqrt(236) = 9.76; the paper's table 6 has 26.37 ± 44.06 and 31.33 ± 46.38.
    assert "physics olympiadbench, published larger model: 46.38" in notes[0]
    assert "physics olympiadbench, published smaller model: 44.06" in notes[0]
    assert notes[1].startswith("cruxeval-i: the published accuracies compare an answer with the benchmark's own input")

"""Section on the analysis question set: kept questions and the pool (paper section 3.2.1, table 9)."""

import polars as pl

from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import MISSING, integer, ratio
from advcluster_dagster.report.published_results import PublishedFamily
from advcluster_dagster.report.views import Row, TableView
from advcluster_dagster.science.question_set.selection import count_incomplete_questions

_ONE_TRIAL = (
    "With one trial per question, pass rates are 0 or 1: a gap is based on one answer of each model and cannot be "
    "distinguished from chance."
)


def kept_questions_table(data: ReportData, family: str, published: PublishedFamily | None) -> TableView:
    """Questions in the pool, incomplete and kept questions by domain, next to published counts."""
    counts = {domain: _counts(data, family, domain) for domain in data.study.domains}
    left_out = data.not_run.get(family, ())
    rows = [
        Row(_cells(domain, None if domain in left_out else counts[domain], published, domain))
        for domain in data.study.domains
    ]
    total = tuple(sum(counts[domain][i] for domain in data.domains_run(family)) for i in range(3))
    rows.append(Row(_cells("total", (total[0], total[1], total[2]), published, None), "total"))
    return TableView(
        caption="Questions kept for the analysis: the pass-rate gap is at least "
        f"{data.study.question_set.min_gap:g} and all {data.study.trials} trials of both models are scored.",
        columns=("domain", "pool", "incomplete", "kept", "kept (%)", *(("kept", "pool") if published else ())),
        spans=(("", 1), ("this study", 4), ("published", 2)) if published else (),
        rows=tuple(rows),
        notes=(
            "Incomplete: a trial is missing or could not be graded, so the question cannot be kept.",
            *((_ONE_TRIAL,) if data.study.trials == 1 else ()),
        ),
    )


def _counts(data: ReportData, family: str, domain: str) -> tuple[int, int, int]:
    """Numbers of questions in the pool, of incomplete and of kept questions."""
    in_domain = pl.col("domain") == domain
    pool = data.table("pass_rate_table", family).filter(in_domain)
    kept = data.table("analysis_question_set", family).filter(in_domain)
    return pool.height, count_incomplete_questions(pool, data.study.trials), kept.height


def _cells(
    label: str, counts: tuple[int, int, int] | None, published: PublishedFamily | None, domain: str | None
) -> tuple[str, ...]:
    numbers = (MISSING,) * 4 if counts is None else (*map(integer, counts), ratio(counts[2], counts[0]))
    cells = (label, *numbers)
    if published is None:
        return cells
    published_cells = [
        integer(sum(of_domain.values()) if domain is None else of_domain.get(domain))
        for of_domain in (published.kept_questions, published.pool_questions)
    ]
    return (*cells, *published_cells)

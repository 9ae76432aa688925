"""Accuracies of both models and the verdicts behind them (paper tables 1 and 5 to 8)."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import polars as pl

from advcluster_dagster.contracts.columns import ROLES, Role
from advcluster_dagster.contracts.vocabularies import UNDECIDED_VERDICTS, VERDICTS
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import (
    MAX_NAME,
    MISSING,
    counted,
    decimal,
    difference,
    foreign_text,
    integer,
    mean_std,
    percent,
    ratio,
    signed,
)
from advcluster_dagster.report.published_results import PublishedFamily, RoleAccuracy
from advcluster_dagster.report.views import Row, TableView
from advcluster_dagster.science.grading.panel import measure_agreement

_VERDICT_WORDS = {
    "correct": "correct",
    "wrong": "wrong",
    "no_answer": "no answer found (counts as wrong)",
    "truncated": "cut off at the token limit (counts as wrong)",
    "missing_response": "response missing (not graded)",
    "not_gradable_yet": "answer type not gradable (not graded)",
    "grader_error": "grader failed (not graded)",
    "grader_timeout": "grader timed out (not graded)",
}
#: Standard deviations of single trials from which on a deviation is named.
_MOST_DEVIATIONS = 3
#: The benchmark whose answers are executed here and compared in the published results.
_EXECUTED = "cruxeval-i"
_Values = Mapping[Role, tuple[float | None, float | None]]


def accuracy_table(data: ReportData, family: str, published: PublishedFamily | None) -> TableView:
    """Every benchmark under its domain, the domain's row, the family's row; both models and how far apart they are."""
    benchmarks = data.table("benchmark_accuracy", family)
    summary = data.table("accuracy_summary", family)
    rows: list[Row] = []
    for domain in data.study.domains:
        rows_of_domain = benchmarks.filter(pl.col("domain") == domain)
        if rows_of_domain.is_empty():
            continue
        rows.append(Row((domain,), "group"))
        rows += _benchmark_rows(rows_of_domain, domain, published)
        of_domain = published.accuracy.domains.get(domain) if published else None
        values = _values(summary.filter(pl.col("level") == "domain", pl.col("domain") == domain))
        cells = _cells(f"mean of {domain}", "", values, published, of_domain)
        rows.append(Row(cells, "subtotal"))
    if rows:
        values = _values(summary.filter(pl.col("level") == "family"))
        beside = published.accuracy.family if published else None
        rows.append(Row(_cells("all domains", "", values, published, beside), "total"))
    names = data.names(family)
    headings = (names.smaller, names.larger, "difference")
    return TableView(
        caption=f"Accuracy of {_models_named(data, family)} in percent: mean ± "
        f"sample standard deviation over T = {data.study.trials} trials; the difference is in points.",
        columns=("", "questions", *headings, *(headings if published else ())),
        spans=(("", 2), ("this study", 3), ("published", 3)) if published else (),
        rows=tuple(rows),
        notes=(
            *_short_trials(data, family, benchmarks),
            *_wide_deviations(data, family, benchmarks, published),
            *_executed_instead_of_compared(data, published),
            *_unmatched(data, published),
        ),
        empty="No trial has been graded.",
    )


def _models_named(data: ReportData, family: str) -> str:
    """Both models, by their labels or by their names with their roles."""
    names, models = data.names(family), data.study.families[family]
    if names.is_label:
        return f"{names.smaller} and {names.larger}"
    return f"{models.smaller.model} (smaller) and {models.larger.model} (larger)"


def _benchmark_rows(rows_of_domain: pl.DataFrame, domain: str, published: PublishedFamily | None) -> list[Row]:
    names = rows_of_domain["benchmark"].unique(maintain_order=True).to_list()
    rows = []
    for name in names:
        of_benchmark = rows_of_domain.filter(pl.col("benchmark") == name)
        beside = published.benchmark(domain, name, names) if published else None
        numbers = of_benchmark["n_questions"].unique().sort().to_list()
        n_questions = " to ".join(map(integer, numbers))
        rows.append(Row(_cells(foreign_text(name), n_questions, _values(of_benchmark), published, beside)))
    return rows


def _values(rows: pl.DataFrame) -> _Values:
    return {role: (mean, std) for role, mean, std in rows.select("role", "mean_accuracy", "std_accuracy").iter_rows()}


def _cells(
    label: str, n_questions: str, values: _Values, published: PublishedFamily | None, beside: RoleAccuracy | None
) -> tuple[str, ...]:
    nothing: tuple[None, None] = (None, None)
    ours = _three({role: values.get(role, nothing) for role in ROLES})
    if published is None:
        return (label, n_questions, *ours)
    return (label, n_questions, *ours, *_three({role: beside.of(role) if beside else nothing for role in ROLES}))


def _three(values: _Values) -> tuple[str, str, str]:
    gain = difference(values["larger"][0], values["smaller"][0])
    return mean_std(*values["smaller"]), mean_std(*values["larger"]), signed(gain)


def _unmatched(data: ReportData, published: PublishedFamily | None) -> tuple[str, ...]:
    """A note that names the published rows no benchmark or domain of the study stands beside."""
    if published is None:
        return ()
    beside = [
        published.benchmark(domain, name, names) for domain, names in data.study.domains.items() for name in names
    ]
    left = [
        f"{domain} {name}"
        for domain, of_domain in published.accuracy.domains.items()
        for name, row in of_domain.benchmarks.items()
        if row not in beside
    ]
    return (f"Published benchmarks without a counterpart here: {', '.join(left)}.",) if left else ()


def _short_trials(data: ReportData, family: str, benchmarks: pl.DataFrame) -> tuple[str, ...]:
    names, trials = data.names(family), data.study.trials
    short = benchmarks.filter(pl.col("n_trials") < trials).select("benchmark", "role", "n_trials")
    if short.is_empty():
        return ()
    listed = "; ".join(
        f"{foreign_text(name)}, {names.model(role)}: {counted(n, 'trial')}" for name, role, n in short.iter_rows()
    )
    return (f"Fewer than {counted(trials, 'trial')} with a graded question: {listed}.",)


def _wide_deviations(
    data: ReportData, family: str, benchmarks: pl.DataFrame, published: PublishedFamily | None
) -> tuple[str, ...]:
    """A note on deviations that single trials do not explain.

    The accuracy of one trial over n questions varies by at most 50 / sqrt(n) points (binomial at 1/2), so three times
    that points to something else, such as a mean over runs that failed or a deviation over questions.
    """
    wide, names = [], data.names(family)
    for domain, name, n, rows in _benchmarks(benchmarks):
        beside = published.benchmark(domain, name, data.study.domains.get(domain, ())) if published else None
        sources = (("", _values(rows)), ("published ", {role: beside.of(role) for role in ROLES} if beside else {}))
        wide += [
            f"{domain} {foreign_text(name)}, {source}{names.model(role)}: {decimal(std)}"
            for source, values in sources
            for role, (_, std) in values.items()
            if std is not None and n and std > _MOST_DEVIATIONS * 50 / sqrt(n)
        ]
    if not wide:
        return ()
    return (f"Deviations too large for single trials of that many questions (over 3 · 50 / √n): {'; '.join(wide)}.",)


def _benchmarks(benchmarks: pl.DataFrame) -> list[tuple[str, str, int, pl.DataFrame]]:
    """Domain, name, fewest questions of a role, rows."""
    groups = benchmarks.group_by("domain", "benchmark", maintain_order=True)
    return [
        (str(domain), str(name), min(rows["n_questions"].to_list(), default=0), rows) for (domain, name), rows in groups
    ]


def _executed_instead_of_compared(data: ReportData, published: PublishedFamily | None) -> tuple[str, ...]:
    """A note on CRUXEval-I where its published accuracy stands beside ours: they are not the same measure."""
    names = [(domain, name, of) for domain, of in data.study.domains.items() for name in of if name == _EXECUTED]
    if published is None or not any(published.benchmark(*place) for place in names):
        return ()
    return (
        f"{_EXECUTED}: the published accuracies compare an answer with the input that the benchmark names; here the"
        " program is executed, and any input with the right output counts.",
    )


def verdict_table(data: ReportData, family: str) -> TableView:
    """How many trials of each model ended in which verdict, with the share of the model's trials."""
    trials = data.table("graded_trials", family)
    counts = {(role, verdict): n for role, verdict, n in trials.group_by("role", "verdict").len().iter_rows()}
    totals = {role: sum(n for (of, _), n in counts.items() if of == role) for role in ROLES}
    rows = [
        Row(
            (
                _VERDICT_WORDS[verdict],
                *_count_and_share({role: counts.get((role, verdict), 0) for role in ROLES}, totals),
            )
        )
        for verdict in VERDICTS
        if any(counts.get((role, verdict)) for role in ROLES)
    ]
    if rows:
        rows.append(Row(("trials", *_count_and_share(totals, totals)), "total"))
    models = data.study.families[family]
    disagreements = data.table("grading_disagreements", family).height
    return TableView(
        caption="Verdicts on the trials of each model.",
        columns=("verdict", "trials", "share (%)", "trials", "share (%)"),
        spans=(("", 1), (models.smaller.shown_as, 2), (models.larger.shown_as, 2)),
        rows=tuple(rows),
        notes=(f"{counted(disagreements, 'imported verdict')} differ from ours; ours count.",) if disagreements else (),
        empty="No trial has been graded.",
    )


def _count_and_share(counts: Mapping[Role, int], totals: Mapping[Role, int]) -> list[str]:
    return [
        text
        for role in reversed(ROLES)
        for text in ((integer(counts[role]), ratio(counts[role], totals[role])) if totals[role] else (MISSING, MISSING))
    ]


def panel_table(data: ReportData, family: str) -> TableView:
    """What the judge panel decided and how far it agrees with the rules, by domain and over all of them."""
    panel = data.table("grading_panel", family)
    by_domain = [(domain, panel.filter(pl.col("domain") == domain)) for domain in data.study.domains]
    rows = [
        Row(_panel_cells(domain, rows_of_domain))
        for domain, rows_of_domain in by_domain
        if not rows_of_domain.is_empty()
    ]
    if len(rows) > 1:
        rows.append(Row(_panel_cells("all domains", panel), "total"))
    return TableView(
        caption=f"Judge panel of {counted(len(data.study.grading.panel), 'model')} on distinct answers: what the rules "
        "left undecided, and its agreement with them on a draw of answers that they had decided.",
        columns=("", "left by the rules", "same", "not the same", "compared", "agreement (%)", "Cohen's kappa"),
        rows=tuple(rows),
        empty="No answer was put to the panel.",
    )


def judges_table(data: ReportData, family: str) -> TableView:
    """How far the members of the panel agree with each other, by domain, each pair and all of them."""
    frame = data.table("panel_agreements", family)
    by_domain = [(domain, frame.filter(pl.col("domain") == domain)) for domain in data.study.domains]
    shown = [(domain, rows) for domain, rows in by_domain if not rows.is_empty()]
    rows: list[Row] = []
    for domain, rows_of_domain in shown:
        if len(shown) > 1:
            rows.append(Row((domain,), "group"))
        pairs = rows_of_domain.filter(pl.col("judge_a") != pl.col("judge_b"))
        whole = rows_of_domain.filter(pl.col("judge_a") == pl.col("judge_b"))
        rows += [_judges_row(row) for row in (*pairs.iter_rows(named=True), *whole.iter_rows(named=True))]
    return TableView(
        caption="Members of the judge panel beside each other, on the answers that both, or all, voted on: share of"
        " equal votes, kappa (Cohen's of a pair, Fleiss' of all), and points between the accuracies that they give.",
        columns=("judges", "answers", "agreement (%)", "kappa", "difference (points)"),
        rows=tuple(rows),
        notes=(
            "Difference: between the shares of a model's trials that two judges count as right, of those whose answer"
            " both voted on; mean over the models, median over the benchmarks. The panel votes on what the rules left"
            " and a draw of other answers, so these shares are no accuracies of a model.",
        ),
        empty="No answer was put to the panel.",
    )


def _judges_row(row: Mapping[str, Any]) -> Row:
    is_whole = row["judge_a"] == row["judge_b"]
    names = [foreign_text(row[name], MAX_NAME) for name in ("judge_a", "judge_b")]
    return Row(
        (
            "all judges" if is_whole else f"{names[0]} and {names[1]}",
            integer(row["n_pairs"]),
            percent(row["share"]),
            decimal(row["kappa"]),
            decimal(row["absolute_error"], 1),
        ),
        "subtotal" if is_whole else "plain",
    )


def _panel_cells(label: str, panel: pl.DataFrame) -> tuple[str, ...]:
    left = panel.filter(pl.col("symbolic_verdict").is_in(UNDECIDED_VERDICTS))
    n_same, n_other = left.filter("is_same").height, left.filter(~pl.col("is_same")).height
    rows_of_domain = measure_agreement(panel)
    counts = (left.height, n_same, n_other, rows_of_domain.n_pairs)
    return (label, *map(integer, counts), percent(rows_of_domain.share), decimal(rows_of_domain.kappa))

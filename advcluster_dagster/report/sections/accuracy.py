"""Section on accuracies of both models and the underlying verdicts (paper tables 1 and 5 to 8)."""

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
#: Multiple of the standard deviation of a single trial above which a deviation is reported.
_MOST_DEVIATIONS = 3
#: The benchmark whose answers are executed here, but compared as text in the published results.
_EXECUTED = "cruxeval-i"
_Values = Mapping[Role, tuple[float | None, float | None]]


def accuracy_table(data: ReportData, family: str, published: PublishedFamily | None) -> TableView:
    """Accuracies and difference of both models by benchmark, domain and family, next to published values."""
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
        counterpart = published.accuracy.family if published else None
        rows.append(Row(_cells("all domains", "", values, published, counterpart), "total"))
    names = data.names(family)
    headings = (names.smaller, names.larger, "difference")
    return TableView(
        caption=f"Accuracy of {_models_named(data, family)} in percent: mean ± "
        f"sample standard deviation over T = {data.study.trials} trials; difference in points.",
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
    """Both models, by label, else by name and role."""
    names, models = data.names(family), data.study.families[family]
    if names.is_label:
        return f"{names.smaller} and {names.larger}"
    return f"{models.smaller.model} (smaller) and {models.larger.model} (larger)"


def _benchmark_rows(rows_of_domain: pl.DataFrame, domain: str, published: PublishedFamily | None) -> list[Row]:
    names = rows_of_domain["benchmark"].unique(maintain_order=True).to_list()
    rows = []
    for name in names:
        of_benchmark = rows_of_domain.filter(pl.col("benchmark") == name)
        counterpart = published.benchmark(domain, name, names) if published else None
        numbers = of_benchmark["n_questions"].unique().sort().to_list()
        n_questions = " to ".join(map(integer, numbers))
        rows.append(Row(_cells(foreign_text(name), n_questions, _values(of_benchmark), published, counterpart)))
    return rows


def _values(rows: pl.DataFrame) -> _Values:
    return {role: (mean, std) for role, mean, std in rows.select("role", "mean_accuracy", "std_accuracy").iter_rows()}


def _cells(
    label: str, n_questions: str, values: _Values, published: PublishedFamily | None, counterpart: RoleAccuracy | None
) -> tuple[str, ...]:
    missing: tuple[None, None] = (None, None)
    cells = (label, n_questions, *_accuracy_cells({role: values.get(role, missing) for role in ROLES}))
    if published is None:
        return cells
    return (*cells, *_accuracy_cells({role: counterpart.of(role) if counterpart else missing for role in ROLES}))


def _accuracy_cells(values: _Values) -> tuple[str, str, str]:
    gain = difference(values["larger"][0], values["smaller"][0])
    return mean_std(*values["smaller"]), mean_std(*values["larger"]), signed(gain)


def _unmatched(data: ReportData, published: PublishedFamily | None) -> tuple[str, ...]:
    """Note on published benchmarks that the study does not have."""
    if published is None:
        return ()
    matched = [
        published.benchmark(domain, name, names) for domain, names in data.study.domains.items() for name in names
    ]
    unmatched = [
        f"{domain} {name}"
        for domain, of_domain in published.accuracy.domains.items()
        for name, row in of_domain.benchmarks.items()
        if row not in matched
    ]
    return (f"Published benchmarks without a counterpart here: {', '.join(unmatched)}.",) if unmatched else ()


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
    """Note on deviations too large for single trials.

    The accuracy of one trial over n questions has a standard deviation of at most 50 / sqrt(n) points (binomial at
    1/2), so more than three times that suggests another cause, such as failed runs or a deviation over questions.
    """
    wide, names = [], data.names(family)
    for domain, name, n, rows in _benchmarks(benchmarks):
        counterpart = published.benchmark(domain, name, data.study.domains.get(domain, ())) if published else None
        sources = (
            ("", _values(rows)),
            ("published ", {role: counterpart.of(role) for role in ROLES} if counterpart else {}),
        )
        wide += [
            f"{domain} {foreign_text(name)}, {source}{names.model(role)}: {decimal(std)}"
            for source, values in sources
            for role, (_, std) in values.items()
            if std is not None and n and std > _MOST_DEVIATIONS * 50 / sqrt(n)
        ]
    if not wide:
        return ()
    return (f"Deviations too large for single trials on that many questions (over 3 · 50 / √n): {'; '.join(wide)}.",)


def _benchmarks(benchmarks: pl.DataFrame) -> list[tuple[str, str, int, pl.DataFrame]]:
    """Domain, name, smaller question count of the roles, rows."""
    groups = benchmarks.group_by("domain", "benchmark", maintain_order=True)
    return [
        (str(domain), str(name), min(rows["n_questions"].to_list(), default=0), rows) for (domain, name), rows in groups
    ]


def _executed_instead_of_compared(data: ReportData, published: PublishedFamily | None) -> tuple[str, ...]:
    """Note that the published accuracy of CRUXEval-I is another measure than ours, if both are shown."""
    names = [(domain, name, of) for domain, of in data.study.domains.items() for name in of if name == _EXECUTED]
    if published is None or not any(published.benchmark(*place) for place in names):
        return ()
    return (
        f"{_EXECUTED}: the published accuracies compare an answer with the benchmark's own input; here the program is"
        " executed, and any input with the right output counts.",
    )


def verdict_table(data: ReportData, family: str) -> TableView:
    """Trials of each model by verdict: number and share."""
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
        notes=(f"{counted(disagreements, 'imported verdict')} differ from this study's grades; the latter are used.",)
        if disagreements
        else (),
        empty="No trial has been graded.",
    )


def _count_and_share(counts: Mapping[Role, int], totals: Mapping[Role, int]) -> list[str]:
    return [
        text
        for role in reversed(ROLES)
        for text in ((integer(counts[role]), ratio(counts[role], totals[role])) if totals[role] else (MISSING, MISSING))
    ]


def panel_table(data: ReportData, family: str) -> TableView:
    """Decisions of the judge panel and its agreement with the rules, by domain and overall."""
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
        caption=f"Judge panel of {counted(len(data.study.grading.panel), 'model')} on distinct answers: decisions where"
        " the rules were undecided, and agreement with the rules on a sample of answers that they decided.",
        columns=("", "undecided", "same", "not the same", "compared", "agreement (%)", "Cohen's kappa"),
        rows=tuple(rows),
        empty="No answer was put to the panel.",
    )


def judges_table(data: ReportData, family: str) -> TableView:
    """Agreement between members of the panel by domain, for each pair and for all judges."""
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
        caption="Agreement between members of the judge panel on answers that both, or all, voted on: share of equal"
        " votes, kappa (Cohen's for a pair, Fleiss' for all), and difference between the resulting accuracies.",
        columns=("judges", "answers", "agreement (%)", "kappa", "difference (points)"),
        rows=tuple(rows),
        notes=(
            "Difference: between the shares of a model's trials that two judges consider right, among trials whose"
            " answer both voted on; mean over models, median over benchmarks. The panel votes on undecided answers and"
            " a sample of others, so these shares are not accuracies of a model.",
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
    undecided = panel.filter(pl.col("symbolic_verdict").is_in(UNDECIDED_VERDICTS))
    n_same, n_other = undecided.filter("is_same").height, undecided.filter(~pl.col("is_same")).height
    agreement = measure_agreement(panel)
    counts = (undecided.height, n_same, n_other, agreement.n_pairs)
    return (label, *map(integer, counts), percent(agreement.share), decimal(agreement.kappa))

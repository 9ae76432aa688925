"""Section on accuracy against compute: lengths by outcome, and when the smaller model suffices."""

import polars as pl

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import MISSING, decimal, integer, percent
from advcluster_dagster.report.sections.certainty import interval, percent_interval
from advcluster_dagster.report.views import Row, TableView

_STRATEGIES = {"majority": "majority of k", "pass_at_k": "best of k, with a perfect checker"}
_OUTCOMES = {"not_reached": "not reached", "no_interval": "no interval"}


def lengths_table(data: ReportData, family: str) -> TableView:
    """Accuracy, tokens by outcome and length effect, one row per model and benchmark."""
    frame = data.table("compute_summaries", family).filter(pl.col("task_format") == "all")
    place = {domain: i for i, domain in enumerate((*data.study.domains, "all"))}
    rank = pl.col("domain").replace_strict(place, default=len(place))
    frame = frame.sort(rank, pl.col("benchmark") == "all", "benchmark", "role")
    models, names = {role: data.study.families[family].model_of(role).shown_as for role in ROLES}, data.names(family)
    rows = [
        Row(
            (
                _place(row["domain"], row["benchmark"]),
                models[row["role"]],
                integer(row["n_questions"]),
                percent(row["accuracy"]),
                percent(row["truncated_share"]),
                decimal(row["tokens_mean"], 0),
                decimal(row["tokens_correct"], 0),
                decimal(row["tokens_wrong"], 0),
                decimal(row["token_factor"]) if row["role"] == "larger" else "",
                f"{decimal(row['length_effect'])} {interval(row['length_effect_low'], row['length_effect_high'])}",
            ),
            "plain" if row["benchmark"] != "all" else "total" if row["domain"] == "all" else "subtotal",
        )
        for row in frame.iter_rows(named=True)
    ]
    return TableView(
        caption=f"Accuracy and length in tokens, by model. Factor: mean tokens of {names.the('larger')} over those of "
        f"{names.the('smaller')}. Length effect: log2 of the tokens of wrong over those of right trials of "
        "the same question.",
        columns=(
            "",
            "model",
            "questions",
            "accuracy",
            "truncated",
            "tokens",
            "right",
            "wrong",
            "factor",
            "length effect",
        ),
        rows=tuple(rows),
        n_text_columns=2,
        notes=(
            *_estimated(data),
            "Right and wrong trials come from different questions, so their lengths follow difficulty; the length"
            " effect compares trials of one question and needs several trials.",
        ),
        empty="No question has a scored trial of both models.",
    )


def matches_table(data: ReportData, family: str) -> TableView:
    """Smallest number of samples of the smaller model that reaches the larger model's accuracy."""
    names = data.names(family)
    larger, smaller = names.the("larger"), names.the("smaller")
    rows = [
        Row(
            (
                "all domains" if row["domain"] == "all" else row["domain"],
                _STRATEGIES[row["strategy"]],
                f"{percent(row['larger_accuracy'])} {percent_interval(row['larger_low'], row['larger_high'])}",
                integer(row["k"]) if row["k"] is not None else f"{_OUTCOMES[row['outcome']]} (k ≤ {row['largest_k']})",
                percent(row["smaller_accuracy"]) if row["k"] is not None else MISSING,
                decimal(row["flops_ratio"]),
                decimal(row["tokens_ratio"]),
                decimal(row["cost_ratio"]),
            ),
            "total" if row["domain"] == "all" else "plain",
        )
        for row in data.table("budget_matches", family).iter_rows(named=True)
    ]
    return TableView(
        caption=f"Samples of {smaller} that match one trial of {larger}: smallest k whose accuracy is at least the "
        f"lower bound of {larger}'s interval, and its FLOPs, tokens and money relative to {larger}.",
        columns=(
            "",
            "strategy",
            f"{names.larger}, one trial",
            "k",
            f"{names.smaller} with k",
            "FLOPs",
            "tokens",
            "money",
        ),
        rows=tuple(rows),
        n_text_columns=2,
        notes=("Best of k needs a perfect checker of answers, so it is an upper bound.",),
        empty="No question has a scored trial of both models.",
    )


def _estimated(data: ReportData) -> tuple[str, ...]:
    """Note that token counts may be estimates; empty if they are not estimated."""
    if data.study.compute is None or not data.study.compute.estimates_tokens:
        return ()
    return ("Missing token counts are estimated as a quarter of a trace's characters.",)


def _place(domain: str, benchmark: str) -> str:
    if benchmark != "all":
        return benchmark
    return "all domains" if domain == "all" else f"mean of {domain}"

"""How the command line shows rows, plans and status.

Here: formatting for a terminal, JSON, CSV. Not here: computing any of it.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from rich import box
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from advcluster_dagster.assets.recipe import Estimate
from advcluster_dagster.automation.dry_run import PlannedStep
from advcluster_dagster.automation.status import StepStatus
from advcluster_dagster.models.ledger import LedgerTotals
from advcluster_dagster.models.prices import dollars
from advcluster_dagster.study import Study

_STATES = ("fresh", "stale", "missing", "failed", "blocked", "no sources")
_MOST_REASONS = 12


class FormatError(ValueError):
    """An output format that does not exist; one line."""


def print_rows(rows: pl.DataFrame, form: str) -> None:
    """Print rows as ``table``, ``json`` (a list of objects) or ``csv``.

    Raises:
        FormatError: the format is none of these.
    """
    if form == "json":
        print(json.dumps(rows.to_dicts(), ensure_ascii=False, default=str))
    elif form == "csv":
        sys.stdout.write(_flat(rows).write_csv())
    elif form == "table":
        Console().print(_rows_table(rows))
    else:
        raise FormatError(f"--format is {form!r}; allowed: table, json, csv")


def status_table(study: Study, found: Sequence[StepStatus]) -> Group:
    """Counts of partitions per step and state, then the reasons of what is not fresh."""
    table = Table(
        Column("step", no_wrap=True), *_STATES, title=f"study {study.study}", title_justify="left", box=box.SIMPLE
    )
    for step in dict.fromkeys(status.step for status in found):
        counts = Counter(str(status.state) for status in found if status.step == step)
        table.add_row(step, *(str(counts[state]) if counts[state] else "" for state in _STATES))
    lines = _causes(found)
    more = [f"… and {len(lines) - _MOST_REASONS} more (--json shows all)"] if len(lines) > _MOST_REASONS else []
    failures = [
        f"{status.step} of {status.partition.label} holds {status.n_failures} failed model calls (run --retry-failed)"
        for status in found
        if status.n_failures
    ]
    return Group(table, *(Text(line) for line in (*lines[:_MOST_REASONS], *more, *failures)))


def _causes(found: Sequence[StepStatus]) -> list[str]:
    """Why steps are not fresh, a line a cause; what only follows another step is counted at the end."""
    partitions: dict[tuple[str, str, str], list[str]] = {}
    n_following = 0
    for status in found:
        direct = [reason for reason in status.reasons if not reason.startswith("follows ")]
        n_following += bool(status.reasons) and not direct
        if direct:
            key = (status.step, status.state, "; ".join(direct))
            partitions.setdefault(key, []).append(status.partition.label)
    lines = [f"{step} of {', '.join(labels)} is {state}: {why}" for (step, state, why), labels in partitions.items()]
    return lines + ([f"{n_following} steps follow from these"] if n_following and lines else [])


def status_json(found: Sequence[StepStatus]) -> str:
    """One record per step and partition."""
    return json.dumps(
        [
            {
                "step": status.step,
                **status.partition.columns,
                "state": status.state,
                "reasons": status.reasons,
                "n_failures": status.n_failures,
            }
            for status in found
        ]
    )


def plan_table(planned: Sequence[PlannedStep]) -> Group | Text:
    """Steps that would run, on how many partitions and why, with calls, tokens and cost of those that ask models."""
    if not planned:
        return Text("Nothing to do: all is fresh.")
    numbers = (Column(name, justify="right") for name in ("calls", "tokens in", "tokens out", "cost"))
    table = Table(Column("step", no_wrap=True), "parts", "why", *numbers, box=box.SIMPLE)
    for name in dict.fromkeys(step.status.step for step in planned):
        steps = [step for step in planned if step.status.step == name]
        estimates = [step.estimate for step in steps if step.estimate is not None]
        cells = _estimate_cells(sum(estimates, Estimate())) if estimates else ("", "", "", "")
        table.add_row(name, str(len(steps)), escape(_reasons_in_short(steps)), *cells)
    total = sum((step.estimate for step in planned if step.estimate is not None), Estimate())
    table.add_section()
    table.add_row("all", str(len(planned)), "", *_estimate_cells(total))
    return Group(table, *(Text(line) for line in _estimate_lines(total)))


def _estimate_lines(total: Estimate) -> Iterator[str]:
    """What the estimate rests on."""
    if total.unpriced:
        yield f"No price is known of {', '.join(total.unpriced)}; prices go into prices.yaml of the home."
    if total.assumed:
        yield "Assumed, for want of inputs or earlier replies:"
        yield from (f"  {phrase}" for phrase in total.assumed)


def _reasons_in_short(steps: Sequence[PlannedStep]) -> str:
    """The commonest first reason of a step's partitions."""
    reasons = Counter(
        step.status.state if step.status.state == "missing" else (*step.status.reasons, step.status.state)[0]
        for step in steps
    )
    (reason, n_times), *others = reasons.most_common()
    return reason if not others else f"{reason} ({n_times} of {len(steps)})"


def costs_table(totals: Mapping[tuple[str, str], LedgerTotals]) -> Table:
    """Calls, tokens and cost by asset and model."""
    numbers = (Column(name, justify="right") for name in ("calls", "tokens in", "tokens out", "cost", "cost unknown"))
    table = Table(Column("asset", no_wrap=True), "model", *numbers, box=box.SIMPLE)
    for (asset, model), found in totals.items():
        tokens = ("" if n is None else f"{n:,}" for n in (found.prompt_tokens, found.completion_tokens))
        n_unknown = f"{found.n_cost_unknown:,}" if found.n_cost_unknown else ""
        table.add_row(asset, escape(model), f"{found.n_calls:,}", *tokens, dollars(found.cost), n_unknown)
    return table


def _estimate_cells(estimate: Estimate) -> tuple[str, str, str, str]:
    n_calls = f"{estimate.n_calls:,}"
    cost = dollars(estimate.cost) if estimate.n_calls else ""
    return n_calls, f"{estimate.prompt_tokens:,}", f"{estimate.completion_tokens:,}", cost


def _rows_table(rows: pl.DataFrame) -> Table:
    table = Table(
        *(escape(name) for name in rows.columns), caption=f"{rows.height} row{'s' if rows.height != 1 else ''}"
    )
    for row in rows.iter_rows():
        table.add_row(*("" if value is None else escape(_cell(value)) for value in row))
    return table


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _flat(rows: pl.DataFrame) -> pl.DataFrame:
    """CSV has no lists: they become JSON text."""
    nested = [name for name, dtype in rows.schema.items() if dtype.is_nested()]
    return rows.with_columns(
        pl.col(name).map_elements(lambda value: json.dumps(value.to_list()), return_dtype=pl.String) for name in nested
    )

"""Status, plans and costs of a study, as terminal tables and as rows."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date

import polars as pl
from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from advcluster_dagster.ledger.ledger import LedgerTotals
from advcluster_dagster.ledger.prices import dollars
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.planning.dry_run import PlannedStep
from advcluster_dagster.planning.status import ReasonKind, StepStatus
from advcluster_dagster.study.study import Study

_STATES = ("fresh", "stale", "missing", "failed", "blocked", "no sources")
_MOST_REASONS = 12
#: Reasons that are counted instead of listed per step.
_COUNTED_REASONS = (ReasonKind.FOLLOWS, ReasonKind.EARLIER_VERSION)
_RERUN_EFFECT = "a run repeats them and reuses the model replies in the ledger"


def status_table(study: Study, statuses: Sequence[StepStatus]) -> Group:
    """Return a one-line verdict, partitions counted by step and state, and the reasons why steps are not fresh."""
    table = Table(
        Column("step", no_wrap=True),
        *(Column(state, justify="right", no_wrap=True) for state in _STATES),
        box=box.SIMPLE,
        padding=0,
    )
    for step in dict.fromkeys(status.step for status in statuses):
        counts = Counter(str(status.state) for status in statuses if status.step == step)
        table.add_row(step, *(str(counts[state]) if counts[state] else "" for state in _STATES))
    lines = _causes(statuses)
    more = [f"… and {len(lines) - _MOST_REASONS} more (--format json shows all)"] if len(lines) > _MOST_REASONS else []
    failures = [
        f"{status.step} of {status.partition.label} has {status.n_failures} failed model calls (run --retry-failed)"
        for status in statuses
        if status.n_failures
    ]
    verdict = Text(f"study {study.study}: {_verdict(statuses)}")
    return Group(verdict, table, *(Text(line) for line in (*lines[:_MOST_REASONS], *more, *failures)))


def _verdict(statuses: Sequence[StepStatus]) -> str:
    """Summarise whether a study is up to date; partitions without sources are listed, not counted as stale."""
    counts = Counter(str(status.state) for status in statuses)
    n_idle = counts.pop("no sources", 0)
    if not counts:
        return "nothing to run, no questions or traces yet"
    idle = f"; {n_idle} have no sources" if n_idle else ""
    if set(counts) == {"fresh"}:
        return f"up to date, {counts['fresh']} of {counts['fresh']} step partitions fresh{idle}"
    listed = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state] and state != "fresh")
    return f"{listed} of {counts.total()} step partitions{idle}"


def _causes(statuses: Sequence[StepStatus]) -> list[str]:
    """Return one line per cause for which steps are not fresh.

    Steps made by an earlier version of the program share the first line; steps that are only downstream of others are
    counted in the last.
    """
    partitions: dict[tuple[str, str, str], list[str]] = {}
    n_following = n_earlier = 0
    for status in statuses:
        kinds = {reason.kind for reason in status.reasons}
        direct = [reason.text for reason in status.reasons if reason.kind not in _COUNTED_REASONS]
        n_earlier += ReasonKind.EARLIER_VERSION in kinds
        n_following += kinds == {ReasonKind.FOLLOWS}
        if direct:
            key = (status.step, status.state, "; ".join(direct))
            partitions.setdefault(key, []).append(status.partition.label)
    lines = [
        f"{step} of {', '.join(labels)} is {state}: {cause}" for (step, state, cause), labels in partitions.items()
    ]
    if n_earlier:
        lines.insert(
            0, f"code changed: {n_earlier} steps were made by an earlier version of this program; {_RERUN_EFFECT}"
        )
    return lines + ([f"{n_following} steps follow from these"] if n_following and lines else [])


def status_rows(statuses: Sequence[StepStatus]) -> pl.DataFrame:
    """Return one row per step and partition."""
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "step": pl.String,
        "family": pl.String,
        "domain": pl.String,
        "state": pl.String,
    }
    schema |= {"reasons": pl.List(pl.String), "kinds": pl.List(pl.String), "n_failures": pl.Int64}
    rows = [
        {
            "step": status.step,
            **status.partition.columns,
            "state": status.state,
            "reasons": list(status.texts),
            "kinds": [str(reason.kind) for reason in status.reasons],
            "n_failures": status.n_failures,
        }
        for status in statuses
    ]
    return pl.DataFrame(rows, schema=schema)


def plan_rows(planned: Sequence[PlannedStep]) -> pl.DataFrame:
    """Return one row per step and partition to run; calls, tokens and cost (dollars) are null without model calls."""
    status = status_rows([step.status for step in planned]).drop("kinds", "n_failures")
    numbers = {"n_calls": pl.Int64, "prompt_tokens": pl.Int64, "completion_tokens": pl.Int64, "cost": pl.Float64}
    estimates = [{name: getattr(step.estimate, name, None) for name in numbers} for step in planned]
    return status.hstack(pl.DataFrame(estimates, schema=numbers))


def costs_rows(totals: Mapping[tuple[str, str], LedgerTotals]) -> pl.DataFrame:
    """Return one row per asset and model: calls, failures, tokens, cost in dollars, calls of unknown cost."""
    return pl.DataFrame(
        [{"asset": asset, "model": model, **asdict(counts)} for (asset, model), counts in totals.items()],
        infer_schema_length=None,
    )


def plan_table(
    planned: Sequence[PlannedStep], prices_as_of: date | None = None, is_complete: bool = True
) -> Group | Text:
    """Return the steps to run with number of partitions and, if they call models, calls, tokens and cost; then reasons.

    ``is_complete`` is False if data are still to be imported.
    """
    if not planned:
        return Text(f"Nothing to do: all {'is' if is_complete else 'that can run is'} fresh.")
    table = _numbers_table(("step", "parts"), ("calls", "tokens in", "tokens out", "cost"))
    for name in dict.fromkeys(step.status.step for step in planned):
        steps = [step for step in planned if step.status.step == name]
        estimates = [step.estimate for step in steps if step.estimate is not None]
        cells = _estimate_cells(sum(estimates, Estimate())) if estimates else ("", "", "", "")
        table.add_row(name, str(len(steps)), *cells)
    total = sum((step.estimate for step in planned if step.estimate is not None), Estimate())
    table.add_section()
    table.add_row("all", str(len(planned)), *_estimate_cells(total))
    lines = [*_reason_lines(planned), *_estimate_lines(total, prices_as_of)]
    return Group(table, *(Text(line) for line in lines))


def _reason_lines(planned: Sequence[PlannedStep]) -> Iterator[str]:
    """Yield why the steps would run: each reason with its steps, in the order of the plan."""
    by_reason: dict[str, list[str]] = {}
    for name in dict.fromkeys(step.status.step for step in planned):
        reason = _reasons_in_short([step for step in planned if step.status.step == name])
        by_reason.setdefault(reason, []).append(name)
    yield "Reasons:"
    yield from (f"  {reason}: {', '.join(names)}" for reason, names in by_reason.items())


def _estimate_lines(total: Estimate, prices_as_of: date | None) -> Iterator[str]:
    """Yield the assumptions behind an estimate."""
    if total.cost and prices_as_of:
        yield f"Prices as of {prices_as_of}; vendors change them."
    if total.unpriced:
        yield f"No price is known for {', '.join(total.unpriced)}; add prices to prices.yaml in the home."
    if total.reasoning_cost:
        yield f"Hidden reasoning, not yet seen in the ledger, may add about {dollars(total.reasoning_cost)}."
    if total.assumed:
        yield "Assumptions:"
        yield from (f"  {phrase}" for phrase in total.assumed)


def _reasons_in_short(steps: Sequence[PlannedStep]) -> str:
    """Return the most common first reason of a step's partitions."""
    reasons = Counter(
        step.status.state if step.status.state == "missing" else (*step.status.texts, step.status.state)[0]
        for step in steps
    )
    (reason, n_times), *others = reasons.most_common()
    return reason if not others else f"{reason} ({n_times} of {len(steps)})"


def costs_table(totals: Mapping[tuple[str, str], LedgerTotals]) -> Group:
    """Return calls, tokens and cost by asset and model, and the calls of unknown cost."""
    table = _numbers_table(("asset", "model"), ("calls", "tokens in", "tokens out", "cost"))
    for (asset, model), counts in totals.items():
        tokens = ("" if n is None else _count(n) for n in (counts.prompt_tokens, counts.completion_tokens))
        table.add_row(asset, escape(model), _count(counts.n_calls), *tokens, dollars(counts.cost))
    unknown = [
        f"{counts.n_cost_unknown:,} of {counts.n_calls:,} calls of {model} in {asset} have no known cost."
        for (asset, model), counts in totals.items()
        if counts.n_cost_unknown
    ]
    return Group(table, *(Text(line) for line in unknown))


def _numbers_table(texts: Sequence[str], numbers: Sequence[str]) -> Table:
    """Return an empty table with text columns, then number columns whose cells do not wrap on a narrow screen."""
    first, *others = texts
    columns = [Column(first, no_wrap=True), *(Column(name, overflow="fold") for name in others)]
    columns += [Column(name, justify="right", min_width=7) for name in numbers]
    return Table(*columns, box=box.SIMPLE, collapse_padding=True)


def _count(number: int) -> str:
    """Format a number of calls or tokens, in millions (M) from one million on."""
    return f"{number:,}" if number < 1_000_000 else f"{number / 1_000_000:,.1f}M"


def _estimate_cells(estimate: Estimate) -> tuple[str, str, str, str]:
    counts = _count(estimate.n_calls), _count(estimate.prompt_tokens), _count(estimate.completion_tokens)
    return *counts, dollars(estimate.cost) if estimate.n_calls else ""


def printable(text: str) -> str:
    r"""Replace control characters by their escapes (``\x1b``), so that text cannot move the cursor or set colours."""
    shown = text.translate({0x2068: None, 0x2069: None})  # isolates placed around model-written names
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in shown)

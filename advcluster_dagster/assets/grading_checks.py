"""Checks of graded trials: missing answers and contradicted recorded verdicts, with the settings to look at."""

from collections.abc import Iterable
from typing import Any

import polars as pl

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.pipeline.checks import Outcome
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.printable import one_line
from advcluster_dagster.science.traces import stack_traces

#: Maximum accuracy that blocks if most recorded verdicts say otherwise.
_HARDLY_ANY_CORRECT = 0.05
#: Maximum number of models and benchmarks, of examples, and of characters of a text that a check shows.
_N_NAMED, _N_EXAMPLES, _N_CHARACTERS = 2, 3, 60
_BY_MODEL = ("benchmark", "role", "model")
_TRIAL = ["question_id", "role", "trial"]


def answers_found(step: Step, graded: pl.LazyFrame, bound: float) -> Outcome:
    """Fail if a model's share of responses without an answer on a benchmark reaches the bound; 1 never fails."""
    is_missing = pl.col("verdict") == "no_answer"
    counts = graded.group_by(_BY_MODEL).agg(n=pl.len(), n_missing=is_missing.sum(), share=is_missing.mean())
    counts = counts.sort("share", *_BY_MODEL, descending=[True, False, False, False])
    collected = counts.collect()
    reached = collected.filter(pl.col("share") >= bound) if bound < 1 else collected.clear()
    if reached.is_empty():
        return Outcome(True, {"largest_share": max(collected["share"], default=0.0), "bound": bound})
    rows = reached.select("n_missing", "n", "model", "benchmark").iter_rows()
    measured = [
        f"{n_missing} of {n} responses of {model} on {name} have no answer" for n_missing, n, model, name in rows
    ]
    facts = {
        "measured": _first_of(measured),
        "a_response_ends_in": _end_of_a_response(step, graded.filter(is_missing), reached["benchmark"][0]),
        "bound": bound,
        "look_at": _places_of_answers(step, reached["benchmark"].unique(maintain_order=True)),
    }
    return Outcome(False, facts)


def _end_of_a_response(step: Step, graded: pl.LazyFrame, benchmark: str) -> str:
    """Return the end of a response of the benchmark, on one line; empty if all responses are empty."""
    for role in ROLES:
        trials = graded.filter(pl.col("benchmark") == benchmark, pl.col("role") == role).select("question_id", "trial")
        traces = step.scan_partition(f"{role}_traces").join(trials, on=["question_id", "trial"], how="semi")
        ends = traces.select(pl.col("response").str.strip_chars().str.slice(-4 * _N_CHARACTERS)).drop_nulls()
        for (end,) in ends.filter(pl.col("response") != "").head(1).collect().iter_rows():
            return one_line(end)[-_N_CHARACTERS:]
    return ""


def _places_of_answers(step: Step, benchmarks: Iterable[str]) -> str:
    """Return the settings that locate the answers in these benchmarks' responses, with their current values."""
    parts = []
    for name in benchmarks:
        benchmark = step.study.benchmark(name)
        chosen = {key: getattr(benchmark, key) for key in ("answer_marker", "answer_field", "whole_response")}
        current = [f"{key} {value!r}" for key, value in chosen.items() if value] or [r"\boxed{} or [ANSWER]"]
        parts.append(f"benchmarks.{name}.answer_marker, answer_field or whole_response (now {current[0]})")
    return _first_of(parts)


def _with_recorded(step: Step, graded: pl.LazyFrame) -> pl.DataFrame:
    """Return the graded trials with an imported verdict, and whether our verdict contradicts it."""
    larger, smaller = (step.scan_partition(f"{role}_traces") for role in ROLES)
    recorded = stack_traces(larger, smaller, ("question_id", "trial", "recorded_correct"))
    scored = graded.select(*_BY_MODEL, "question_id", "trial", "prediction", "is_correct").drop_nulls("is_correct")
    both = scored.join(recorded.drop_nulls("recorded_correct"), on=_TRIAL, how="inner")
    is_contradicted = pl.col("is_correct") != pl.col("recorded_correct")
    return both.with_columns(is_contradicted=is_contradicted).sort("benchmark", *_TRIAL).collect()


def few_contradictions(step: Step, graded: pl.LazyFrame, bound: float) -> Outcome:
    """Fail if the share of contradicted recorded verdicts is above the bound for one of the models."""
    compared = _with_recorded(step, graded)
    shares = compared.group_by("role").agg(pl.col("is_contradicted").mean()).sort("role")
    contradicted = compared.filter("is_contradicted")
    facts = {
        **dict(shares.iter_rows()),
        "n_compared": compared.height,
        "n_contradicted": contradicted.height,
        **_examples(step, contradicted),
        "bound": bound,
    }
    return Outcome(max(shares["is_contradicted"], default=0.0) <= bound, facts)


def credible_accuracy(step: Step, graded: pl.LazyFrame, bound: float) -> Outcome:
    """Fail if a model has almost no correct answers on a benchmark and our verdicts contradict the recorded ones.

    The accuracy is that of our verdicts; the share of contradicted verdicts must reach the bound; 1 never fails.
    """
    compared = _with_recorded(step, graded)
    is_contradicted = pl.col("is_contradicted")
    counts = compared.group_by(_BY_MODEL).agg(n=pl.len(), n_other=is_contradicted.sum(), share=is_contradicted.mean())
    accuracy = graded.group_by(_BY_MODEL).agg(accuracy=pl.col("is_correct").mean()).collect()
    collected = counts.join(accuracy, on=_BY_MODEL).filter(pl.col("accuracy") <= _HARDLY_ANY_CORRECT)
    reached = collected.filter(pl.col("share") >= bound).sort(_BY_MODEL) if bound < 1 else collected.clear()
    if reached.is_empty():
        return Outcome(True, {"n_compared": compared.height, "bound": bound})
    rows = reached.select("model", "benchmark", "accuracy", "n_other", "n").iter_rows()
    measured = [
        f"{model} has an accuracy of {100 * accuracy:.1f} % on {name}, {n_other} of {n} recorded verdicts say otherwise"
        for model, name, accuracy, n_other, n in rows
    ]
    names = reached["benchmark"].unique(maintain_order=True)
    contradicted = compared.filter(is_contradicted).join(reached, on=_BY_MODEL, how="semi", maintain_order="left")
    look_at = f"answer and answer_type of the questions, {_places_of_answers(step, names)}"
    facts = {"measured": _first_of(measured), "bound": bound, **_examples(step, contradicted), "look_at": look_at}
    return Outcome(False, facts)


def _examples(step: Step, contradicted: pl.DataFrame) -> dict[str, Any]:
    """Return a few contradicted trials of each role, with gold answer and prediction, as a fact; empty if none."""
    if contradicted.is_empty():
        return {}
    gold = step.scan_partition("benchmark_questions").select("question_id", "answer").collect()
    order = pl.int_range(pl.len()).over("role")
    chosen = contradicted.sort(order, maintain_order=True).head(_N_EXAMPLES)
    rows = chosen.join(gold, on="question_id", how="left", maintain_order="left")
    columns = ("question_id", "trial", "role", "answer", "prediction", "recorded_correct")
    parts = [
        f"{question_id} trial {trial} of the {role} model: gold {_short(answer)}, predicted {_short(prediction)},"
        f" recorded as {'correct' if is_recorded else 'wrong'}"
        for question_id, trial, role, answer, prediction, is_recorded in rows.select(columns).iter_rows()
    ]
    return {"examples": "; ".join(parts)}


def _short(text: str | None) -> str:
    """Return an answer on one line, truncated if it is long."""
    if text is None:
        return "nothing"
    line = one_line(text)
    return repr(line if len(line) <= _N_CHARACTERS else f"{line[:_N_CHARACTERS]}…")


def _first_of(phrases: list[str]) -> str:
    more = f"; and {len(phrases) - _N_NAMED} more" if len(phrases) > _N_NAMED else ""
    return "; ".join(phrases[:_N_NAMED]) + more

"""Section on methods: settings, models, prompts, versions and calls."""

import re
from collections.abc import Iterator
from typing import Any

import polars as pl
from pydantic import BaseModel

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import MISSING, foreign_text, integer
from advcluster_dagster.report.views import Row, TableView
from advcluster_dagster.study.models import Model

_CREDENTIALS = re.compile(r"//[^/@\s]*@")


def settings_table(data: ReportData) -> TableView:
    """Every setting of the study except models, including defaults, with its meaning."""
    rows = tuple(
        Row((key, foreign_text(_CREDENTIALS.sub("//", value), 300), meaning))
        for key, value, meaning in _flatten("", data.study, "")
    )
    return TableView(
        caption="Every setting of the study, including defaults. Models are listed in a separate table.",
        columns=("setting", "value", "meaning"),
        rows=rows,
        n_text_columns=3,
        notes=_overridden_bounds(data),
    )


def _overridden_bounds(data: ReportData) -> tuple[str, ...]:
    """Note on bounds of checks that differ from the default; empty if none do."""
    checks = data.study.checks
    changed = [
        f"{name} {_bound(getattr(checks, name))} (default {_bound(field.default)})"
        for name, field in type(checks).model_fields.items()
        if getattr(checks, name) != field.default
    ]
    return (f"Bounds of checks that are not the default: {', '.join(changed)}.",) if changed else ()


def _flatten(key: str, value: Any, meaning: str) -> Iterator[tuple[str, str, str]]:
    """Yield key, value and meaning of every setting below ``value`` except models, nested keys joined by dots."""
    if isinstance(value, Model) or (isinstance(value, tuple) and value and isinstance(value[0], Model)):
        return
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _flatten(f"{key}.{name}" if key else name, getattr(value, name), field.description or "")
    elif isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _flatten(f"{key}.{name}", item, meaning)
    else:
        yield key, _format_value(value), meaning


def _format_value(value: Any) -> str:
    if value is None or value == {} or value == ():
        return "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value)


def models_table(data: ReportData) -> TableView:
    """Models by their part in the study."""
    study = data.study
    rows = [
        (f"{family}, {data.names(family).of(role)}", pair.model_of(role))
        for family, pair in study.families.items()
        for role in ROLES
    ]
    rows += [(part, getattr(study.judges, part)) for part in ("extractor", "embedder", "summariser", "reviewer")]
    rows += [(f"panel {place}", model) for place, model in enumerate(study.grading.panel, start=1)]
    return TableView(
        caption="Models and their providers.",
        columns=("part", "model", "provider", "sampling", "aliases"),
        rows=tuple(Row((part, *_model_cells(model))) for part, model in rows),
        n_text_columns=5,
    )


def _model_cells(model: Model) -> tuple[str, str, str, str]:
    sampling = ", ".join(f"{name} {value}" for name, value in model.sampling.items()) or "the model's defaults"
    if model.system_prompt:
        sampling = f"{sampling}; system prompt: {foreign_text(model.system_prompt, 300)}"
    return model.model, model.provider, sampling, _format_value(model.aliases)


def calls_table(data: ReportData) -> TableView:
    """Model calls and tokens by asset and model."""
    frame = data.call_totals.sort("asset", "model")
    rows = [
        Row((asset, model, integer(n), integer(prompt), integer(completion)))
        for asset, model, n, prompt, completion in frame.select(
            "asset", "model", "n_calls", "prompt_tokens", "completion_tokens"
        ).iter_rows()
    ]
    if rows:
        sums = frame.select(pl.col("n_calls", "prompt_tokens", "completion_tokens").sum()).row(0)
        rows.append(Row(("total", "", *map(integer, sums)), "total"))
    return TableView(
        caption="Model calls whose replies the results are based on, and their tokens.",
        columns=("asset", "model", "calls", "prompt tokens", "completion tokens"),
        rows=tuple(rows),
        n_text_columns=2,
        notes=("Calls without a token count are not in the sums.",) if frame["prompt_tokens"].null_count() else (),
        empty="No model was called.",
    )


def prompts_table(data: ReportData) -> TableView:
    """sha256 of each prompt file."""
    return TableView(
        caption="Prompt files.",
        columns=("prompt", "sha256"),
        rows=tuple(Row((name, digest)) for name, digest in sorted(data.prompts.items())),
        n_text_columns=2,
        empty="No prompt was used.",
    )


def versions_table(data: ReportData) -> TableView:
    """Versions of the packages that produced the results."""
    return TableView(
        caption="Versions.",
        columns=("package", "version"),
        rows=tuple(Row((name, version or MISSING)) for name, version in sorted(data.versions.items())),
        n_text_columns=2,
        empty="No versions were recorded.",
    )


def _bound(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"

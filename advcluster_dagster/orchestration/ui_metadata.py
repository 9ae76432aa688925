"""Metadata shown in the UI with a table: schema, column lineage, preview, figures, model calls."""

import base64
import html
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from advcluster_dagster.contracts.table import Table
from advcluster_dagster.orchestration.table_figures import table_figures
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.storage.column_lineage import column_lineage
from advcluster_dagster.storage.files import file_sha256
from advcluster_dagster.storage.sql_models import sql_models
from advcluster_dagster.storage.table_files import StagedTable, Stamp

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PREVIEW_ROWS, _PREVIEW_CHARACTERS = 5, 90


def table_metadata(step: Step, staged: StagedTable) -> dict[str, Any]:
    """All metadata of a materialisation; figures and preview first, hashes last."""
    stamp = staged.stamp
    return {
        "dagster/row_count": stamp.n_rows,
        **{name: _image(figure) for name, figure in table_figures(step, staged.table.name, staged.scan()).items()},
        "preview": dg.MetadataValue.md(preview(staged.scan().head(_PREVIEW_ROWS).collect())),
        **shown_facts({**step.facts, **step.models.provider_facts, **stamp.notes, **_call_facts(step)}),
        "file_sha256": file_sha256(staged.staged_path),
        **provenance(step, stamp),
        **_column_lineage(step, staged.table.name),
    }


def provenance(step: Step, stamp: Stamp) -> dict[str, Any]:
    """Provenance of a result: the fingerprints in its stamp and what they cover."""
    fingerprints = {
        "code": stamp.code,
        "settings": stamp.settings,
        "prompts": stamp.prompts,
        "upstream": dict(stamp.upstream),
    }
    sources = step.recipe.provenance(step.home, step.study, step.partition)
    return {"fingerprint": dg.MetadataValue.json(fingerprints), "made_from": dg.MetadataValue.json(sources)}


def shown_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Convert facts to metadata: numbers and strings unchanged, other values as JSON."""
    return {name: _fact(value) for name, value in facts.items()}


def preview(rows: pl.DataFrame) -> str:
    """A few rows as a Markdown table; cells are shortened and escaped, because model-written text is untrusted."""
    if rows.is_empty():
        return "no rows"

    def cell(value: Any) -> str:
        text = " ".join(str(value).split())
        text = text if len(text) <= _PREVIEW_CHARACTERS else f"{text[: _PREVIEW_CHARACTERS - 1]}…"
        return html.escape(text).translate({ord(c): f"&#{ord(c)};" for c in "|`*_[]!\\"})

    lines = [rows.columns, ["---"] * rows.width, *([cell(value) for value in row] for row in rows.iter_rows())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def column_schema(table: Table) -> dg.TableSchema:
    """The contract's columns with their constraints."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                str(column.dtype),
                column.description,
                dg.TableColumnConstraints(
                    nullable=column.is_nullable,
                    unique=(column.name,) == table.key and table.level == "study",
                    other=[column.constraint] if column.constraint else [],
                ),
            )
            for column in table.all_columns
        ]
    )


def _column_lineage(step: Step, table: str) -> dict[str, Any]:
    if table not in sql_models():
        return {}
    deps = {
        column: [dg.TableColumnDep(asset_key(step.study.study, source), name) for source, name in sources]
        for column, sources in column_lineage(sql_models()[table]).items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)}


def _call_facts(step: Step) -> dict[str, int | float | None]:
    """Counts of model calls; costs are sums of the known costs, dollars, None if none is known."""
    if not step.models.stats:
        return {}
    names = ("n_asked", "n_replayed", "n_failed", "prompt_tokens", "completion_tokens", "n_cost_unknown")
    counts = {f"calls_{name}": sum(getattr(stats, name) for stats in step.models.stats) for name in names}
    costs = {
        f"calls_{name}_usd": [cost for stats in step.models.stats if (cost := getattr(stats, name)) is not None]
        for name in ("cost", "asked_cost")
    }
    return {**counts, **{name: sum(known) if known else None for name, known in costs.items()}}


def _fact(value: Any) -> Any:
    if value is None:
        return dg.MetadataValue.null()
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")
    return value if isinstance(value, int | float | str) else dg.MetadataValue.json(value)


def _image(figure: "Figure") -> dg.MetadataValue[Any]:
    from advcluster_dagster.report.style import figure_png  # slow import, only when a figure is drawn

    encoded = base64.b64encode(figure_png(figure, 110)).decode()
    return dg.MetadataValue.md(f"![figure](data:image/png;base64,{encoded})")

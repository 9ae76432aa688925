"""What Dagster shows of an asset before it is run: grain, source, place in the paper, tags, links to the code."""

import inspect
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import PARTITION_COLUMNS, PartitionLevel
from advcluster_dagster.orchestration.run_process import STUDY_TAG
from advcluster_dagster.pipeline.recipe import Recipe, is_table_on
from advcluster_dagster.storage.home import shipped
from advcluster_dagster.storage.sql_models import sql_models
from advcluster_dagster.study.study import Study

_STAGE_TAG, _PARTITION_TAG = "advcluster/stage", "advcluster/partitioned_by"


class PaperPlace(NamedTuple):
    """Where the paper has what an asset holds, and the line of the paper map that says so, counted from 1."""

    place: str
    line: int


def describe_table(study: Study, recipe: Recipe, table: str) -> str:
    """Meaning of a table, its grain, its source and its place in the paper, as Markdown."""
    contract = TABLES[table]
    key = [name for name in contract.key if name not in PARTITION_COLUMNS[contract.level]]
    grain = f"One row per {_listed(key)}" if key else "One row"
    made = "the SQL model" if table in sql_models() else "the step"
    upstream = [name for name in recipe.upstream if is_table_on(name, study)]
    source = f"Made by {made} `{recipe.name}`" + (f" from {_listed(upstream)}" if upstream else " from files")
    return _joined(contract.description, f"{grain}; {_partitioning(contract.level)}.", f"{source}.", table)


def describe_page(recipe: Recipe) -> str:
    """Meaning of a page, its source and its place in the paper, as Markdown."""
    about = inspect.getdoc(recipe.function) or ""
    return _joined(about, f"One page for the study, made from {len(recipe.reads)} tables.", "", recipe.name)


def asset_tags(study: Study, recipe: Recipe) -> dict[str, str]:
    """Tags of all assets of a step: study, stage, and what they are partitioned by."""
    by = "_".join(PARTITION_COLUMNS[recipe.level]) or "study"
    return {STUDY_TAG: study.study, _STAGE_TAG: recipe.group, _PARTITION_TAG: by}


def code_references(recipe: Recipe, asset: str) -> dict[str, Any]:
    """Links of the asset's page to the source of its step, and to its line in the paper map."""
    references: list[dg.LocalFileCodeReference] = []
    if recipe.module:
        code = inspect.unwrap(recipe.function).__code__
        references.append(
            dg.LocalFileCodeReference(
                file_path=code.co_filename, line_number=code.co_firstlineno, label=f"step {recipe.name}"
            )
        )
    if (model := shipped("dbt_like_sql") / "models" / recipe.group / f"{asset}.sql").is_file():
        references.append(dg.LocalFileCodeReference(file_path=str(model), line_number=1, label=f"SQL model {asset}"))
    if (place := paper_places().get(asset)) is not None:
        references.append(
            dg.LocalFileCodeReference(file_path=str(_paper_map()), line_number=place.line, label="paper map")
        )
    return (
        {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=list(references))}
        if references
        else {}
    )


@cache
def paper_places() -> Mapping[str, PaperPlace]:
    """By asset, its first place in the paper; assets of which the paper has nothing are left out.

    Read from docs/paper_map.md: the tables there that begin with a column ``paper``.
    """
    places: dict[str, PaperPlace] = {}
    column: int | None = None
    for number, line in enumerate(_paper_map().read_text(encoding="utf-8").splitlines(), start=1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            column = None
        elif "asset" in cells:
            column = cells.index("asset") if cells[0] == "paper" else None
        elif column is not None:
            for name in re.findall(r"`(\w+)`", cells[column]):
                places.setdefault(name, PaperPlace(cells[0], number))
    return places


def _paper_map() -> Path:
    return shipped("docs") / "paper_map.md"


def _joined(meaning: str, grain: str, source: str, asset: str) -> str:
    place = paper_places().get(asset)
    paper = f"Paper: {place.place} (docs/paper_map.md)." if place else "Not in the paper (docs/paper_map.md)."
    return "\n\n".join(part for part in (meaning, " ".join(filter(None, (grain, source))), paper) if part)


def _partitioning(level: PartitionLevel) -> str:
    columns = PARTITION_COLUMNS[level]
    return f"one partition per {' and '.join(columns)}" if columns else "one file for the study"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)

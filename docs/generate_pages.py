"""Generate documentation from the code: data contracts, the study file, benchmarks, and dbt's schema files.

Run it as ``python -m docs.generate_pages`` or ``make docs``; a test compares the committed files with its output.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from advcluster_dagster.assets.registry import recipe_of
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import Column, PartitionLevel, Table
from advcluster_dagster.pipeline.checks import Check
from advcluster_dagster.pipeline.declare import sql_checks
from advcluster_dagster.sources.benchmarks.page import benchmarks_page
from advcluster_dagster.storage.sql_models import schema_yml, sql_models
from advcluster_dagster.study.base import NAME_PATTERN, Name, Settings
from advcluster_dagster.study.models import BUILT_IN_PROVIDERS, Model
from advcluster_dagster.study.study import Study

_ROOT = Path(__file__).resolve().parents[1]
_GENERATED = "<!-- Written by `make docs`; do not edit. -->"

#: The smallest study file: every other setting has a default.
SMALLEST_STUDY = """\
study: gsm8k
trials: 2
families:
  gpt3:
    larger:  {model: gpt3-175b, provider: imported}
    smaller: {model: gpt3-6b,   provider: imported}
domains:
  math: [gsm8k]
benchmarks:
  gsm8k: {answer_marker: "A:"}
"""

_TYPES = {
    "String": "text", "Int64": "int64", "Float64": "float64", "Boolean": "boolean",
    "List(String)": "list of text", "List(Int64)": "list of int64", "List(Float32)": "list of float32",
}  # fmt: skip
_PLAIN_TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any"}
_FILES: Mapping[PartitionLevel, str] = {
    "study": "all.parquet",
    "domain": "DOMAIN.parquet",
    "family": "FAMILY.parquet",
    "family_domain": "FAMILY/DOMAIN.parquet",
}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def pages() -> dict[str, str]:
    """Return the text of every generated file, by its path relative to the project's root."""
    stages = sorted({path.parent.name for path in (_ROOT / "dbt_like_sql" / "models").glob("*/*.sql")})
    return {
        "docs/data_contracts.md": data_contracts_page(),
        "docs/study_file.md": study_file_page(),
        "docs/benchmarks.md": benchmarks_page(),
        **{f"dbt_like_sql/models/{stage}/schema.yml": schema_yml(stage) for stage in stages},
    }


def data_contracts_page() -> str:
    """Render docs/data_contracts.md: file, key, columns, checks and step of every table."""
    head = [
        "# Data contracts",
        "",
        _GENERATED,
        "",
        "The columns, keys and checks of every table that a study produces. Each table is a Dagster asset of the same"
        " name; each of its partitions is a Parquet file below `ADVCLUSTER_HOME/lake/STUDY/TABLE/`, with the partition"
        " columns first. A new file is checked against its contract before it replaces the previous one. Only columns"
        " marked as nullable contain null; missing values are never zero.",
        "",
        *(f"- [{table.name}](#{table.name}): {table.description}" for table in TABLES.values()),
    ]
    return _joined([*head, *(line for table in TABLES.values() for line in _table_section(table))])


def _table_section(table: Table) -> Iterator[str]:
    recipe = recipe_of(table.name)
    model = sql_models().get(table.name)
    made_by = (
        f"SQL model `dbt_like_sql/models/{recipe.group}/{table.name}.sql`"
        if model
        else f"step `{recipe.name}` in `{recipe.function.__module__.replace('.', '/')}.py`"
    )
    yield from ("", f"## {table.name}", "", table.description, "")
    yield f"- file: `{table.name}/{_FILES[table.level]}`"
    yield f"- key: {', '.join(f'`{name}`' for name in table.key)}"
    yield f"- group: `{recipe.group}`, produced by {made_by}"
    if table.section is not None:
        yield f"- only in studies with the section `{table.section}`"
    yield ""
    yield from _rows(
        ("column", "type", "null", "values", "meaning"), (_column_cells(column) for column in table.all_columns)
    )
    checks = (*recipe.checks_of(table.name), *sql_checks(table.name))
    if checks:
        yield from ("", "Additional checks:", "", *map(_check_line, checks))


def _column_cells(column: Column) -> tuple[str, ...]:
    null = "yes" if column.is_nullable else ""
    return f"`{column.name}`", _TYPES[str(column.dtype)], null, column.constraint, column.description


def _check_line(check: Check) -> str:
    effect = "blocks downstream steps" if check.is_blocking else "warns"
    bound = f" Bound: `checks.{check.bound}`." if check.bound else ""
    return f"- `{check.name}` ({effect}): {check.description}{bound}"


def study_file_page() -> str:
    """Render docs/study_file.md: every setting of a study file."""
    head = [
        "# The study file",
        "",
        _GENERATED,
        "",
        "Every setting of the YAML file that declares a study. Unknown keys and invalid values are refused with a"
        " message that names the file, the key, the value and the allowed values. Names (of studies, families, domains,"
        " benchmarks, providers) consist of a-z, 0-9, `_`, `.` and `-`, start with a letter or digit and have at most"
        " 60 characters.",
        "",
        "The smallest study, for existing traces:",
        "",
        "```yaml",
        SMALLEST_STUDY.rstrip(),
        "```",
        "",
        f"Built-in providers: {', '.join(f'`{name}`' for name in sorted(BUILT_IN_PROVIDERS))}. Others are declared"
        " under `providers`. Prompts are not settings; they are files in `advcluster_dagster/prompts/`.",
    ]
    return _joined([*head, *(line for model, keys in settings_places().items() for line in _settings(model, keys))])


def settings_places() -> dict[type[Settings], list[str]]:
    """Map each group of settings to its keys in a study file; `NAME` stands for a user-defined name."""
    places: dict[type[Settings], list[str]] = {Study: [""]}

    def visit(model: type[Settings], prefix: str) -> None:
        for name, field in model.model_fields.items():
            for inner, suffix in _groups_in(field.annotation):
                key = f"{prefix}{name}{suffix}"
                places.setdefault(inner, []).append(key)
                visit(inner, f"{key}.")

    visit(Study, "")
    return places


def _groups_in(annotation: Any) -> Iterator[tuple[type[Settings], str]]:
    """Yield the groups of settings in a field's type, with the suffix of the field's key (`.NAME` in a mapping)."""
    if inspect.isclass(annotation) and issubclass(annotation, Settings):
        yield annotation, ""
    elif get_origin(annotation) is dict:
        yield from ((group, f".NAME{suffix}") for group, suffix in _groups_in(get_args(annotation)[1]))
    elif get_origin(annotation) is tuple:
        yield from _groups_in(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        yield from (group for part in get_args(annotation) for group in _groups_in(part))


def _settings(model: type[Settings], keys: list[str]) -> Iterator[str]:
    title = ", ".join(f"`{key}`" for key in keys) if keys != [""] else "Top level"
    yield from ("", f"## {title}", "", inspect.cleandoc(model.__doc__ or ""), "")
    yield from _rows(
        ("key", "type", "default", "allowed", "meaning"),
        (_setting_cells(name, field) for name, field in model.model_fields.items()),
    )


def _setting_cells(name: str, field: FieldInfo) -> tuple[str, ...]:
    meaning = field.description or " ".join(inspect.cleandoc(group.__doc__ or "") for group in _own_group(field))
    kind = "name" if _is_name(field) else _type_in_words(field.annotation)
    return f"`{name}`", kind, _default_in_words(field), _allowed_in_words(field), meaning


def _own_group(field: FieldInfo) -> Iterator[type[Settings]]:
    return (group for group, suffix in _groups_in(field.annotation) if not suffix)


def _is_name(field: FieldInfo) -> bool:
    return any(getattr(rule, "pattern", None) == NAME_PATTERN for rule in field.metadata)


def _type_in_words(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation == Name:
        return "name"
    if annotation in _PLAIN_TYPES:
        return _PLAIN_TYPES[annotation]
    if inspect.isclass(annotation) and issubclass(annotation, Settings):
        return "model" if annotation is Model else "group"
    if origin is Annotated:
        return _type_in_words(inner[0])
    if origin is Literal:
        return "one of"
    if origin is tuple:
        return f"list of {_type_in_words(inner[0])}s"
    if origin is dict:
        return f"{_type_in_words(inner[0])} → {_type_in_words(inner[1])}"
    return " or ".join("null" if part is NoneType else _type_in_words(part) for part in inner)


def _default_in_words(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Model):
        return f"`{value.model}` of `{value.provider}`"
    if isinstance(value, Settings):
        return "its defaults"
    if value is None:
        return "null"
    if isinstance(value, tuple | dict):
        return f"`{', '.join(map(str, value))}`" if value else "none"
    return f"`{value}`"


def _allowed_in_words(field: FieldInfo) -> str:
    parts = []
    for rule in field.metadata:
        parts += [f"{words} {getattr(rule, bound):g}" for bound, words in _BOUNDS.items() if hasattr(rule, bound)]
        if getattr(rule, "pattern", None) and not _is_name(field):
            parts.append(f"`{rule.pattern}`")
        if getattr(rule, "min_length", None):
            parts.append("not empty")
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return ", ".join([*(f"`{choice}`" for choice in choices), *parts])


def _rows(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    titles = tuple(head)
    for cells in (titles, tuple("---" for _ in titles), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every generated file."""
    for path, text in pages().items():
        (_ROOT / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

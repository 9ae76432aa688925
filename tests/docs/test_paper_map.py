"""Every function, asset, SQL model and test that the paper map names exists, and none is left out."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.sql_models import sql_models

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "paper_map.md"
COLUMNS = ("function", "asset", "SQL model", "tests")
ASSETS = {*TABLES, "study_report", "evidence_explorer"}


def _entries() -> Iterator[tuple[str, str]]:
    """(column, name) of every name in backticks in the page's tables."""
    head: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if "function" in cells:
            head = cells
        elif cells and not set(line) <= set("|- "):
            assert len(cells) == len(head), f"a row with another number of cells: {line}"
            for column, cell in zip(head, cells, strict=True):
                yield from ((column, name) for name in re.findall(r"`([^`]+)`", cell) if column in COLUMNS)


ENTRIES = sorted(set(_entries()))


def _named(column: str) -> list[str]:
    return [name for kind, name in ENTRIES if kind == column]


@pytest.mark.parametrize("place", _named("function"))
def test_a_named_function_exists(place):
    path, _, name = place.partition(":")
    assert (ROOT / "advcluster_dagster" / path).is_file()
    module = path.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
    assert callable(getattr(importlib.import_module(f"advcluster_dagster.{module}"), name))


@pytest.mark.parametrize("path", _named("tests"))
def test_a_named_test_file_exists(path):
    assert (ROOT / "tests" / path).is_file()
    assert "def test_" in (ROOT / "tests" / path).read_text(encoding="utf-8")


def test_all_assets_are_on_the_page_and_no_others():
    assert set(_named("asset")) == ASSETS, "give each table a row in docs/paper_map.md"


def test_all_sql_models_are_on_the_page_and_no_others():
    assert set(_named("SQL model")) == set(sql_models())


def test_every_stage_of_the_science_is_on_the_page():
    stages = {
        path.name for path in (ROOT / "advcluster_dagster" / "science").iterdir() if (path / "__init__.py").is_file()
    }
    assert stages == {
        place.split("/")[1] for place in _named("function") if place.count("/") > 1 and "science" in place
    }

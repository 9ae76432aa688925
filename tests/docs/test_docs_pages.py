"""Pages written from the code are those committed, and what pages point to exists."""

import re
from pathlib import Path

import pytest
import yaml

from advcluster_dagster.cli.main import app, import_app
from advcluster_dagster.study.base import Settings
from advcluster_dagster.study.platform import PlatformSettings
from advcluster_dagster.study.study import Study
from docs.generate_pages import SMALLEST_STUDY, pages, settings_places, study_file_page

ROOT = Path(__file__).resolve().parents[2]
BY_HAND = sorted(path for name in ("*.md", "data/*.md", "docs/**/*.md") for path in ROOT.glob(name))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.mark.parametrize("path", list(pages()))
def test_a_generated_file_is_the_committed_one(path):
    assert (ROOT / path).read_text(encoding="utf-8") == pages()[path], "run `make docs`"


def test_the_smallest_study_is_a_study():
    study = Study.model_validate(yaml.safe_load(SMALLEST_STUDY))
    assert study.families["gpt3"].larger.provider == "imported"
    assert SMALLEST_STUDY.rstrip() in study_file_page()


def test_every_setting_is_on_the_page():
    groups, page = settings_places(), study_file_page()
    assert {*groups, PlatformSettings} == set(Settings.__subclasses__())
    assert all(f"| `{name}` |" in page for group in groups for name in group.model_fields)


def test_every_setting_of_a_home_is_on_the_page_of_operations():
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [name for name in PlatformSettings.model_fields if f"| `{name}` |" not in page] == []


def _anchors(text: str) -> set[str]:
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(text))
    return {title.strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", BY_HAND, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in _anchors(target.read_text(encoding="utf-8")), link


def test_the_page_of_commands_names_every_command():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    commands = [command.name or command.callback.__name__ for command in app.registered_commands]
    commands += [f"import {command.name}" for command in import_app.registered_commands]
    assert [name for name in commands if f"`advcluster {name}" not in text] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_named_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    assert named <= targets

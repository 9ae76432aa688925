"""Rules for the code itself: allowed imports, size of modules, forbidden content of files."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.advantage_extraction.messages import extraction_messages
from advcluster_dagster.science.grading.equivalence import equivalence_messages
from advcluster_dagster.science.prompting import fill_template
from advcluster_dagster.science.ratings.rating import rating_messages
from advcluster_dagster.science.semantic_clustering.intruders import intruder_messages
from advcluster_dagster.science.semantic_clustering.messages import NamedCluster, naming_messages, review_messages
from advcluster_dagster.science.semantic_clustering.name_checks import name_check_messages
from advcluster_dagster.science.semantic_clustering.themes import ClusterCard, themes_messages, vote_messages

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "advcluster_dagster"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
PROMPTS = sorted(path.stem for path in (PACKAGE / "prompts").glob("*.md"))
MOST_LINES = 400


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> set[str]:
    """Names of all modules that a file imports, at any level."""
    modules = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def belongs(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def forbidden(importer: str, packages: list[str], allowed: str = "nothing") -> list[str]:
    """Imports of the given packages in a part of our package."""
    return [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if belongs(module, f"advcluster_dagster.{importer}")
        for name in sorted(imports_of(path))
        if any(belongs(name, package) for package in packages) and not belongs(name, allowed)
    ]


def test_science_is_pure():
    others = ["dagster", "dagster_duckdb", "duckdb", "sqlalchemy", "openai", "httpx", "httpx2", "wordllama", "upath"]
    assert forbidden("science", others) == []
    rooms = [f"advcluster_dagster.{room}" for room in ROOMS if room not in ("science", "contracts", "errors")]
    assert forbidden("science", rooms) == []


#: Rooms in import order: each may import itself and earlier ones, which rules out cycles.
ROOMS = (
    "errors",
    "printable",
    "extras",
    "dagster_internals",
    "stop_signals",
    "contracts",
    "study",
    "science",
    "prompts",
    "storage",
    "models.protocol",  # definition of a call, shared by ledger and providers
    "models.server_messages",
    "models.failures",
    "ledger",
    "models",
    "sandbox",
    "demo",
    "sources",
    "exports",
    "report",
    "pipeline",
    "assets",
    "planning",
    "orchestration",
    "code_location",
    "audit",
    "api",
    "cli",
)


def room_of(module: str) -> str:
    """The room of a module of the package, or the module itself if it is ordered separately; empty for the package."""
    name = module.partition(".")[2]
    return name if name in ROOMS else name.partition(".")[0]


def test_rooms_import_only_the_rooms_before_them():
    rank = {room: number for number, room in enumerate(ROOMS)}
    upward = [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        for name in sorted(imports_of(path) & MODULES.keys())
        if room_of(module) and room_of(name) and rank[room_of(name)] > rank[room_of(module)]
    ]
    assert upward == []


def test_there_is_no_import_cycle():
    # The package re-exports names of the rooms, each imported on first use.
    rooms = {module: path for module, path in MODULES.items() if module != "advcluster_dagster"}
    graph = {module: imports_of(path) & rooms.keys() - {module} for module, path in rooms.items()}
    while leaves := [module for module, imported in graph.items() if not imported & graph.keys()]:
        for module in leaves:
            del graph[module]
    assert sorted(graph) == []


@pytest.mark.parametrize("room", ["contracts", "study", "science", "storage", "models", "ledger", "sources", "report"])
def test_dagster_is_imported_by_the_pipeline_and_above_it(room):
    assert forbidden(room, ["dagster", "dagster_duckdb"]) == []


def test_private_modules_of_dagster_are_imported_in_one_place():
    importers = {
        module
        for module, path in MODULES.items()
        for name in imports_of(path)
        if re.match(r"dagster\w*\._|dagster\w*\.\w+\._", name)
    }
    assert importers == {
        "advcluster_dagster.dagster_internals",
        "advcluster_dagster.orchestration.event_log",
        "advcluster_dagster.orchestration.webserver",
    }


def test_vendor_kits_are_imported_by_the_providers_alone():
    kits = ["openai", "wordllama", "google.genai", "vllm"]
    importers = {
        module for module, path in MODULES.items() for name in imports_of(path) if any(belongs(name, k) for k in kits)
    }
    assert [module for module in sorted(importers) if room_of(module) not in ("models", "demo")] == []


def test_every_module_has_a_docstring():
    assert [module for module, path in MODULES.items() if not ast.get_docstring(_parsed(path))] == []


def test_modules_are_of_a_size_to_be_read():
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: n_lines for module, n_lines in lines.items() if n_lines > MOST_LINES} == {}


def test_every_prompt_has_its_purpose():
    assert PROMPTS == [
        "equivalence",
        "extraction",
        "intruder",
        "name_check",
        "naming",
        "rating",
        "review",
        "theme_vote",
        "themes",
    ]


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_are_read_whole(name):
    template = load_prompt(name)
    assert template.name == name
    assert template.system
    assert template.user
    assert re.fullmatch("[0-9a-f]{64}", template.sha256)
    assert "never an instruction" in template.system
    assert not re.search(r"\{\{\w+\}\}", template.system)


def test_every_placeholder_of_the_prompts_is_filled():
    filled = {
        "equivalence": equivalence_messages(load_prompt("equivalence"), "q", "a", "b"),
        "extraction": extraction_messages(load_prompt("extraction"), "p", "a", "b", "1", "2"),
        "intruder": intruder_messages(load_prompt("intruder"), ["a", "b"]),
        "name_check": name_check_messages(load_prompt("name_check"), [(0, "t", "d")], "a"),
        "naming": naming_messages(load_prompt("naming"), ["a"], ["b"]),
        "rating": rating_messages(load_prompt("rating"), "q", "t"),
        "review": review_messages(load_prompt("review"), [NamedCluster(0, "t", "d", 1)]),
        "theme_vote": vote_messages(load_prompt("theme_vote"), "n: d", "t"),
        "themes": themes_messages(load_prompt("themes"), [ClusterCard("f#0", "t", "d", 1, {})]),
    }
    assert sorted(filled) == PROMPTS
    for system, user in filled.values():
        assert "{{" not in system.content + user.content


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_with_a_placeholder_too_many_is_refused(name):
    with pytest.raises(ValueError, match=f"^prompt {name}: placeholders"):
        fill_template(load_prompt(name), {"surplus": "x"}, {})


FOLDERS = ("advcluster_dagster", "bench", "data/studies", "dbt_like_sql", "docs", "tests", ".ci")
#: Folders of a particular machine; assembled from parts, so that this file does not contain them. "me" is an example.
MACHINE_PATH = re.compile(r"(?<![\w.~:}])/(?:" + "|".join(("work", "tmp", "root", "home(?!/me/)")) + r")/")


def committed_texts() -> list[Path]:
    files = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]  # a file in a worktree
    files += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [
        path
        for path in files
        if "__pycache__" not in path.parts and path.suffix not in (".png", ".pyc", ".pdf", ".zip")
    ]


def test_no_file_names_a_path_of_one_machine():
    lines = []
    for path in committed_texts():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if MACHINE_PATH.search(line):
                lines.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert lines == []

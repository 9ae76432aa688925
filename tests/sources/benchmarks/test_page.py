from advcluster_dagster.sources.benchmarks.page import benchmarks_page
from advcluster_dagster.sources.benchmarks.registry import REGISTERED
from tests.studies import ROOT


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == benchmarks_page(), "run `make docs`"


def test_the_page_shows_every_benchmark() -> None:
    page = benchmarks_page()
    for name, definition in REGISTERED.items():
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert definition.dataset in section
        assert definition.revision in section
        assert "````text" in section

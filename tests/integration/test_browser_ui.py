"""The served Dagster UI in a real browser: what users see of a study and can do with it."""

import re

import pytest

from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.study.partition import Partition
from tests.browsers import served_ui, visit
from tests.studies import SmallHome

pytestmark = pytest.mark.integration

GROUPS = (
    "inference",
    "grading",
    "question_set",
    "advantage_extraction",
    "semantic_clustering",
    "error_dispersion",
    "report",
)
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def studied(given_once) -> SmallHome:
    """The study `given` with a failed check and a family table that was never materialised."""
    given_once.change(checks={"max_dispersion_p": 1.0, "max_mean_edi": 0.0})  # both of its domains have mean 1
    assert given_once.run(("edi_summary",)).failures == {}
    with given_once.instance() as instance:
        instance.wipe_assets([asset_key("given", "domain_distribution")])
    given_once.path("domain_distribution", Partition("f")).unlink()
    return given_once


@pytest.fixture(scope="module")
def address(studied):
    with served_ui(studied.home) as address:
        yield address


@pytest.fixture
def page(address, browser):
    with visit(browser, viewport={"width": 1500, "height": 950}) as page_visit:
        page_visit.page.set_default_timeout(PATIENCE_MS)
        yield page_visit.page
        assert {request.split("/")[2] for request in page_visit.requests if request.startswith("http")} == {address[7:]}


def test_the_asset_graph_has_the_stages_as_groups(page, address):
    page.goto(f"{address}/asset-groups")
    for group in GROUPS:
        page.get_by_text(f"given__{group}", exact=True).first.wait_for()
    page.goto(f"{address}/locations/__repository__@advcluster_dagster.code_location/asset-groups/given__report/list")
    for asset in ("study_report", "evidence_explorer"):
        page.get_by_text(asset).first.wait_for()


def test_a_failed_check_is_shown_as_such(page, address):
    page.goto(f"{address}/assets/given/edi_summary?view=checks&checkDetail=mean_edi_bounded")
    page.get_by_text("First errors concentrate at few depths").wait_for()
    page.get_by_text("Failed", exact=True).first.wait_for()
    page.get_by_role("cell", name="bound").first.wait_for()
    assert page.get_by_role("cell").all_inner_texts()[:6] == ["bound", "0", "default_bound", "none", "f-small", "1"]


def test_a_partition_is_materialised_by_click_and_shows_its_figures(page, address, studied):
    path = studied.path("domain_distribution", Partition("f"))
    assert not path.exists()
    page.goto(f"{address}/assets/given/domain_distribution")
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="All", exact=True).click()
    dialog.get_by_text("1 partition", exact=True).first.wait_for()
    dialog.get_by_role("button", name=re.compile("^Launch")).click()
    page.get_by_text(re.compile("^Launched run")).first.wait_for()
    page.goto(f"{address}/assets/given/domain_distribution?view=partitions&partition=f")
    page.get_by_text("Materialized (1)").wait_for()
    assert path.exists()
    page.reload()
    page.get_by_text("heatmap", exact=True).first.wait_for()
    page.get_by_text("[Show Markdown]").first.click()
    picture = page.get_by_role("dialog").locator("img")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300
    assert studied.stamp("domain_distribution", Partition("f")).n_rows == 8


def test_the_report_opens_from_its_asset_in_a_sandbox(page, address, studied):
    assert studied.run(("study_report", "evidence_explorer")).failures == {}
    page.goto(f"{address}/assets/given/study_report")
    link = page.get_by_role("link", name="/pages/given/report.html").first
    link.wait_for()
    assert link.get_attribute("href") == "/pages/given/report.html"
    page.goto(f"{address}/pages/given/report.html")
    assert page.get_by_role("heading", level=1).inner_text().strip()
    # What a script in the page would get: an origin of its own, which the UI's server refuses.
    asked = page.evaluate(
        "address => fetch(address, {method: 'POST', headers: {'content-type': 'application/json'},"
        ' body: \'{"query": "{ version }"}\'}).then(reply => reply.status, error => error.name)',
        f"{address}/graphql",
    )
    assert asked in (403, "TypeError")


def test_the_explorer_works_from_the_served_pages(page, address, studied):
    page.goto(f"{address}/pages/given/explorer.html")
    page.get_by_text("39 advantages").wait_for()


def test_checks_are_executed_alone_by_click(page, address, studied):
    before = studied.path("graded_trials", Partition("f", "sums")).stat().st_mtime_ns
    page.goto(f"{address}/assets/given/graded_trials?view=checks&checkDetail=trials_complete")
    page.get_by_role("button", name="Execute all").click()
    page.get_by_text(re.compile("^Launched run")).first.wait_for()
    with studied.instance() as instance:  # what such a run does: tests/orchestration/test_lone_checks.py
        (run,) = instance.get_runs(limit=1)
    assert not run.asset_selection
    assert {"contract", "trials_complete"} <= {key.name for key in run.asset_check_selection}
    assert studied.path("graded_trials", Partition("f", "sums")).stat().st_mtime_ns == before

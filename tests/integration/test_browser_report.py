"""The report in a real browser, opened from disk."""

import polars as pl
import pytest

from advcluster_dagster.report.page import render_report
from tests.integration.test_browser_explorer import written
from tests.report.conftest import make_report_data
from tests.report.explorer.evidence import family_of, pair_of
from tests.report.test_page import HOSTILE, with_table

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of an invented family with hostile cluster names, and its explorer."""
    data = make_report_data(("orion",), n_questions=20)
    taxonomy = data.tables["final_taxonomy"].with_columns(tag=pl.lit(HOSTILE), definition=pl.lit(HOSTILE))
    folder = tmp_path_factory.mktemp("report")
    page = folder / "report.html"
    page.write_text(render_report(with_table(data, final_taxonomy=taxonomy)), encoding="utf-8")
    written(folder, [family_of({"math": [pair_of(n) for n in range(3)]}, name="orion")], ("orion",))
    return page.as_uri()


def test_it_asks_for_nothing_and_breaks_no_rule_of_its_own(open_page, report):
    with open_page() as visit:
        visit.page.goto(report)
        sizes = visit.page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
        assert len(sizes) == 5
        assert min(sizes) > 300
        assert [address for address in visit.requests if not address.startswith("data:image/svg+xml")] == [report]
        assert visit.faults == []


def test_hostile_names_stay_text(open_page, report):
    with open_page() as visit:
        visit.page.on("dialog", lambda _: pytest.fail("a script ran"))
        visit.page.goto(report)
        assert visit.page.locator("h5 bdi").first.inner_text().startswith("<script>alert(1)</script>")
        assert visit.page.locator("script").count() == 0


@pytest.mark.parametrize("width", [1280, 420])
def test_it_is_no_wider_than_the_window(open_page, report, width):
    with open_page(viewport={"width": width, "height": 900}) as visit:
        visit.page.goto(report)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


def test_its_contents_and_its_clusters_are_links(open_page, report):
    with open_page() as visit:
        page = visit.page
        page.goto(report)
        page.get_by_role("link", name="Final taxonomy").click()
        assert page.locator("#orion-taxonomy h3").evaluate("head => head.getBoundingClientRect().top") < 200
        page.locator('.facts a[href$="cluster=1"]').click()
        page.locator("main h2", has_text="#1 Cluster 1").wait_for()
        page.get_by_role("link", name="Report").click()
        page.locator("#orion-taxonomy").wait_for()


def test_it_is_dark_where_the_reader_wants_it_and_printed_on_white(open_page, report):
    colour = "getComputedStyle(document.body).backgroundColor"
    with open_page(color_scheme="dark") as visit:
        visit.page.goto(report)
        assert visit.page.evaluate(colour) == "rgb(23, 24, 26)"
        visit.page.emulate_media(media="print", color_scheme="dark")
        assert visit.page.evaluate(colour) == "rgb(255, 255, 255)"
    with open_page(color_scheme="light") as visit:
        visit.page.goto(report)
        assert visit.page.evaluate(colour) == "rgb(255, 255, 255)"

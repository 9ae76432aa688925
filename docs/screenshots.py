"""Take the README's screenshots of the finished demonstration: explorer, report, asset graph.

Run it as `python -m docs.screenshots`, or `make screenshots` to run the demonstration first. It needs Chromium and the
extra `browser`, and reads ADVCLUSTER_HOME.
"""

import io
from pathlib import Path
from typing import Any

from PIL import Image

from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.pages import page_path
from tests.browsers import chromium, served_ui, visit

IMAGES = Path(__file__).with_name("images")
STUDY, FAMILY = "demo", "orion"
LOOK = {"device_scale_factor": 1.5, "color_scheme": "light"}


def save(name: str, png: bytes) -> None:
    """Save a screenshot as PNG with 256 colours, to keep the file small."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    path = IMAGES / f"{name}.png"
    picture.save(path, optimize=True)
    print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size / 1024:.0f} KiB")


def explorer(browser: Any, home: Home) -> None:
    """Capture a pair of traces behind an advantage of a cluster specialised in chemistry."""
    with visit(browser, viewport={"width": 1320, "height": 940}, **LOOK) as found:
        page = found.page
        page.goto(f"{page_path(home.reports, STUDY, 'evidence_explorer').as_uri()}#family={FAMILY}")
        page.locator(".card", has_text="specialised in chemistry").locator("a").first.click()
        page.locator(".row").first.click()
        page.locator("#text-larger mark").first.wait_for()
        save("explorer", page.screenshot())


def report(browser: Any, home: Home) -> None:
    """Capture the taxonomy table and the heatmap of the report."""
    with visit(browser, viewport={"width": 880, "height": 900}, **LOOK) as found:
        page = found.page
        page.goto(page_path(home.reports, STUDY, "study_report").as_uri())
        figures = page.locator(f"#{FAMILY}-taxonomy figure")
        boxes = [figures.nth(number).bounding_box() for number in (0, 1)]
        top, bottom = boxes[0]["y"], boxes[1]["y"] + boxes[1]["height"]
        left, width = boxes[0]["x"], boxes[0]["width"]
        clip = {"x": left - 20, "y": top - 12, "width": width + 40, "height": bottom - top + 24}
        save("report_taxonomy", page.screenshot(full_page=True, clip=clip))


def asset_graph(browser: Any, home: Home) -> None:
    """Capture the stages of the study as groups of assets in the Dagster UI."""
    with served_ui(home) as address, visit(browser, viewport={"width": 1180, "height": 460}, **LOOK) as found:
        page = found.page
        page.goto(f"{address}/asset-groups")
        page.get_by_text("semantic_clustering", exact=True).first.wait_for()
        page.get_by_text("Hide navigation").click()
        page.wait_for_load_state("networkidle")
        save("asset_graph", page.screenshot())


if __name__ == "__main__":
    place = Home.from_environment()
    with chromium() as opened:
        for take in (explorer, report, asset_graph):
            take(opened, place)

"""The explorer in a real browser, opened from disk."""

import re
from pathlib import Path
from types import MappingProxyType

import pytest

from advcluster_dagster.report.explorer.page import render_explorer
from advcluster_dagster.report.explorer.scripts import script_files
from tests.report.explorer.evidence import clusters, family_of, made_study, pair_of

pytestmark = pytest.mark.integration

HOSTILE = "</script><img src=x onerror=alert(1)><script>document.title='broken'</script> <b>bold</b> \u202egpj"


def written(folder, families, names=("f",), labels=MappingProxyType({}), **sizes):
    """Write an explorer of invented families below a folder; return the URL of its page."""
    for name, content in script_files(families, **sizes):
        path = folder / "explorer" / "0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    page = folder / "explorer.html"
    page.write_text(render_explorer(made_study(names, labels=labels), "explorer/0"), encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def small(tmp_path):
    """Six questions of mathematics and three of physics: clusters 0 to 2 in turn, stages of five in turn."""
    rows = {"math": [pair_of(n) for n in range(6)], "physics": [pair_of(n, "physics") for n in range(6, 9)]}
    return written(tmp_path, [family_of(rows)])


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


def test_from_the_taxonomy_to_a_pair_of_traces(open_page, small):
    with open_page() as visit:
        page = visit.page
        page.goto(small)
        page.locator(".card a", has_text="Cluster 1").click()
        # numbers 1 and 4 of mathematics, 7 of physics
        assert texts(page, ".row .text") == [f"Adds the right number {n}" for n in (1, 4, 7)]
        page.locator(".row", has_text="number 4").click()
        page.locator("main h2", has_text="Adds the right number 4").wait_for()
        assert texts(page, "#text-question") == ["What is 4 plus one?"]
        assert texts(page, ".gold") == ["Gold answer: 5"]
        assert "Encoding, depth 5 of 5" in page.locator(".pair .note").nth(1).inner_text()
        assert texts(page, "#text-larger mark.evidence") == ["4 + 1"]
        assert texts(page, "#text-smaller mark.evidence") == ["4 + 2"]
        page.get_by_role("link", name="Next").click()
        page.locator("main h2", has_text="Adds the right number 7").wait_for()
        page.go_back()
        page.go_back()
        page.locator("main h2", has_text="#1 Cluster 1").wait_for()
        assert visit.faults == []


def test_no_request_leaves_the_folder(open_page, small, tmp_path):
    with open_page() as visit:
        visit.page.goto(small)
        visit.page.locator(".row").first.click()
        visit.page.locator("#text-larger").wait_for()
        names = ["explorer.html", "explorer/0/0-index.js", "explorer/0/0-texts-0.js", "explorer/0/0-0.js"]
        assert visit.requests == [(tmp_path / name).as_uri() for name in names]


def test_search_and_filters_narrow_the_list_together(open_page, small):
    with open_page() as visit:
        page = visit.page
        page.goto(small)
        page.get_by_label("Domain").select_option("physics")
        page.locator("#tally", has_text="3 of 9 advantages").wait_for()
        page.get_by_label("First error").select_option("Comprehension")  # number 6 alone: 6 % 5 = 1
        page.locator("#tally", has_text="1 of 9 advantages").wait_for()
        # counts of the other choices: 6, 7 and 8 are of the stages 1, 2 and 3
        assert texts(page, "#stage option") == [
            "all (3)", "Reading (0)", "Comprehension (1)", "Transformation (1)", "Process Skills (1)", "Encoding (0)",
        ]  # fmt: skip
        page.get_by_role("button", name="Show all").click()
        page.locator("#tally", has_text=re.compile("^9 advantages$")).wait_for()
        page.get_by_role("searchbox").fill("RIGHT 3 +")  # matches in the text and the evidence, ignoring case
        page.locator("#tally", has_text="1 of 9 advantages").wait_for()
        assert texts(page, ".row .text") == ["Adds the right number 3"]
        page.get_by_role("searchbox").fill("nothing like it")
        page.locator("main .problem", has_text="No advantages match these filters.").wait_for()


@pytest.mark.parametrize(
    ("fragment", "heading"),
    [
        ("advantage=math-2%3A0%3A0", "Adds the right number 2"),
        ("pair=physics-6%3A0", "Adds the right number 6"),
        ("family=f&cluster=2", "#2 Cluster 2"),
        ("family=f&advantage=gone", None),
        ("family=f&pair=__proto__", None),
    ],
)
def test_addresses_lead_to_what_they_name(open_page, small, fragment, heading):
    with open_page() as visit:
        visit.page.goto(f"{small}#{fragment}")
        target = visit.page.locator("main h2", has_text=heading) if heading else visit.page.locator("main .problem")
        target.wait_for()


def test_an_address_without_a_family_finds_the_one_that_has_it(open_page, tmp_path):
    families = [family_of({"math": [pair_of(n)]}, name=name) for n, name in enumerate(("f", "g"))]
    with open_page() as visit:
        visit.page.goto(f"{written(tmp_path, families, ('f', 'g'))}#advantage=math-1:0:0")
        visit.page.locator("#families a[aria-current]", has_text="g").wait_for()
        visit.page.locator("main h2", has_text="Adds the right number 1").wait_for()


def test_what_is_missing_is_said(open_page, tmp_path):
    rows = [
        pair_of(
            0, evidence='It says "something else"', larger="one  two", error='It says "one two"', smaller="one\ntwo"
        ),
        pair_of(1, reason="not_json"),
        pair_of(2, duplicate_of="math-0:0:0"),
    ]
    address = written(tmp_path, [family_of({"math": rows}, clusters(0), reason="fewer than 3 rows")])
    with open_page() as visit:
        page = visit.page
        page.goto(address)
        page.locator("main .problem", has_text="There is no taxonomy: fewer than 3 rows.").wait_for()
        assert texts(page, ".rest li") == [
            "1 advantage excluded as duplicates",
            "1 pair of 3 without a usable extraction and hence without advantages",
        ]
        page.locator(".row", has_text="number 0").click()
        page.locator(".not-found", has_text="not found in either trace").wait_for()
        assert texts(page, "#text-smaller mark.error") == ["one\ntwo"]
        assert "(spacing differs)" in page.locator(".pair .note").nth(1).inner_text()
        page.goto(f"{address}#pair=math-1%3A0")
        page.locator("main .problem", has_text="No usable extraction: not json.").wait_for()
        page.goto(f"{address}#advantage=math-2%3A0%3A0")
        page.locator(".about", has_text="duplicate of math-0:0:0, so excluded from the clusters").wait_for()


def test_a_data_file_that_is_gone_is_named(open_page, small, tmp_path):
    (tmp_path / "explorer" / "0" / "0-0.js").unlink()
    with open_page() as visit:
        visit.page.goto(f"{small}#pair=math-1:0")
        visit.page.locator("main .problem", has_text="The data file 0-0 next to this page cannot be read").wait_for()


def test_what_a_model_wrote_stays_text(open_page, tmp_path):
    names = ("question", "answer", "larger", "smaller", "advantage", "evidence", "error")
    rows = [pair_of(0, question_id=HOSTILE, **dict.fromkeys(names, HOSTILE)), pair_of(1, reason=HOSTILE)]
    address = written(tmp_path, [family_of({"math": rows}, clusters(1, lambda _: HOSTILE))])
    shown = HOSTILE.replace("\u202e", "[U+202E]")
    with open_page() as visit:
        page = visit.page
        page.on("dialog", lambda _: pytest.fail("a script ran"))
        page.goto(address)
        page.locator(".card").wait_for()
        assert texts(page, ".card h3 bdi") == [shown]
        page.locator(".row").click()
        page.locator("#text-larger").wait_for()
        for selector in ("main h2", "#text-question", "#text-larger", "#text-smaller", ".gold code"):
            assert texts(page, selector) == [shown]
        page.goto(f"{address}#pair=math-1:0")
        page.locator("main .problem").wait_for()
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 5  # two requests of the page, three data files
        assert "broken" not in page.title().split(" ")[0]
        assert visit.faults == []


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.className")


def test_the_keyboard_is_enough(open_page, small):
    with open_page() as visit:
        page = visit.page
        page.goto(small)
        page.locator(".row").first.wait_for()
        page.keyboard.press("/")
        page.keyboard.type("number")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.locator("main h2", has_text="Adds the right number 1").wait_for()
        page.wait_for_function("document.activeElement.id === 'shown'")  # focus moves on to the pair
        page.keyboard.press("f")
        page.locator("#text-larger mark.is-target", has_text="1 + 1").wait_for()
        assert focused(page) == "go evidence"
        page.keyboard.press("j")
        page.locator("main h2", has_text="Adds the right number 2").wait_for()
        page.keyboard.press("a")
        page.locator(".aligned").wait_for()
        page.keyboard.press("j")  # the view stays
        page.locator("main h2", has_text="Adds the right number 3").wait_for()
        page.locator(".aligned").wait_for()
        page.keyboard.press("a")
        page.locator("#text-larger").wait_for()
        page.keyboard.press("k")
        page.locator("main h2", has_text="Adds the right number 2").wait_for()
        page.keyboard.press("Escape")
        page.locator("main h2", has_text="Advantages found").wait_for()
        page.wait_for_function("document.activeElement.dataset.id === 'math-2:0:0'")  # position restored
        page.keyboard.press("?")
        page.locator("#keys dl").wait_for()
        assert visit.faults == []


def test_traces_stand_step_by_step(open_page, tmp_path):
    larger = "We add one.\n0 + 1 = 1.\nSo it is 1.\nDone."
    smaller = "We add one.\n0 + 2 = 2.\nHm, is that all there is?\nDone."
    address = written(tmp_path, [family_of({"math": [pair_of(0, larger=larger, smaller=smaller)]})])
    with open_page() as visit:
        page = visit.page
        page.goto(f"{address}#advantage=math-0:0:0")
        page.get_by_role("link", name="Step by step").click()
        page.locator(".aligned").wait_for()
        rows = page.locator(".aligned tbody tr")
        assert [rows.nth(n).get_attribute("class") for n in range(rows.count())] == [
            "same", "near", "alone", "alone", "same",
        ]  # fmt: skip
        assert texts(page, ".aligned tbody td") == [
            "We add one.", "We add one.", "0 + 1 = 1.", "0 + 2 = 2.", "So it is 1.", "", "",
            "Hm, is that all there is?",
            "Done.", "Done.",
        ]  # fmt: skip
        # 1 and 1 of the one stand where 2 and 2 of the other are; the quoted passage stays marked
        assert texts(page, "tr.near .larger mark.differs") == ["1", "1"]
        assert texts(page, "tr.near .smaller mark.differs") == ["2", "2"]
        assert "".join(texts(page, ".step.larger mark.evidence")) == "0 + 1"
        assert "2 equal, 1 sharing at least half" in page.locator(".aligned .facts").inner_text()
        page.get_by_role("button", name="larger trace").click()
        page.locator(".step.larger .is-target").wait_for()
        assert visit.faults == []


def test_models_go_by_their_labels_everywhere(open_page, tmp_path):
    labels = {"larger": "<b>on</b> & thinking", "smaller": "off 'direct'"}
    address = written(tmp_path, [family_of({"math": [pair_of(0)]})], labels=labels)
    with open_page() as visit:
        page = visit.page
        page.goto(address)
        page.locator("main h2", has_text="<b>on</b> & thinking over off 'direct'").wait_for()
        assert (
            "a right one of <b>on</b> & thinking and a wrong one of off 'direct'." in page.locator(".lead").inner_text()
        )
        shown = [page.locator("body").inner_text()]
        page.goto(f"{address}#advantage=math-0:0:0")
        page.locator(".trace.larger h3").wait_for()
        assert texts(page, ".trace h3") == list(labels.values())
        assert "Model_A is <b>on</b> & thinking, Model_B off 'direct'." in texts(page, ".key")
        assert "First error of off 'direct'" in texts(page, ".note h3")
        page.get_by_role("button", name="trace of <b>on</b> & thinking").first.click()
        page.locator("#text-larger .is-target").wait_for()
        shown.append(page.locator("body").inner_text())
        page.get_by_role("link", name="Step by step").click()
        page.locator(".aligned").wait_for()
        assert texts(page, ".aligned th") == list(labels.values())
        shown.append(page.locator("body").inner_text())
        assert [text for text in shown if re.search(r"\b(larger|smaller)\b", text, re.IGNORECASE)] == []
        assert page.locator("main b", has_text=re.compile("^on$")).count() == 0
        assert visit.faults == []


def test_traces_of_thousands_of_steps_and_empty_ones_are_aligned(open_page, tmp_path):
    rows = [
        pair_of(0, larger="\n".join(f"Step {n} adds {n}." for n in range(3000)), smaller="Step 7 adds 8. " * 2000),
        pair_of(1, smaller=""),
    ]
    address = written(tmp_path, [family_of({"math": rows})])
    with open_page() as visit:
        for fragment, n_rows in (("advantage=math-0:0:0&view=steps", 300), ("advantage=math-1:0:0&view=steps", 2)):
            visit.page.goto(f"{address}#{fragment}")
            visit.page.locator(".aligned").wait_for()
            visit.page.locator(".aligned tbody tr").nth(n_rows - 1).wait_for(state="attached")
        assert visit.faults == []


def test_five_thousand_advantages_are_listed_bit_by_bit(open_page, tmp_path):
    """Performance: the list renders only a screen or two of rows, and texts are loaded when they are shown."""
    rows = {
        "math": [pair_of(n, larger="We add one. " * 150) for n in range(2500)],
        "physics": [pair_of(n, "physics", larger="We add one. " * 150) for n in range(2500, 5000)],
    }
    address = written(tmp_path, [family_of(rows)])
    assert len(list((tmp_path / "explorer" / "0").iterdir())) > 8
    with open_page() as visit:
        page = visit.page
        page.goto(address)
        page.locator("#tally", has_text="5,000 advantages").wait_for()
        page.locator(".row").first.wait_for()
        assert page.locator(".row").count() <= 200
        names = [Path(request).name for request in visit.requests]
        assert names == ["explorer.html", "0-index.js", "0-texts-0.js"]
        page.locator("#results").evaluate("list => list.scrollTo(0, list.scrollHeight)")
        page.locator(".row").nth(150).wait_for(state="attached")
        page.get_by_role("searchbox").fill("number 4321")  # loads the texts not loaded before
        page.locator("#tally", has_text="1 of 5,000 advantages").wait_for()
        page.locator(".row").click()
        page.locator("main h2", has_text="Adds the right number 4321").wait_for()
        assert len(visit.requests) == 6
        page.goto(f"{address}#advantage=physics-4999%3A0%3A0")  # far down the list
        page.locator(".row[aria-current]", has_text="number 4999").wait_for()
        assert page.locator(".row").count() <= 200
        page.get_by_role("button", name="Show earlier").click()
        page.locator(".row", has_text="number 4850").wait_for(state="attached")
        assert visit.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(open_page, small, scheme):
    """Contrast of at least 4.5 to 1 (WCAG AA) between the text of marks, rows and facts and its background."""
    with open_page(color_scheme=scheme) as visit:
        visit.page.goto(f"{small}#advantage=math-2:0:0")
        visit.page.locator("#text-smaller mark").first.wait_for()
        for selector in ("mark.evidence", ".row .text", ".row .facts", "main h2", ".trace .facts", ".top a", ".go"):
            assert contrast(visit.page.locator(selector).first) >= 4.5, selector


def contrast(element):
    """Contrast ratio of an element's text and the nearest background behind it."""
    text, ground = element.evaluate(
        """element => {
            let behind = element;
            while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
        }"""
    )
    darker, lighter = sorted(
        luminance([int(part) for part in re.findall(r"\d+", colour)[:3]]) for colour in (text, ground)
    )
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_demonstration_opens_at_every_cluster(open_page, finished_demo):
    address = (finished_demo.reports / "demo" / "explorer.html").as_uri()
    with open_page() as visit:
        page = visit.page
        page.goto(address)
        page.locator(".card").first.wait_for()
        for number in range(page.locator(".card").count()):
            page.locator(".card a").nth(number).click()
            page.locator(".row").first.click()
            page.locator("#text-larger").wait_for()
            assert page.locator("mark.evidence").count() > 0
            page.goto(address)
            page.locator(".card").first.wait_for()
        assert visit.faults == []
